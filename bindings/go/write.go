// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"math"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// Put stores an entry, whether there was one or not, and gives its new version.
func (c *Cache) Put(ctx context.Context, key string, value []byte, opts ...Option) (int64, error) {
	return c.store(ctx, "put", key, value, optionsOf(opts), raw.Put, raw.Submit_put)
}

// Add stores an entry only if there is none; else ErrExists.
func (c *Cache) Add(ctx context.Context, key string, value []byte, opts ...Option) (int64, error) {
	return c.store(ctx, "add", key, value, optionsOf(opts), raw.Add, raw.Submit_add)
}

// Replace stores an entry only if there is one; else ErrMiss.
func (c *Cache) Replace(ctx context.Context, key string, value []byte, opts ...Option) (int64, error) {
	return c.store(ctx, "replace", key, value, optionsOf(opts), raw.Replace, raw.Submit_replace)
}

// CompareAndSwap stores an entry only if it still has the version that was read: ErrExists says that it has another one, ErrMiss that there
// is none.
func (c *Cache) CompareAndSwap(ctx context.Context, key string, value []byte, version int64, opts ...Option) (int64, error) {
	return c.store(ctx, "compare_and_swap", key, value, optionsOf(opts),
		func(h *raw.Cache, to *int64, key, value string, format int, ttl int64, opts, err unsafe.Pointer) int32 {
			return raw.Compare_and_swap(h, to, key, value, format, ttl, version, opts, err)
		},
		func(h *raw.Cache, id *uint64, key, value string, format int, ttl int64, opts, err unsafe.Pointer) int32 {
			return raw.Submit_compare_and_swap(h, id, key, value, format, ttl, version, opts, err)
		})
}

// storing is one of C's functions that take a key with a value: to is where it puts a version, or a request's id.
type storing[T any] func(h *raw.Cache, to *T, key, value string, format int, ttl int64, opts, err unsafe.Pointer) int32

func (c *Cache) store(ctx context.Context, name, key string, value []byte, o *options, direct storing[int64],
	submit storing[uint64]) (int64, error) {
	ctx, m := c.beginRead(ctx, name, o, key)
	m.size(len(value))
	text := kept(ctx, value) // by the operation's context, which a provider may have made one that ends
	return c.written(ctx, m, o, operation{
		direct: func(h *raw.Cache, f *frame) int32 {
			return direct(h, &f.version, key, text, int(o.format), f.plan.ttl, f.opts(), f.err())
		},
		submit: func(h *raw.Cache, f *frame) int32 {
			return submit(h, &f.id, key, text, int(o.format), f.plan.ttl, f.opts(), f.err())
		},
	})
}

// write does an operation that writes no value.
func (c *Cache) write(ctx context.Context, name, key string, o *options, op operation) (int64, error) {
	ctx, m := c.beginRead(ctx, name, o, key)
	return c.written(ctx, m, o, op)
}

// written does an operation whose outcome is a version, or an error.
func (c *Cache) written(ctx context.Context, m *measured, o *options, op operation) (int64, error) {
	op.writes = true
	r, err := c.do(ctx, o, op)
	r.free()
	if err == nil {
		err = outcome(r.status)
	}
	m.end(err)
	return r.version, err
}

// outcome is that of a call for which everything but OK is none that was wanted.
func outcome(status int32) error {
	if status == raw.OK {
		return nil
	}
	return Status(status)
}

// Remove removes an entry, and says whether there was one.
func (c *Cache) Remove(ctx context.Context, key string, opts ...Option) (bool, error) {
	o := optionsOf(opts)
	_, err := c.write(ctx, "remove", key, o, operation{
		direct: func(h *raw.Cache, f *frame) int32 { return raw.Remove(h, key, f.opts(), f.err()) },
		submit: func(h *raw.Cache, f *frame) int32 { return raw.Submit_remove(h, &f.id, key, f.opts(), f.err()) },
	})
	if err == ErrMiss {
		return false, nil
	}
	return err == nil, err
}

// Touch gives an entry a new TTL without sending its value; ErrMiss: there is none.
func (c *Cache) Touch(ctx context.Context, key string, opts ...Option) (int64, error) {
	o := optionsOf(opts)
	return c.write(ctx, "touch", key, o, operation{
		direct: func(h *raw.Cache, f *frame) int32 {
			return raw.Touch(h, &f.version, key, f.plan.ttl, f.opts(), f.err())
		},
		submit: func(h *raw.Cache, f *frame) int32 {
			return raw.Submit_touch(h, &f.id, key, f.plan.ttl, f.opts(), f.err())
		},
	})
}

// Increment adds delta to a counter and gives its new number. A counter that is not there is made, from that of the option Initial and with
// the TTL; one that is there keeps its own. Counters are entries of FormatJSON.
func (c *Cache) Increment(ctx context.Context, key string, delta int64, opts ...Option) (int64, error) {
	o := optionsOf(opts)
	ctx, m := c.beginRead(ctx, "increment", o, key)
	r, err := c.do(ctx, o, operation{
		direct: func(h *raw.Cache, f *frame) int32 {
			return raw.Increment(h, &f.number, &f.version, key, delta, o.initial, f.plan.ttl, f.opts(), f.err())
		},
		submit: func(h *raw.Cache, f *frame) int32 {
			return raw.Submit_increment(h, &f.id, key, delta, o.initial, f.plan.ttl, f.opts(), f.err())
		},
		writes: true,
	})
	r.free()
	m.end(err)
	return r.number, err
}

// Decrement subtracts delta from a counter, see Increment.
func (c *Cache) Decrement(ctx context.Context, key string, delta int64, opts ...Option) (int64, error) {
	if delta == math.MinInt64 {
		return 0, &Error{Status: ErrOverflow, Message: "the smallest number has no opposite"}
	}
	return c.Increment(ctx, key, -delta, opts...)
}
