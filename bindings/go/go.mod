// SPDX-License-Identifier: MIT

module github.com/pgcache/pgcache/bindings/go

go 1.19
