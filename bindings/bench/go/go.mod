// The Go client of `make bench ONLY=bindings`. Its path stands below the binding's, whose raw layer is internal.
//
// SPDX-License-Identifier: MIT
module github.com/pgcache/pgcache/bindings/go/bench

go 1.19

require (
	github.com/pgcache/pgcache/bindings/go v0.0.0
	github.com/redis/go-redis/v9 v9.7.3
)

replace github.com/pgcache/pgcache/bindings/go => ../../go
