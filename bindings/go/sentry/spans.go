// SPDX-License-Identifier: MIT

// Package pgcachesentry gives each operation of a cache a span in Sentry, with sentry-go:
//
//	cache, err := pgcache.Open(address, pgcache.Instrument(pgcachesentry.Spans()))
//
// It is a module of its own, so that the binding depends on no client of Sentry.
package pgcachesentry

import (
	"context"
	"errors"
	"strings"

	"github.com/getsentry/sentry-go"
	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// An Option says what spans hold.
type Option func(*provider)

// WithoutKeys leaves the keys out, which are sent to Sentry otherwise.
func WithoutKeys() Option { return func(p *provider) { p.withoutKeys = true } }

// Spans makes a provider for pgcache.Instrument: each get, put, remove and flush of a cache has a span where the call's context is inside of a
// trace, in the words of Sentry's page on caches.
//
//	op      cache.get, cache.put, cache.remove, cache.flush
//	name    that of the option pgcache.Span, or "pgcache get" and so on
//	data    cache.key, a list; cache.hit of reads; cache.item_size in bytes, of what was read or written; cache.success of the rest
//
// Other operations have none.
func Spans(options ...Option) pgcache.Provider {
	p := provider{}
	for _, option := range options {
		option(&p)
	}
	return p
}

type provider struct{ withoutKeys bool }

// ops are Sentry's names for the cache's operations, the same in all languages.
var ops = map[string]string{
	"get":              "cache.get",
	"get_many":         "cache.get",
	"exists":           "cache.get",
	"load_begin":       "cache.get",
	"get_or_load":      "cache.get",
	"put":              "cache.put",
	"add":              "cache.put",
	"replace":          "cache.put",
	"compare_and_swap": "cache.put",
	"put_many":         "cache.put",
	"load_fill":        "cache.put",
	"touch":            "cache.put",
	"increment":        "cache.put",
	"remove":           "cache.remove",
	"remove_many":      "cache.remove",
	"invalidate":       "cache.remove",
	"flush":            "cache.flush",
}

type spanKey struct{}

func (p provider) Begin(ctx context.Context, operation *pgcache.Operation) context.Context {
	parent, op := sentry.SpanFromContext(ctx), ops[operation.Name]
	if parent == nil || op == "" {
		return ctx
	}
	name := operation.Span
	if name == "" {
		name = "pgcache " + strings.TrimPrefix(op, "cache.")
	}
	span := parent.StartChild(op, func(s *sentry.Span) { s.Description = name })
	return context.WithValue(span.Context(), spanKey{}, span)
}

func (p provider) End(ctx context.Context, operation *pgcache.Operation) {
	// The context may be that of an operation without a span, inside of the function that loads for one with a span.
	span, ok := ctx.Value(spanKey{}).(*sentry.Span)
	if !ok || ops[operation.Name] == "" {
		return
	}
	if !p.withoutKeys && len(operation.Keys) > 0 {
		span.SetData("cache.key", operation.Keys)
	}
	if operation.Bytes >= 0 {
		span.SetData("cache.item_size", operation.Bytes)
	}
	if span.Op == "cache.get" {
		span.SetData("cache.hit", operation.Hits > 0)
	} else {
		span.SetData("cache.success", operation.Err == nil)
	}
	span.Status = statusOf(operation.Err)
	span.Finish()
}

// statusOf is ok also for what a call that worked may find, such as a miss.
func statusOf(err error) sentry.SpanStatus {
	var outcome pgcache.Status
	if err == nil || errors.As(err, &outcome) && outcome > 0 {
		return sentry.SpanStatusOK
	}
	var failure *pgcache.Error
	if !errors.As(err, &failure) {
		return sentry.SpanStatusInternalError // the function that loads has failed
	}
	switch failure.Status {
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
