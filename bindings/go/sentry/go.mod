// SPDX-License-Identifier: MIT

module github.com/pgcache/pgcache/bindings/go/sentry

go 1.19

require (
	github.com/getsentry/sentry-go v0.29.0
	github.com/pgcache/pgcache/bindings/go v1.0.0
)

require (
	golang.org/x/sys v0.18.0 // indirect
	golang.org/x/text v0.14.0 // indirect
)

replace github.com/pgcache/pgcache/bindings/go => ../
