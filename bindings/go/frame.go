// SPDX-License-Identifier: MIT

package pgcache

import (
	"sync"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A frame is what C reads and writes during a call. It holds no pointer to Go's memory.
type frame struct {
	options callOptions
	plan    plan
	failure failure
	found   found
	id      uint64
	count   uint64
	value   *raw.Value // C's memory, as the next
	load    *raw.Load
	version int64
	number  int64
}

// callOptions has the layout of pgcache_go_options.
type callOptions struct {
	deadline     int64
	token        uint64
	dependencies *raw.Dependencies // C's memory
	readMode     int32
	namespace    [raw.NAMESPACE_MAX + 5]byte
	span         [raw.SPAN_NAME_MAX + 4]byte
}

// found has the layout of pgcache_go_found.
type found struct {
	data *byte
	size uint64
	about
}

// about is what is known of a value beside its bytes.
type about struct {
	version int64
	ttl     int64
	format  ValueFormat
	stale   int32
}

func (a *about) entry(value []byte) *Entry {
	return &Entry{Value: value, Version: a.version, Format: a.format, TTL: durationOf(a.ttl), Stale: a.stale != 0}
}

// A scratch is where the near cache's values are copied to, and what is known of them. Without pointers it is given to C more quickly.
type scratch struct {
	found struct { // has the layout of pgcache_go_found, too
		_ [2]uintptr
		about
	}
	bytes [4096]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

var frames = sync.Pool{New: func() any { return new(frame) }}

// newFrame begins a call, which ends with release.
func newFrame(o *options) *frame {
	f := frames.Get().(*frame)
	f.plan = o.plan
	f.options.deadline = int64(raw.DEADLINE_DEFAULT)
	f.options.token = 0
	f.options.readMode = raw.READ_NEAR
	if o.fromStore {
		f.options.readMode = raw.READ_STORE
	}
	terminate(f.options.namespace[:], o.namespace)
	terminate(f.options.span[:], o.span)
	f.failure.reset()
	return f
}

func (f *frame) release() {
	if f.options.dependencies != nil {
		raw.Go_dependencies_free(f.options.dependencies)
		f.options.dependencies = nil
	}
	frames.Put(f)
}

func (f *frame) setDeadline(span time.Duration) { f.options.deadline = spanOf(span) }

func (f *frame) opts() unsafe.Pointer  { return unsafe.Pointer(&f.options) }
func (f *frame) err() unsafe.Pointer   { return unsafe.Pointer(&f.failure) }
func (f *frame) how() unsafe.Pointer   { return unsafe.Pointer(&f.plan) }
func (f *frame) look() unsafe.Pointer  { return unsafe.Pointer(&f.found) }
func (f *frame) refusal(s int32) error { return f.failure.errorOf(s) }

// terminate copies a text and ends it with NUL. What is too long stays too long for the library, and what would be cut at a NUL
// gets a byte there that no namespace may have.
func terminate(to []byte, text string) {
	n := copy(to[:len(to)-1], text)
	for i := range to[:n] {
		if to[i] == 0 {
			to[i] = 1
		}
	}
	to[n] = 0
}
