// The Go client of `make bench ONLY=bindings`. Its path stands below the binding's, whose raw layer is internal.
//
// SPDX-License-Identifier: MIT
module github.com/pgcache/pgcache/bindings/go/bench

go 1.19

require (
	github.com/pgcache/pgcache/bindings/go v0.0.0
	github.com/redis/go-redis/v9 v9.7.3
)

require (
	github.com/cespare/xxhash/v2 v2.2.0 // indirect
	github.com/dgryski/go-rendezvous v0.0.0-20200823014737-9f7001d12a5f // indirect
)

replace github.com/pgcache/pgcache/bindings/go => ../../go
