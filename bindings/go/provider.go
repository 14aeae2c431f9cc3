// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"time"
)

// A Provider is the application's own instrumentation, see [Instrument]: it is told when operations begin and end. Its methods are
// called by the goroutine that makes the call, and must not wait long. A cache without providers pays nothing for them.
type Provider interface {
	// Begin is told of an operation that begins; what is known of it are its name, namespace, span, keys and Began. The context that it
	// returns is that of the operation, for example with a span of a trace: End is given it, and so is the function that loads.
	Begin(ctx context.Context, operation *Operation) context.Context
	// End is told how it ended, once for each Begin.
	End(ctx context.Context, operation *Operation)
}

// An Operation is one call as a provider sees it.
type Operation struct {
	// Name is that of the C library's function without its prefix: get, put, get_or_load, ...
	Name string
	// Namespace is that of the call.
	Namespace string
	// Span is what the call's option Span says; "" without it.
	Span string
	// Keys are those that the call is on, if it is on keys.
	Keys []string
	// Began is when it began.
	Began time.Time
	// Duration is how long it took, at its end.
	Duration time.Duration
	// Hits is how many keys were found, of a call that looks for some.
	Hits int
	// Bytes is the size of the values that were read or written; -1: not known.
	Bytes int
	// Err is what the call returned: nil, an outcome such as ErrMiss, or an error.
	Err error
}

// measured is an operation under way; nil where nobody wants to know.
type measured struct {
	operation Operation
	cache     *Cache
	contexts  []context.Context // of each provider
}

func (c *Cache) begin(ctx context.Context, name string, o *options, keys ...string) (context.Context, *measured) {
	if len(c.providers) == 0 {
		return ctx, nil
	}
	namespace := o.namespace
	if namespace == "" {
		namespace = c.namespace
	}
	m := &measured{cache: c, operation: Operation{Name: name, Namespace: namespace, Span: o.span, Began: time.Now(), Bytes: -1}}
	m.operation.Keys = append(m.operation.Keys, keys...)
	for _, provider := range c.providers {
		ctx = provider.Begin(ctx, &m.operation)
		m.contexts = append(m.contexts, ctx)
	}
	return ctx, m
}

// size notes how many bytes were written or found.
func (m *measured) size(bytes int) {
	if m != nil {
		m.operation.Bytes = bytes
	}
}

// hit notes how many keys were found, with how many bytes.
func (m *measured) hit(count, bytes int) {
	if m != nil {
		m.operation.Hits, m.operation.Bytes = count, bytes
	}
}

// end tells the providers in the opposite order. Also called when a loader panics.
func (m *measured) end(err error) {
	if m == nil {
		return
	}
	m.operation.Duration = time.Since(m.operation.Began)
	m.operation.Err = err
	for i := len(m.contexts) - 1; i >= 0; i-- {
		m.cache.providers[i].End(m.contexts[i], &m.operation)
	}
}
