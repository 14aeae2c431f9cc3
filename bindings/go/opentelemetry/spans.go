// SPDX-License-Identifier: MIT

// Package pgcacheotel shows what caches do in OpenTelemetry: a span for each operation, and the library's metrics:
//
//	cache, err := pgcache.Open(address, pgcache.Instrument(pgcacheotel.Spans()))
//	...
//	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(pgcacheotel.NewProducer(cache)))
//	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
//
// It is a module of its own, so that the binding does not depend on OpenTelemetry.
package pgcacheotel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	pgcache "github.com/pgcache/pgcache/bindings/go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/pgcache/pgcache/bindings/go/opentelemetry"

// An Option says where spans go, and what they hold.
type Option func(*provider)

// WithTracerProvider has spans made by another provider than OpenTelemetry's global one.
func WithTracerProvider(tracers trace.TracerProvider) Option {
	return func(p *provider) { p.tracers = tracers }
}

// WithoutKeys leaves the keys out.
func WithoutKeys() Option { return func(p *provider) { p.withoutKeys = true } }

// Spans makes a provider for pgcache.Instrument: each operation of a cache has a span of kind client. The function that loads works inside of
// that of its get_or_load.
//
//	name               that of the option pgcache.Span, or "pgcache get" and so on
//	db.system.name     postgresql
//	db.operation.name  get, put, get_or_load, ...
//	pgcache.namespace  the namespace
//	cache.key          a list; db.operation.batch.size: how many, if it is on several
//	cache.hit          of reads: whether something was found
//	cache.item_size    in bytes, of what was read or written
//	error.type         of what failed: the status, such as timeout, or the type of the error of the function that loads
//
// A miss, and whatever else a call may find that worked, is no error. A peek has no span: it has no context, either, and its span would be
// a trace of its own.
func Spans(options ...Option) pgcache.Provider {
	p := provider{tracers: otel.GetTracerProvider()}
	for _, option := range options {
		option(&p)
	}
	p.tracer = p.tracers.Tracer(scope, trace.WithInstrumentationVersion(pgcache.Version()))
	return p
}

type provider struct {
	tracers     trace.TracerProvider
	tracer      trace.Tracer
	withoutKeys bool
}

// reads are the operations of which it is to be told whether they found something.
var reads = map[string]bool{"get": true, "get_many": true, "exists": true, "load_begin": true, "get_or_load": true}

func (p provider) Begin(ctx context.Context, operation *pgcache.Operation) context.Context {
	if operation.Name == "peek" {
		return ctx
	}
	name := operation.Span
	if name == "" {
		name = "pgcache " + operation.Name
	}
	attributes := []attribute.KeyValue{
		attribute.String("db.system.name", "postgresql"),
		attribute.String("db.operation.name", operation.Name),
		attribute.String("pgcache.namespace", operation.Namespace),
	}
	if len(operation.Keys) > 1 {
		attributes = append(attributes, attribute.Int("db.operation.batch.size", len(operation.Keys)))
	}
	if !p.withoutKeys && len(operation.Keys) > 0 {
		keys := make([]string, len(operation.Keys))
		for i, key := range operation.Keys {
			keys[i] = escaped(key)
		}
		attributes = append(attributes, attribute.StringSlice("cache.key", keys))
	}
	ctx, _ = p.tracer.Start(ctx, escaped(name), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...),
		trace.WithTimestamp(operation.Began))
	return ctx
}

func (p provider) End(ctx context.Context, operation *pgcache.Operation) {
	if operation.Name == "peek" {
		return
	}
	span := trace.SpanFromContext(ctx)
	if operation.Bytes >= 0 {
		span.SetAttributes(attribute.Int("cache.item_size", operation.Bytes))
	}
	if reads[operation.Name] {
		span.SetAttributes(attribute.Bool("cache.hit", operation.Hits > 0))
	}
	if kind, description := failureOf(operation.Err); kind != "" {
		span.SetAttributes(attribute.String("error.type", kind))
		span.SetStatus(codes.Error, description)
	}
	span.End()
}

// failureOf tells what failed; "": nothing did. The library's own words hold no key and no value; those of others may.
func failureOf(err error) (kind, description string) {
	var outcome pgcache.Status
	if err == nil || errors.As(err, &outcome) && outcome > 0 {
		return "", ""
	}
	var failure *pgcache.Error
	if errors.As(err, &failure) {
		return strings.ToLower(strings.TrimPrefix(failure.Status.Name(), "PGCACHE_")), failure.Error()
	}
	return fmt.Sprintf("%T", err), ""
}
