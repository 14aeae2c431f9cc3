// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// What may ask the server is a request of the library's, but for what direct.go does and what there is no request for: it is submitted,
// which never waits, and the goroutine sleeps until its completion was taken by the one goroutine that the network poller wakes. So a
// thousand requests under way take no thread, and no more than the connections of the library's engine, and a context that ends ends
// its request at once.
type requests struct {
	mutex   sync.Mutex
	waiting map[uint64]chan reply // by token
	token   uint64

	underWay sync.WaitGroup

	starting sync.Mutex
	started  atomic.Bool
	event    *os.File      // a descriptor of our own for pgcache_event_fd
	stopping chan struct{} // closed when no completion comes any more
	stopped  chan struct{} // closed when none is taken any more
}

// done has the layout of pgcache_go_done.
type done struct {
	completion *raw.Completion
	load       *raw.Load
	found      found
	token      uint64
	version    int64
	number     int64
	count      uint64
	status     int32
}

// A reply is what became of a request or a direct call. It is to be freed, more often if need be.
type reply struct {
	done
	load   *lease
	value  *raw.Value // of a direct call
	direct bool
	left   bool // the call goes on, and what it reads is its own
}

func (r *reply) free() {
	if r.value != nil {
		raw.Value_free(r.value)
		r.value = nil
	}
	if r.completion != nil {
		raw.Completion_free(r.completion)
		r.completion = nil
	}
}

// entry copies the value.
func (r *reply) entry() *Entry { return r.found.entry(bytesOf(r.found.data, r.found.size)) }

// error is nil for outcomes.
func (r *reply) error(ctx context.Context) error {
	if r.status >= 0 {
		return nil
	}
	err := &Error{
		Status:   Status(r.status),
		SQLState: textOf(raw.Completion_sqlstate(r.completion)),
		Message:  textOf(raw.Completion_message(r.completion)),
	}
	err.blame(ctx)
	return err
}

// ---- Taking completions ------------------------------------------------------------------------------------------------

// start has completions taken, from the first request on. What fails is tried again by the next one.
func (c *core) start() error {
	r := &c.requests
	if r.started.Load() {
		return nil
	}
	r.starting.Lock()
	defer r.starting.Unlock()
	if r.started.Load() {
		return nil
	}
	var fd int32
	f := newFrame(defaults)
	defer f.release()
	if err := f.refusal(raw.Event_fd(c.handle, &fd, f.err())); err != nil {
		return err
	}
	own, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return &Error{Status: ErrNoMemory, Message: "no descriptor is left", cause: errno}
	}
	event := os.NewFile(own, "pgcache events")
	conn, err := event.SyscallConn()
	if err != nil {
		event.Close()
		return &Error{Status: ErrNoMemory, Message: "the descriptor of events cannot be watched", cause: err}
	}
	r.event, r.stopping, r.stopped = event, make(chan struct{}), make(chan struct{})
	go c.takeAll(conn)
	r.started.Store(true)
	return nil
}

// takeAll delivers completions until there are none any more. Should the network poller fail before that, the cache is closed, so that
// nobody waits in vain.
func (c *core) takeAll(conn syscall.RawConn) {
	defer close(c.requests.stopped)
	taken := make([]done, 64)
	_ = conn.Read(func(uintptr) bool {
		c.takeSome(taken)
		return false
	}) // ends when the file is closed
	select {
	case <-c.requests.stopping:
		return
	default:
	}
	go c.close()
	for {
		c.takeSome(taken)
		select {
		case <-c.requests.stopping:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// takeSome delivers what waits.
func (c *core) takeSome(room []done) {
	for {
		n := int(raw.Go_take(c.handle, unsafe.Pointer(&room[0]), int64(len(room))))
		for i := range room[:n] {
			c.deliver(room[i])
		}
		if n < len(room) {
			return
		}
	}
}

func (c *core) deliver(d done) {
	r := reply{done: d}
	if d.load != nil {
		r.load = &lease{load: d.load}
		c.own(r.load)
	}
	c.requests.mutex.Lock()
	to := c.requests.waiting[d.token]
	delete(c.requests.waiting, d.token)
	c.requests.mutex.Unlock()
	if to == nil { // a token that is not ours
		r.free()
		return
	}
	to <- r // has room for one
	c.requests.underWay.Done()
}

// stop ends the taking of completions when the last one was taken; the handle was shut down, so all are complete.
func (r *requests) stop() {
	r.underWay.Wait()
	if r.started.Load() {
		close(r.stopping)
		r.event.Close()
		<-r.stopped
	}
}

// ---- Making requests -----------------------------------------------------------------------------------------------------

var replies = sync.Pool{New: func() any { return make(chan reply, 1) }}

func (r *requests) expect() (uint64, chan reply) {
	to := replies.Get().(chan reply)
	r.mutex.Lock()
	r.token++
	token := r.token
	r.waiting[token] = to
	r.mutex.Unlock()
	r.underWay.Add(1)
	return token, to
}

func (r *requests) forget(token uint64) {
	r.mutex.Lock()
	to := r.waiting[token]
	delete(r.waiting, token)
	r.mutex.Unlock()
	replies.Put(to)
	r.underWay.Done()
}

// submit sends a request on its way. submitting calls one of C's submit functions.
func (c *core) submit(f *frame, submitting func(*raw.Cache, *frame) int32) (chan reply, error) {
	if !c.enter() {
		return nil, closed()
	}
	defer c.leave()
	if err := c.start(); err != nil {
		return nil, err
	}
	token, to := c.requests.expect()
	f.options.token = token
	if status := submitting(c.handle, f); status != raw.OK {
		c.requests.forget(token)
		return nil, f.refusal(status)
	}
	return to, nil
}

// slack is how much later than its context a request ends by itself: the context is to be the one that ends it.
const slack = 20 * time.Millisecond

// bound sets the call's deadline: the earlier one of the context's and that of the options or settings.
func (c *core) bound(ctx context.Context, o *options, limit time.Duration, f *frame) {
	if o.hasTimeout {
		limit = o.timeout
	}
	if until, ok := ctx.Deadline(); ok {
		left := time.Until(until) + slack
		if left < time.Millisecond {
			left = time.Millisecond // one that passed meanwhile has passed, where none at all asks not to wait: ErrBusy
		}
		if left < limit {
			limit = left
		}
	}
	f.setDeadline(limit)
}

// request makes a request and waits for what becomes of it. An error of the library comes as such; outcomes are the reply's.
func (c *Cache) request(ctx context.Context, o *options, limit time.Duration,
	submitting func(*raw.Cache, *frame) int32) (reply, error) {
	r, err := c.requestAll(ctx, o, limit, submitting)
	if err != nil {
		r.free()
	}
	return r, err
}

// requestAll is request for completions that tell something beside an error, too: the reply is to be freed in any case.
func (c *Cache) requestAll(ctx context.Context, o *options, limit time.Duration,
	submitting func(*raw.Cache, *frame) int32) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, ended(err)
	}
	f := newFrame(o)
	defer f.release()
	var err error
	if f.options.dependencies, err = o.dependencies(); err != nil {
		return reply{}, err
	}
	c.core.bound(ctx, o, limit, f)
	to, err := c.core.submit(f, submitting)
	if err != nil {
		return reply{}, err
	}
	r := c.core.await(ctx, to, f)
	runtime.KeepAlive(c) // whose finalizer would close the core
	return r, r.error(ctx)
}

// await waits for a reply, and has the request given up when the context ends: then its completion comes at once.
func (c *core) await(ctx context.Context, to chan reply, f *frame) reply {
	var r reply
	select {
	case r = <-to:
	case <-ctx.Done():
		if c.enter() {
			raw.Cancel(c.handle, f.id, nil)
			c.leave()
		}
		r = <-to
	}
	replies.Put(to)
	return r
}

// blocking does what there is no request for on a goroutine of its own, and leaves that alone when the context ends first; its own
// deadline ends it soon. leftover frees what such a call gave after all.
func (c *Cache) blocking(ctx context.Context, o *options, limit time.Duration, call func(*raw.Cache, *frame) int32,
	leftover func(*frame)) (*frame, error) {
	if err := ctx.Err(); err != nil {
		return nil, ended(err)
	}
	f := newFrame(o)
	c.core.bound(ctx, o, limit, f)
	over := make(chan error, 1)
	go func() {
		if !c.core.enter() {
			over <- closed()
			return
		}
		defer c.core.leave()
		over <- f.refusal(call(c.core.handle, f))
		runtime.KeepAlive(c)
	}()
	select {
	case err := <-over:
		if err != nil {
			f.release()
			return nil, err
		}
		return f, nil
	case <-ctx.Done():
		go func() {
			if <-over == nil {
				leftover(f)
			}
			f.release()
		}()
		return nil, ended(ctx.Err())
	}
}
