// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"time"
)

// A Typed is a cache of values of one type: a []byte is stored as it is, all others through a codec, which is JSON unless set
// otherwise. A Typed[any] reads whatever other languages wrote: bytes as []byte, and JSON as encoding/json does.
type Typed[T any] struct {
	cache   *Cache
	codec   Codec
	options []Option
}

// NewTyped makes a typed view of a cache; the options are those of every call, before the call's own.
func NewTyped[T any](cache *Cache, opts ...Option) *Typed[T] {
	return &Typed[T]{cache: cache, codec: JSON, options: opts}
}

// WithCodec gives the same view with another codec. What was stored as JSON is read, too.
func (t *Typed[T]) WithCodec(codec Codec) *Typed[T] {
	return &Typed[T]{cache: t.cache, codec: codec, options: t.options}
}

// A TypedEntry is what a typed read found.
type TypedEntry[T any] struct {
	// Value is the value.
	Value T
	// Version is a positive number that every write gives the entry anew.
	Version int64
	// Format is what the value was stored as.
	Format ValueFormat
	// TTL is how long the entry still lives; Forever if it does not expire.
	TTL time.Duration
}

// A TypedItem is an element of a typed PutMany.
type TypedItem[T any] struct {
	// Key is the entry's.
	Key string
	// Value is its value.
	Value T
	// TTL is this entry's; 0: that of the call's options.
	TTL time.Duration
}

// opts gives the options of a call; what is appended to them does not get into the caller's slice.
func (t *Typed[T]) opts(opts []Option) []Option {
	if len(t.options) == 0 {
		return opts[:len(opts):len(opts)]
	}
	return append(append(make([]Option, 0, len(t.options)+len(opts)+1), t.options...), opts...)
}

func (t *Typed[T]) entry(entry *Entry, err error) (TypedEntry[T], error) {
	var typed TypedEntry[T]
	if err == nil {
		typed.Version, typed.Format, typed.TTL = entry.Version, entry.Format, entry.TTL
		err = decode(entry, &typed.Value, t.codec)
	}
	if err != nil {
		return TypedEntry[T]{}, err // nothing that is half a value
	}
	return typed, nil
}

// Get reads a value; ErrMiss: there is none.
func (t *Typed[T]) Get(ctx context.Context, key string, opts ...Option) (T, error) {
	entry, err := t.GetEntry(ctx, key, opts...)
	return entry.Value, err
}

// GetEntry reads a value with its version and TTL.
func (t *Typed[T]) GetEntry(ctx context.Context, key string, opts ...Option) (TypedEntry[T], error) {
	return t.entry(t.cache.GetEntry(ctx, key, t.opts(opts)...))
}

// GetMany reads many values; those that are not there are not in the result.
func (t *Typed[T]) GetMany(ctx context.Context, keys []string, opts ...Option) (map[string]T, error) {
	entries, err := t.cache.GetMany(ctx, keys, t.opts(opts)...)
	values := make(map[string]T, len(entries))
	for key, entry := range entries {
		typed, wrong := t.entry(entry, nil)
		if wrong == nil {
			values[key] = typed.Value
		} else if err == nil {
			err = wrong
		}
	}
	return values, err
}

// write encodes a value for one of the cache's methods.
func (t *Typed[T]) write(value T, opts []Option,
	store func(data []byte, opts ...Option) (int64, error)) (int64, error) {
	data, format, err := encode(value, t.codec)
	if err != nil {
		return 0, err
	}
	return store(data, append(t.opts(opts), Format(format))...)
}

// Put stores a value, and gives the entry's new version.
func (t *Typed[T]) Put(ctx context.Context, key string, value T, opts ...Option) (int64, error) {
	return t.write(value, opts, func(data []byte, opts ...Option) (int64, error) {
		return t.cache.Put(ctx, key, data, opts...)
	})
}

// Add stores a value only if there is none; else ErrExists.
func (t *Typed[T]) Add(ctx context.Context, key string, value T, opts ...Option) (int64, error) {
	return t.write(value, opts, func(data []byte, opts ...Option) (int64, error) {
		return t.cache.Add(ctx, key, data, opts...)
	})
}

// Replace stores a value only if there is one; else ErrMiss.
func (t *Typed[T]) Replace(ctx context.Context, key string, value T, opts ...Option) (int64, error) {
	return t.write(value, opts, func(data []byte, opts ...Option) (int64, error) {
		return t.cache.Replace(ctx, key, data, opts...)
	})
}

// CompareAndSwap stores a value only if the entry still has the version that was read; else ErrExists or ErrMiss.
func (t *Typed[T]) CompareAndSwap(ctx context.Context, key string, value T, version int64, opts ...Option) (int64, error) {
	return t.write(value, opts, func(data []byte, opts ...Option) (int64, error) {
		return t.cache.CompareAndSwap(ctx, key, data, version, opts...)
	})
}

// PutMany stores many values, and gives their versions in the same order. If one cannot be encoded, nothing is stored.
func (t *Typed[T]) PutMany(ctx context.Context, items []TypedItem[T], opts ...Option) ([]int64, error) {
	encoded := make([]Item, len(items))
	for i, item := range items {
		data, format, err := encode(item.Value, t.codec)
		if err != nil {
			return nil, err
		}
		encoded[i] = Item{Key: item.Key, Value: data, TTL: item.TTL, Format: format}
	}
	return t.cache.PutMany(ctx, encoded, append(t.opts(opts), Format(FormatBytes))...) // where an item's is not another one
}

// Remove removes an entry, and says whether there was one.
func (t *Typed[T]) Remove(ctx context.Context, key string, opts ...Option) (bool, error) {
	return t.cache.Remove(ctx, key, t.opts(opts)...)
}

// RemoveMany removes many entries, and says how many of the keys had one.
func (t *Typed[T]) RemoveMany(ctx context.Context, keys []string, opts ...Option) (int, error) {
	return t.cache.RemoveMany(ctx, keys, t.opts(opts)...)
}

// Exists asks whether there is an entry, without reading its value.
func (t *Typed[T]) Exists(ctx context.Context, key string, opts ...Option) (bool, error) {
	return t.cache.Exists(ctx, key, t.opts(opts)...)
}

// Touch gives an entry a new TTL without sending its value; ErrMiss: there is none.
func (t *Typed[T]) Touch(ctx context.Context, key string, opts ...Option) (int64, error) {
	return t.cache.Touch(ctx, key, t.opts(opts)...)
}

// GetOrLoad reads a value, and has it loaded if it is missing or stale, see [Cache.GetOrLoad]. What was loaded goes through the codec, so
// that a caller gets the same after a miss as after a hit.
func (t *Typed[T]) GetOrLoad(ctx context.Context, key string, load func(context.Context) (T, error), opts ...Option) (T, error) {
	entry, err := t.cache.getOrLoad(ctx, key, optionsOf(t.opts(opts)),
		func(ctx context.Context) ([]byte, ValueFormat, error) {
			value, err := load(ctx)
			if err != nil {
				return nil, 0, err
			}
			return encode(value, t.codec)
		})
	typed, err := t.entry(entry, err)
	return typed.Value, err
}
