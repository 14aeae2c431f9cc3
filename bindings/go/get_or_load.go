// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// GetOrLoad reads an entry, and has it loaded if it is missing or stale: by one caller in all processes, while the others wait for it. What the
// function returns is stored with the options' TTL, Tags and Keys, unless something that it depends on was invalidated meanwhile,
// and given to the caller in any case.
//
// The function is called on this goroutine, with ctx or a context made of it. If it fails, something stale stands in, where the option
// FailSafe allows for it; else its error is returned as it is. ErrMiss is no failure: it says that there is no value, which is
// remembered for AbsentTTL. If it panics, the lease is given back, and the panic goes on.
//
// Where the caller may be gone before it ends, it is called on another goroutine, with a context that has ctx's values and ends with the
// lease: to refresh what was given stale (Stale) or early (Early); and with FailSafe or Stale always, because when it takes longer than
// Wait something stale may stand in. A panic then reaches the caller if he still waits, and else ends the program. A context that ends
// ends the caller's waiting at once, and with it the load.
//
// The option Timeout bounds what is asked of the server, and with FailSafe or Stale, as Wait does, how long the caller waits before
// something stale stands in; never how long the function takes, which the context and Lease do.
//
// Of a value that cannot be stored, for its size or because of wrong options, the error is returned.
func (c *Cache) GetOrLoad(ctx context.Context, key string, load func(context.Context) ([]byte, error),
	opts ...Option) ([]byte, error) {
	o := optionsOf(opts)
	entry, err := c.getOrLoad(ctx, key, o, func(ctx context.Context) ([]byte, ValueFormat, error) {
		value, err := load(ctx)
		return value, o.format, err
	})
	if err != nil {
		return nil, err
	}
	return entry.Value, nil
}

// loader computes a value.
type loader func(context.Context) ([]byte, ValueFormat, error)

// What providers hear of a load that panicked or ended its goroutine.
var errNotReturned = errors.New("pgcache: the function that loads did not return")

func (c *Cache) getOrLoad(ctx context.Context, key string, o *options, load loader) (*Entry, error) {
	ctx, m := c.beginRead(ctx, "get_or_load", o, key)
	var entry *Entry
	loaded, err := false, errNotReturned
	defer func() { // also when it does not return
		if entry != nil {
			m.size(len(entry.Value))
			if !loaded {
				m.hit(1, len(entry.Value))
			}
		}
		m.end(err)
	}()
	entry, loaded, err = c.readOrLoad(ctx, key, o, load)
	return entry, err
}

// readOrLoad says, too, whether the entry is what was loaded, not something that was there.
func (c *Cache) readOrLoad(ctx context.Context, key string, o *options, load loader) (entry *Entry, loaded bool, err error) {
	if o.plan.early == 0 {
		if entry = c.peekEntry(key, o); entry != nil {
			return entry, false, nil
		}
	}
	began := time.Now()
	entry, lease, err := c.beginLoad(ctx, key, o)
	if err != nil || lease == nil {
		return entry, false, err
	}
	lease.quiet = true
	job := &job{lease: lease, key: key, options: o, load: load}
	if entry != nil {
		go job.alone(ctx)
		return entry, false, nil
	}
	if o.plan.stale > 0 || o.plan.failSafe > 0 {
		entry, err = job.inTime(ctx, began)
	} else {
		entry, err = job.run(ctx)
	}
	return entry, entry != nil && !entry.Stale, err
}

// A job is a load under way.
type job struct {
	lease   *Load
	key     string
	options *options
	load    loader
}

// run loads and stores on this goroutine.
func (j *job) run(ctx context.Context) (*Entry, error) {
	defer j.lease.Close() // after a panic or runtime.Goexit the next who asks is to load
	value, format, err := j.load(ctx)
	// What was loaded is worth storing also when the caller is in a hurry, and what failed worth telling.
	ending := detached{ctx}
	switch {
	case err == nil:
		o := *j.options
		o.format = format
		if value == nil {
			value = []byte{}
		}
		entry := &Entry{Value: value, Format: format}
		entry.Version, err = j.lease.fill(ending, value, &o)
		if err != errLoadEnded && (errors.Is(err, ErrInvalid) || errors.Is(err, ErrTooLarge)) {
			return nil, err // which is the program's fault, and no later load would do better
		}
		return entry, nil // stored or not, the value is the caller's; measurements tell
	case errors.Is(err, ErrMiss):
		_ = j.lease.FillAbsent(ending, j.again())
		return nil, err
	case ctx.Err() == context.Canceled, errors.Is(err, ErrFormat):
		return nil, err // the caller was, or the value cannot be written: the load has not failed, and is abandoned
	}
	if stale, _ := j.lease.Fail(ending, j.again()); stale != nil {
		return stale, nil
	}
	return nil, err
}

// again gives the ends of a load the same options as its begin.
func (j *job) again() Option { return func(o *options) { *o = *j.options } }

// apart is a context for a load whose caller may be gone: it ends with the lease, or with the cache.
func (j *job) apart(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(detached{ctx}, time.Duration(j.options.plan.lease)*time.Millisecond)
	go func() {
		select {
		case <-j.lease.cache.core.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// alone loads when nobody waits for it.
func (j *job) alone(ctx context.Context) {
	ctx, cancel := j.apart(ctx)
	defer cancel()
	_, _ = j.run(ctx)
}

// inTime loads, and has something stale stand in if that takes too long and there is something.
func (j *job) inTime(ctx context.Context, began time.Time) (*Entry, error) {
	over := make(chan result)
	left := make(chan struct{}) // closed when the caller does not wait any more
	defer close(left)
	loading, cancel := j.apart(ctx)
	go func() {
		defer cancel()
		j.report(loading, over, left)
	}()
	late := time.NewTimer(time.Until(began.Add(j.patience(ctx))))
	defer late.Stop()
	for {
		select {
		case r := <-over:
			return r.give()
		case <-late.C:
			if stale := j.standIn(ctx); stale != nil {
				return stale, nil // and the load goes on
			}
		case <-ctx.Done():
			cancel()
			return nil, ended(ctx.Err())
		case <-j.lease.cache.core.done:
			return nil, closed()
		}
	}
}

// A result is how a load on another goroutine ended.
type result struct {
	entry    *Entry
	err      error
	panicked any
	returned bool // else it panicked, or ended its goroutine
}

// report runs the load and tells its caller, if he still waits.
func (j *job) report(ctx context.Context, over chan<- result, left <-chan struct{}) {
	var r result
	defer func() {
		if !r.returned {
			r.panicked = recover()
		}
		select {
		case over <- r:
		case <-left:
			if r.panicked != nil {
				panic(r.panicked) // there is nobody else to tell
			}
		}
	}()
	r.entry, r.err = j.run(ctx)
	r.returned = true
}

// give ends the caller's goroutine as the load's ended.
func (r *result) give() (*Entry, error) {
	if r.panicked != nil {
		panic(r.panicked)
	}
	if !r.returned {
		runtime.Goexit()
	}
	return r.entry, r.err
}

// patience is how long the caller wants to wait before something stale stands in: of what a context's deadline leaves, most, because
// something stale has to be asked for before it.
func (j *job) patience(ctx context.Context) time.Duration {
	patience := j.lease.cache.core.timeout
	if j.options.hasTimeout {
		patience = j.options.timeout
	}
	if wait := j.options.plan.wait; wait >= 0 && wait < patience.Milliseconds() {
		patience = time.Duration(wait) * time.Millisecond
	}
	if until, ok := ctx.Deadline(); ok {
		if most := time.Until(until) * 9 / 10; most < patience {
			patience = most
		}
	}
	return patience
}

// standIn asks, as everybody else does while the load is under way, without waiting for it.
func (j *job) standIn(ctx context.Context) *Entry {
	o := *j.options
	o.plan.wait = 0
	o.plan.early = 0
	o.timeout, o.hasTimeout = 0, false
	entry, lease, _ := j.lease.cache.beginLoad(ctx, j.key, &o)
	if lease != nil {
		lease.quiet = true
		go lease.Close() // ours has ended meanwhile, and this one is not wanted
	}
	return entry
}

// detached is a context with the values of another one, which does not end with it.
type detached struct{ context.Context }

func (detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (detached) Done() <-chan struct{}       { return nil }
func (detached) Err() error                  { return nil }
