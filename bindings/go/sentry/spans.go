// SPDX-License-Identifier: MIT

// Package sentry gives each operation of a cache a span in Sentry, with sentry-go:
//
//	cache, err := pgcache.Open(address, pgcache.Instrument(pgcachesentry.Spans()))
//
// It is a module of its own, so that the binding depends on no client of Sentry.
package sentry

import (
	"context"
	"errors"
	"strings"

	"github.com/getsentry/sentry-go"
	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// Spans makes a provider for pgcache.Instrument. A span is made where the call's context is inside of a trace; its data are those that
// Sentry's page on caches shows: cache.key, cache.hit, cache.item_size, cache.success. Its name is that of the option
// pgcache.Span, or "pgcache" and the operation.
func Spans() pgcache.Provider { return provider{} }

type provider struct{}

type spanKey struct{}

func (provider) Begin(ctx context.Context, operation *pgcache.Operation) context.Context {
	parent := sentry.SpanFromContext(ctx)
	if parent == nil {
		return ctx
	}
	name := operation.Span
	if name == "" {
		name = "pgcache " + operation.Name
	}
	span := parent.StartChild("cache."+kind(operation.Name), func(s *sentry.Span) { s.Description = name })
	return context.WithValue(span.Context(), spanKey{}, span)
}

// kind is what Sentry calls an operation: of one key and of many, it is the same.
func kind(name string) string { return strings.TrimSuffix(name, "_many") }

func (provider) End(ctx context.Context, operation *pgcache.Operation) {
	span, ok := ctx.Value(spanKey{}).(*sentry.Span)
	if !ok {
		return
	}
	if len(operation.Keys) > 0 {
		span.SetData("cache.key", operation.Keys)
	}
	switch kind(operation.Name) {
	case "get", "get_or_load", "exists", "peek", "load_begin":
		span.SetData("cache.hit", operation.Hits > 0)
	}
	if operation.Bytes >= 0 {
		span.SetData("cache.item_size", operation.Bytes)
	}
	var failure *pgcache.Error
	failed := errors.As(operation.Err, &failure)
	span.SetData("cache.success", !failed)
	span.Status = sentry.SpanStatusOK
	if failed {
		span.Status = statusOf(failure.Status)
	}
	span.Finish()
}

func statusOf(status pgcache.Status) sentry.SpanStatus {
	switch status {
	case pgcache.ErrTimeout:
		return sentry.SpanStatusDeadlineExceeded
	case pgcache.ErrCancelled:
		return sentry.SpanStatusCanceled
	case pgcache.ErrInvalid, pgcache.ErrTooLarge:
		return sentry.SpanStatusInvalidArgument
	case pgcache.ErrUnavailable, pgcache.ErrTooManyConnections:
		return sentry.SpanStatusUnavailable
	case pgcache.ErrDenied:
		return sentry.SpanStatusPermissionDenied
	}
	return sentry.SpanStatusInternalError
}
