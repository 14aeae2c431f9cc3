// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// An Item is an element of PutMany.
type Item struct {
	// Key is the entry's.
	Key string
	// Value holds its bytes.
	Value []byte
	// TTL is this entry's; 0: that of the call's options.
	TTL time.Duration
	// Format says what the bytes are; FormatBytes: that of the call's options.
	Format ValueFormat
}

// item has the layout of pgcache_item.
type item struct {
	structSize uintptr
	key        *byte
	keyLen     uint64
	value      *byte
	valueLen   uint64
	ttl        int64
	format     int32
	status     int32
	version    int64
	result     *raw.Value
}

func (r *reply) item(i int) *item { return (*item)(raw.Completion_item(r.completion, int64(i))) }

// GetMany reads many entries, a thousand in a round trip; those that are not there are not in the result. After an error there is what was
// found before it, or beside it.
func (c *Cache) GetMany(ctx context.Context, keys []string, opts ...Option) (map[string]*Entry, error) {
	o := optionsOf(opts)
	ctx, m := c.begin(ctx, "get_many", o, keys...)
	entries := make(map[string]*Entry, len(keys))
	size := 0
	err := c.many(ctx, o, len(keys), func(i int) (head, string, []byte) { return head{}, keys[i], nil },
		manyFunction{direct: raw.Get_many, submit: raw.Submit_get_many},
		func(i int, it *item) {
			if it.result == nil || entries[keys[i]] != nil {
				return
			}
			var f found
			raw.Go_look(it.result, unsafe.Pointer(&f))
			entries[keys[i]] = f.entry(bytesOf(f.data, f.size))
			size += int(f.size)
		})
	m.hit(len(entries), size)
	m.end(err)
	return entries, err
}

// PutMany stores many entries, a thousand in a round trip, and gives their versions in the same order; 0 for one that failed. No two
// entries are stored together: after an error some may be there. Of items with the same key the last one is stored.
func (c *Cache) PutMany(ctx context.Context, items []Item, opts ...Option) ([]int64, error) {
	o := optionsOf(opts)
	keys, size := make([]string, len(items)), 0
	for i := range items {
		keys[i] = items[i].Key
		size += len(items[i].Value)
	}
	ctx, m := c.begin(ctx, "put_many", o, keys...)
	versions := make([]int64, len(items))
	err := c.many(ctx, o, len(items), func(i int) (head, string, []byte) {
		h := head{ttl: o.plan.ttl, format: int64(o.format)}
		if items[i].TTL != 0 {
			h.ttl = ttlOf(items[i].TTL)
		}
		if items[i].Format != FormatBytes {
			h.format = int64(items[i].Format)
		}
		return h, keys[i], items[i].Value
	}, manyFunction{raw.Put_many, raw.Submit_put_many, true}, func(i int, it *item) { versions[i] = it.version })
	m.size(size)
	m.end(err)
	return versions, err
}

// RemoveMany removes many entries, a thousand in a round trip, and says how many of the keys had one.
func (c *Cache) RemoveMany(ctx context.Context, keys []string, opts ...Option) (int, error) {
	o := optionsOf(opts)
	ctx, m := c.begin(ctx, "remove_many", o, keys...)
	removed := 0
	err := c.many(ctx, o, len(keys), func(i int) (head, string, []byte) { return head{}, keys[i], nil },
		manyFunction{raw.Remove_many, raw.Submit_remove_many, true}, func(_ int, it *item) {
			if it.status == raw.OK {
				removed++
			}
		})
	m.end(err)
	return removed, err
}

// manyFunction is one of C's on many keys: directly, and submitted.
type manyFunction struct {
	direct func(*raw.Cache, *raw.Items, unsafe.Pointer, unsafe.Pointer) int32
	submit func(*raw.Cache, *uint64, *raw.Items, unsafe.Pointer, unsafe.Pointer) int32
	writes bool
}

// many works on many keys, and shows each item that has an answer, also when others have none.
func (c *Cache) many(ctx context.Context, o *options, count int, element func(int) (head, string, []byte), function manyFunction,
	show func(int, *item)) error {
	items, err := itemsOf(count, element)
	if err != nil {
		return err
	}
	r, err := c.do(ctx, o, operation{
		direct:   func(h *raw.Cache, f *frame) int32 { return function.direct(h, items, f.opts(), f.err()) },
		submit:   func(h *raw.Cache, f *frame) int32 { return function.submit(h, &f.id, items, f.opts(), f.err()) },
		writes:   function.writes,
		leftover: func() { raw.Go_items_free(items) },
	})
	if r.left {
		return err
	}
	defer raw.Go_items_free(items)
	defer r.free()
	for i := 0; i < count; i++ {
		var it *item
		if r.direct {
			it = (*item)(raw.Go_items_at(items, int64(i)))
		} else if r.completion != nil {
			it = r.item(i)
		}
		if it != nil && it.status >= 0 {
			show(i, it)
		}
	}
	return err
}
