// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

const pageSize = int64(raw.BATCH_MAX)

// A KeyInfo is a key with what is known of its entry but the value.
type KeyInfo struct {
	// Key is the entry's.
	Key string
	// Version is the entry's.
	Version int64
	// Format is that of its value.
	Format ValueFormat
	// TTL is how long it still lives.
	TTL time.Duration
}

// Keys lists the keys of the namespace that begin with prefix, in the order of their bytes. It reads the whole table, and is for people.
func (c *Cache) Keys(ctx context.Context, prefix string, opts ...Option) *Iterator[KeyInfo] {
	after := ""
	return &Iterator[KeyInfo]{more: func() (page []KeyInfo, last bool, err error) {
		err = c.maintain(ctx, "keys", opts, func(h *raw.Cache, f *frame) int32 {
			return raw.Submit_keys(h, &f.id, pageSize, prefix, after, f.opts(), f.err())
		}, func(r *reply, _ *measured) {
			for i := 0; i < int(r.count); i++ {
				var one found
				raw.Go_look(raw.Completion_value(r.completion, int64(i)), unsafe.Pointer(&one))
				page = append(page, KeyInfo{string(unsafe.Slice(one.data, one.size)), one.version, one.format, durationOf(one.ttl)})
			}
		})
		if len(page) > 0 {
			after = page[len(page)-1].Key
		}
		return page, int64(len(page)) < pageSize, err
	}}
}

// NamespaceUsage is what a namespace holds.
type NamespaceUsage struct {
	// Namespace is its name; "": all namespaces together.
	Namespace string
	// Entries are those that have not expired.
	Entries int64
	// Bytes are those of their keys and values, as stored.
	Bytes int64
	// Expired are rows that have expired and wait for cleanup.
	Expired int64
	// MaxEntries and MaxBytes are the limits, or NoLimit.
	MaxEntries, MaxBytes int64
}

// usage has the layout of pgcache_usage.
type usage struct {
	structSize                                    uintptr
	namespace                                     [64]byte
	entries, bytes, expired, maxEntries, maxBytes int64
}

// Usage counts what each namespace holds, in the order of their names, first of all "" for all together. It reads the whole table.
func (c *Cache) Usage(ctx context.Context, opts ...Option) *Iterator[NamespaceUsage] {
	after := ""
	return &Iterator[NamespaceUsage]{more: func() (page []NamespaceUsage, last bool, err error) {
		err = c.maintain(ctx, "read_usage", opts, func(h *raw.Cache, f *frame) int32 {
			return raw.Submit_read_usage(h, &f.id, pageSize, after, f.opts(), f.err())
		}, func(r *reply, _ *measured) {
			for i := 0; i < int(r.count); i++ {
				u := (*usage)(raw.Completion_usage(r.completion, int64(i)))
				page = append(page, NamespaceUsage{cut(u.namespace[:]), u.entries, u.bytes, u.expired, u.maxEntries, u.maxBytes})
			}
		})
		if len(page) > 0 {
			after = page[len(page)-1].Namespace
		}
		return page, int64(len(page)) < pageSize, err
	}}
}

// Published gives what the processes of this schema have published last, see the setting publish_ms.
func (c *Cache) Published(ctx context.Context, opts ...Option) *Iterator[*Snapshot] {
	const room = 100
	o, after := optionsOf(opts), ""
	return &Iterator[*Snapshot]{more: func() ([]*Snapshot, bool, error) {
		ctx, m := c.begin(ctx, "read_published", o)
		snapshots := make([]*raw.Snapshot, room)
		f, err := c.blocking(ctx, o, c.core.timeout, func(h *raw.Cache, f *frame) int32 {
			return raw.Read_published(h, &snapshots[0], room, &f.count, after, f.opts(), f.err())
		}, func(f *frame) {
			for _, s := range snapshots[:f.count] {
				raw.Snapshot_free(s)
			}
		})
		m.end(err)
		if err != nil {
			return nil, true, err
		}
		defer f.release()
		var page []*Snapshot
		for _, s := range snapshots[:f.count] {
			page = append(page, newSnapshot(s))
			after = page[len(page)-1].Origin()
		}
		return page, len(page) < room, nil
	}}
}
