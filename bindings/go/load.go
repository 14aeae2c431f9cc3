// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A Load is the right to load an entry, which one caller in all processes has, for the time of its lease. Nothing is held at the server
// meanwhile. It ends with Fill, FillAbsent, Fail, Abandon or Close. Most have [Cache.GetOrLoad] see to all of this.
type Load struct {
	cache *Cache
	lease *lease
	quiet bool // part of a GetOrLoad, and providers are told of that
}

// lease is the load of C's, apart from the Load, so that the garbage collector can tell when nobody has that any more.
type lease struct {
	mutex sync.Mutex
	load  *raw.Load // nil after the end
}

func (l *lease) free() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.load != nil {
		raw.Load_free(l.load)
		l.load = nil
	}
}

func (l *lease) ended() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.load == nil
}

// Begin reads an entry, or gets the lease to load it, or waits for somebody else's load of it. With a Load the caller is to load: there
// is no entry then, or one that it is time to refresh. ErrMiss says that it is known that there is no value, ErrBusy that
// somebody else loads for longer than the option Wait allows. What is loaded must be read by statements that begin after Begin returned.
func (c *Cache) Begin(ctx context.Context, key string, opts ...Option) (*Entry, *Load, error) {
	o := optionsOf(opts)
	ctx, m := c.beginRead(ctx, "load_begin", o, key)
	entry, load, err := c.beginLoad(ctx, key, o)
	m.readEntry(entry, err)
	return entry, load, err
}

func (c *Cache) beginLoad(ctx context.Context, key string, o *options) (*Entry, *Load, error) {
	r, err := c.do(ctx, o, operation{
		direct: func(h *raw.Cache, f *frame) int32 {
			return raw.Load_begin(h, &f.value, &f.load, key, f.how(), f.opts(), f.err())
		},
		submit: func(h *raw.Cache, f *frame) int32 {
			return raw.Submit_load_begin(h, &f.id, key, f.how(), f.opts(), f.err())
		},
		waits: true,
	})
	defer r.free()
	if err != nil {
		return nil, nil, err
	}
	var entry *Entry
	var load *Load
	if r.found.data != nil {
		entry = r.entry()
	}
	if r.load != nil {
		load = &Load{cache: c, lease: r.load}
		runtime.SetFinalizer(load, (*Load).collected)
	}
	if entry == nil && load == nil {
		if end := endOf(ctx); end != nil && Status(r.status) == ErrBusy {
			return nil, nil, ended(end) // the library's wait was over just before
		}
		return nil, nil, outcome(r.status)
	}
	return entry, load, nil
}

var errLoadEnded = invalid("the load has ended")

// An ending is one of C's functions that end a load, in both ways.
type ending struct{ direct, submit func(*raw.Load, *frame) int32 }

// end ends the load, unless that is refused. A direct call that goes on when its caller is gone would still have the load, so there is none
// with a context that may end.
func (l *Load) end(ctx context.Context, name string, o *options, size int, how ending) (reply, error) {
	var m *measured
	if !l.quiet {
		ctx, m = l.cache.begin(ctx, name, o)
	}
	l.lease.mutex.Lock()
	load := l.lease.load
	var r reply
	err := errLoadEnded
	over := false
	if load != nil {
		op := operation{
			direct: func(_ *raw.Cache, f *frame) int32 {
				status := how.direct(load, f)
				over = status != raw.INVALID && status != raw.TOO_LARGE
				return status
			},
			submit: func(_ *raw.Cache, f *frame) int32 {
				status := how.submit(load, f)
				over = status == raw.OK
				return status
			},
		}
		if ctx.Done() == nil {
			r, err = l.cache.do(ctx, o, op)
		} else {
			r, err = l.cache.requestAll(ctx, o, l.cache.core.timeout, op.submit)
		}
	}
	l.lease.mutex.Unlock()
	if over {
		l.forget()
	}
	m.size(size)
	m.end(err)
	return r, err
}

// forget frees what is left of a load that has ended.
func (l *Load) forget() {
	runtime.SetFinalizer(l, nil)
	l.cache.core.disown(l.lease)
}

// Fill stores what was loaded, and gives its version. ErrRefused says that nothing was stored, because the lease is over, or because the entry
// was written or invalidated meanwhile: the value may be used once. Its dependencies are those of the options Tags and Keys.
func (l *Load) Fill(ctx context.Context, value []byte, opts ...Option) (int64, error) {
	return l.fill(ctx, value, optionsOf(opts))
}

func (l *Load) fill(ctx context.Context, value []byte, o *options) (int64, error) {
	r, err := l.end(ctx, "load_fill", o, len(value), ending{
		direct: func(load *raw.Load, f *frame) int32 {
			return raw.Load_fill(load, &f.version, asText(value), int(o.format), f.opts(), f.err())
		},
		submit: func(load *raw.Load, f *frame) int32 {
			return raw.Submit_load_fill(load, &f.id, asText(value), int(o.format), f.opts(), f.err())
		},
	})
	r.free()
	if err == nil {
		err = outcome(r.status)
	}
	return r.version, err
}

// FillAbsent says that there is no value: for the time of the option AbsentTTL loads give ErrMiss.
func (l *Load) FillAbsent(ctx context.Context, opts ...Option) error {
	r, err := l.end(ctx, "load_fill_absent", optionsOf(opts), -1, ending{
		direct: func(load *raw.Load, f *frame) int32 { return raw.Load_fill_absent(load, &f.version, f.opts(), f.err()) },
		submit: func(load *raw.Load, f *frame) int32 {
			return raw.Submit_load_fill_absent(load, &f.id, f.opts(), f.err())
		},
	})
	r.free()
	if err == nil {
		err = outcome(r.status)
	}
	return err
}

// Fail says that the load failed, and gives something stale that may stand in; ErrMiss: there is nothing.
func (l *Load) Fail(ctx context.Context, opts ...Option) (*Entry, error) {
	r, err := l.end(ctx, "load_fail", optionsOf(opts), -1, ending{
		direct: func(load *raw.Load, f *frame) int32 { return raw.Load_fail(load, &f.value, f.opts(), f.err()) },
		submit: func(load *raw.Load, f *frame) int32 { return raw.Submit_load_fail(load, &f.id, f.opts(), f.err()) },
	})
	defer r.free()
	if r.found.data != nil { // also when the server was not reached
		return r.entry(), nil
	}
	if err == nil {
		err = ErrMiss
	}
	return nil, err
}

// Abandon gives the lease back: the next who asks gets it.
func (l *Load) Abandon(ctx context.Context, opts ...Option) error {
	r, err := l.end(ctx, "load_abandon", optionsOf(opts), -1, ending{
		direct: func(load *raw.Load, f *frame) int32 { return raw.Load_abandon(load, f.opts(), f.err()) },
		submit: func(load *raw.Load, f *frame) int32 { return raw.Submit_load_abandon(load, &f.id, f.opts(), f.err()) },
	})
	r.free()
	return err
}

// Extend makes the lease last for so long from now. ErrRefused: it is over, and the load with it.
func (l *Load) Extend(ctx context.Context, span time.Duration, opts ...Option) error {
	o := optionsOf(opts)
	var m *measured
	if !l.quiet {
		ctx, m = l.cache.begin(ctx, "load_extend", o)
	}
	l.lease.mutex.Lock()
	defer l.lease.mutex.Unlock()
	err := errLoadEnded
	if load := l.lease.load; load != nil {
		var r reply
		r, err = l.cache.request(ctx, o, l.cache.core.timeout, func(_ *raw.Cache, f *frame) int32 {
			return raw.Submit_load_extend(load, &f.id, spanOf(span), f.opts(), f.err())
		})
		r.free()
		if err == nil {
			err = outcome(r.status)
		}
	}
	m.end(err)
	return err
}

// Close abandons a load that has not ended; after another end it does nothing. It is meant for defer.
func (l *Load) Close() error {
	if l.lease.ended() {
		return nil // providers hear of no load_abandon
	}
	err := l.Abandon(context.Background())
	l.forget()
	if errors.Is(err, ErrInvalid) {
		return nil // it had ended
	}
	return err
}

// collected is Close for the garbage collector.
func (l *Load) collected() { go l.Close() }
