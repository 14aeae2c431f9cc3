// SPDX-License-Identifier: MIT

module github.com/pgcache/pgcache/bindings/go/opentelemetry

go 1.20

require (
	github.com/pgcache/pgcache/bindings/go v1.0.0
	go.opentelemetry.io/otel v1.24.0
	go.opentelemetry.io/otel/sdk v1.24.0
	go.opentelemetry.io/otel/sdk/metric v1.24.0
	go.opentelemetry.io/otel/trace v1.24.0
)

require (
	github.com/go-logr/logr v1.4.1 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	go.opentelemetry.io/otel/metric v1.24.0 // indirect
	golang.org/x/sys v0.17.0 // indirect
)

replace github.com/pgcache/pgcache/bindings/go => ../
