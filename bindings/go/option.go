// SPDX-License-Identifier: MIT

package pgcache

import (
	"math"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// Forever is the time to live of an entry that does not expire.
const Forever time.Duration = math.MaxInt64

// An Option says how one call is done. Options that have no meaning for a call do nothing.
type Option func(*options)

// TTL sets how long what is stored lives, counted by the server's clock; Forever: until it is removed. Without it the setting
// default_ttl_ms holds. Fractions of a millisecond are rounded up.
func TTL(ttl time.Duration) Option { return func(o *options) { o.plan.ttl = ttlOf(ttl) } }

// Namespace sets the part of the cache that the call works in, instead of that of the setting namespace. An empty name is ErrInvalid: it is
// that of whose namespace is not known, and must not become everybody's.
func Namespace(name string) Option {
	if name == "" {
		name = "\x00" // which the library refuses as it does all wrong names
	}
	return func(o *options) { o.namespace = name }
}

// Span says what the application is doing, in its own words: measurements, events and traces carry it.
func Span(name string) Option { return func(o *options) { o.span = name } }

// FromStore makes a read ask PostgreSQL, whatever the near cache holds.
func FromStore() Option { return func(o *options) { o.fromStore = true } }

// Timeout bounds the call, instead of the setting timeout_ms or maintenance_timeout_ms. A context that ends earlier ends it earlier.
func Timeout(timeout time.Duration) Option {
	return func(o *options) { o.timeout, o.hasTimeout = timeout, true }
}

// Format says what the bytes are that are stored. Typed caches set it themselves.
func Format(format ValueFormat) Option { return func(o *options) { o.format = format } }

// Tags names what the entry that is stored depends on, or what Invalidate ends: up to 16 with those of Keys, of 1 to 255 bytes.
func Tags(names ...string) Option { return func(o *options) { o.tags = append(o.tags, names...) } }

// Keys names keys that the entry that is stored depends on beside its own, or that Invalidate ends.
func Keys(names ...string) Option { return func(o *options) { o.keys = append(o.keys, names...) } }

// Initial is what a counter counts from when there is none yet; 0 without it.
func Initial(number int64) Option { return func(o *options) { o.initial = number } }

// Stale keeps a loaded entry for so long after its TTL: it is given at once then, and one caller refreshes it.
func Stale(span time.Duration) Option { return func(o *options) { o.plan.stale = spanOf(span) } }

// FailSafe keeps a loaded entry for so long after its TTL to stand in when a load fails or is late.
func FailSafe(span time.Duration) Option { return func(o *options) { o.plan.failSafe = spanOf(span) } }

// Throttle is how long something stale stands in after a load that failed, before anybody tries again; a second without it.
func Throttle(span time.Duration) Option { return func(o *options) { o.plan.throttle = spanOf(span) } }

// AbsentTTL is how long it is remembered that there is no value; without it, it is not. Forever is possible.
func AbsentTTL(ttl time.Duration) Option { return func(o *options) { o.plan.absentTTL = ttlOf(ttl) } }

// Lease is how long a load may take before somebody else may begin one: up to an hour; 10 seconds without it.
func Lease(span time.Duration) Option { return func(o *options) { o.plan.lease = spanOf(span) } }

// Wait is how long to wait for a load before something stale stands in, or ErrBusy is returned; without it, until the call's
// time is over.
func Wait(span time.Duration) Option { return func(o *options) { o.plan.wait = spanOf(span) } }

// Jitter shortens the TTL of what is loaded by up to so many percent (0 to 50) at random, so that not all expires at once.
func Jitter(percent int) Option { return func(o *options) { o.plan.jitter = small(percent) } }

// Early refreshes entries before they expire, the more probably the nearer that is and the longer a load takes: 100 is usual.
func Early(percent int) Option { return func(o *options) { o.plan.early = small(percent) } }

// options are those of one call; defaults are never written to.
type options struct {
	namespace  string
	span       string
	tags, keys []string
	timeout    time.Duration
	initial    int64
	plan       plan
	format     ValueFormat
	fromStore  bool
	hasTimeout bool
}

// plan has the layout of pgcache_load_options.
type plan struct {
	structSize    uintptr
	ttl           int64
	stale         int64
	failSafe      int64
	throttle      int64
	absentTTL     int64
	lease         int64
	wait          int64
	jitter, early int32
}

var defaults = func() *options {
	o := &options{}
	raw.Load_options_init(unsafe.Pointer(&o.plan), int64(unsafe.Sizeof(o.plan)))
	return o
}()

func optionsOf(list []Option) *options {
	if len(list) == 0 {
		return defaults
	}
	o := *defaults
	for _, option := range list {
		option(&o)
	}
	return &o
}

// spanOf gives milliseconds, rounded up, so that none becomes nothing. All negative ones are alike: -1 has a meaning in C.
func spanOf(span time.Duration) int64 {
	if span < 0 {
		return -2
	}
	ms := int64(span / time.Millisecond)
	if span%time.Millisecond > 0 {
		ms++
	}
	return ms
}

func ttlOf(ttl time.Duration) int64 {
	if ttl == Forever {
		return raw.TTL_NEVER
	}
	return spanOf(ttl)
}

// durationOf is the way back, of what an entry has left.
func durationOf(ms int64) time.Duration {
	if ms == raw.TTL_NEVER {
		return Forever
	}
	if ms > int64(Forever/time.Millisecond) {
		return Forever - 1 // longer than Go can say
	}
	return time.Duration(ms) * time.Millisecond
}

// small fits what is out of range anyway into 32 bits.
func small(number int) int32 {
	if number > math.MaxInt32 || number < math.MinInt32 {
		return -1
	}
	return int32(number)
}
