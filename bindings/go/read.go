// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"runtime"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A ValueFormat says what a value's bytes are, the same numbers in all languages.
type ValueFormat int32

// The formats that are known. Others are the application's.
const (
	// FormatBytes: any bytes.
	FormatBytes ValueFormat = 0
	// FormatJSON: JSON text in UTF-8, readable as jsonb in SQL; a cached null is the text null.
	FormatJSON ValueFormat = 1
	// FormatMessagePack: for codecs that applications bring.
	FormatMessagePack ValueFormat = 2
)

// An Entry is what a read found.
type Entry struct {
	// Value holds the bytes, and is the caller's own. It is empty for an empty value, never nil.
	Value []byte
	// Version is a positive number that every write gives the entry anew.
	Version int64
	// Format says what the bytes are.
	Format ValueFormat
	// TTL is how long the entry still lives; Forever if it does not expire.
	TTL time.Duration
	// Stale says that the entry's time was over, and that it stands in for one that is not there yet. Only loads give such.
	Stale bool
}

// Get reads an entry's bytes. ErrMiss says that there is none.
func (c *Cache) Get(ctx context.Context, key string, opts ...Option) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	value, err := c.AppendGet(ctx, s.bytes[:0], key, opts...)
	if err != nil {
		return nil, err
	}
	return s.own(value), nil
}

// AppendGet appends an entry's bytes to dst and returns the longer slice. Where dst has room for them, and the near cache has the entry,
// nothing is allocated. After an error dst is returned as it was.
func (c *Cache) AppendGet(ctx context.Context, dst []byte, key string, opts ...Option) ([]byte, error) {
	o := optionsOf(opts)
	ctx, m := c.beginRead(ctx, "get", o, key)
	value, ok := c.peek(dst, key, o, nil)
	var err error
	if !ok {
		value, err = c.appendStored(ctx, dst, key, o)
	}
	m.read(len(value)-len(dst), err)
	return value, err
}

// GetEntry reads an entry with all that is known of it.
func (c *Cache) GetEntry(ctx context.Context, key string, opts ...Option) (*Entry, error) {
	o := optionsOf(opts)
	ctx, m := c.beginRead(ctx, "get", o, key)
	entry := c.peekEntry(key, o)
	var err error
	if entry == nil {
		entry, err = c.getStored(ctx, key, o)
	}
	m.readEntry(entry, err)
	return entry, err
}

// Peek looks into the near cache alone: it asks no server and never waits. ErrMiss says nothing of the store.
func (c *Cache) Peek(key string, opts ...Option) (*Entry, error) {
	o := optionsOf(opts)
	_, m := c.beginRead(context.Background(), "peek", o, key)
	entry, err := c.peekOnly(key, o)
	m.readEntry(entry, err)
	return entry, err
}

// Exists asks whether there is an entry, without reading its value.
func (c *Cache) Exists(ctx context.Context, key string, opts ...Option) (bool, error) {
	o := optionsOf(opts)
	ctx, m := c.beginRead(ctx, "exists", o, key)
	r, err := c.do(ctx, o, operation{
		direct: func(h *raw.Cache, f *frame) int32 { return raw.Exists(h, key, f.opts(), f.err()) },
		submit: func(h *raw.Cache, f *frame) int32 { return raw.Submit_exists(h, &f.id, key, f.opts(), f.err()) },
	})
	r.free()
	there := err == nil && Status(r.status) == statusOK
	if there {
		m.hit(1, -1)
	}
	m.end(err)
	return there, err
}

// ---- The near cache --------------------------------------------------------------------------------------------------------

// own gives a value a slice of its own, unless it did not fit here and so has one.
func (s *scratch) own(value []byte) []byte {
	if len(value) > len(s.bytes) {
		return value
	}
	return append(make([]byte, 0, len(value)), value...)
}

// peek appends what the near cache holds. false: it has nothing to say, or an argument is wrong, which the store's path tells. look is
// nil, or for pgcache_go_found.
func (c *Cache) peek(dst []byte, key string, o *options, look unsafe.Pointer) ([]byte, bool) {
	if o.fromStore {
		return dst, false
	}
	var opts unsafe.Pointer
	if o.namespace != "" || o.span != "" {
		f := newFrame(o)
		defer f.release()
		opts = f.opts()
	}
	if !c.core.enter() {
		return dst, false
	}
	defer c.core.leave()
	at := len(dst)
	size := raw.Go_peek(c.core.handle, dst[at:cap(dst)], look, key, opts)
	runtime.KeepAlive(c)
	if size >= 0 {
		return dst[:at+int(size)], true
	}
	if size == -1 {
		return dst, false
	}
	value := raw.Go_peeked(size)
	defer raw.Value_free(value)
	return append(dst, unsafe.Slice((*byte)(raw.Value_data(value)), raw.Value_size(value))...), true
}

func (c *Cache) peekEntry(key string, o *options) *Entry {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	value, ok := c.peek(s.bytes[:0], key, o, unsafe.Pointer(&s.found))
	if !ok {
		return nil
	}
	return s.found.entry(s.own(value))
}

func (c *Cache) peekOnly(key string, o *options) (*Entry, error) {
	if !c.core.enter() {
		return nil, closed()
	}
	defer c.core.leave()
	f := newFrame(o)
	defer f.release()
	var value *raw.Value
	if err := f.refusal(raw.Peek(c.core.handle, &value, key, f.opts(), f.err())); err != nil {
		return nil, err
	}
	raw.Go_look(value, f.look())
	runtime.KeepAlive(c)
	return f.found.entry(takeValue(value)), nil
}

// ---- The store --------------------------------------------------------------------------------------------------------------

func (c *Cache) submitGet(ctx context.Context, key string, o *options) (reply, error) {
	r, err := c.do(ctx, o, operation{
		direct: func(h *raw.Cache, f *frame) int32 { return raw.Get(h, &f.value, key, f.opts(), f.err()) },
		submit: func(h *raw.Cache, f *frame) int32 { return raw.Submit_get(h, &f.id, key, f.opts(), f.err()) },
	})
	if err == nil && Status(r.status) != statusOK {
		err = ErrMiss
	}
	if err != nil {
		r.free()
	}
	return r, err
}

func (c *Cache) appendStored(ctx context.Context, dst []byte, key string, o *options) ([]byte, error) {
	r, err := c.submitGet(ctx, key, o)
	if err != nil {
		return dst, err
	}
	defer r.free()
	return append(dst, unsafe.Slice(r.found.data, r.found.size)...), nil
}

func (c *Cache) getStored(ctx context.Context, key string, o *options) (*Entry, error) {
	r, err := c.submitGet(ctx, key, o)
	if err != nil {
		return nil, err
	}
	defer r.free()
	return r.entry(), nil
}

// ---- Providers ---------------------------------------------------------------------------------------------------------------

// beginRead is begin without making a list of keys where nobody wants one.
func (c *Cache) beginRead(ctx context.Context, name string, o *options, key string) (context.Context, *measured) {
	if len(c.providers) == 0 {
		return ctx, nil
	}
	return c.begin(ctx, name, o, key)
}

func (m *measured) read(size int, err error) {
	if err == nil {
		m.hit(1, size)
	}
	m.end(err)
}

func (m *measured) readEntry(entry *Entry, err error) {
	if m == nil {
		return
	}
	if entry != nil {
		m.hit(1, len(entry.Value))
	}
	m.end(err)
}
