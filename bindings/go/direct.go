// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"runtime"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A single call is quickest when its thread asks the server itself, and many at once are when they go as requests, which are sent
// together: one request alone takes two to four times as long as a direct call, and of a hundred each takes a third. A direct call is also
// told at once that no server is there, where requests wait for one. So a few calls at a time are direct, and what comes beyond is requests.
const directMost = 4

// rooms are places for direct calls, which may wait for somebody else's load, or not: those must not keep these waiting.
type rooms struct{ quick, loads chan struct{} }

// newRooms makes room beside requests, which must not want for connections.
func newRooms(poolMax, asyncConnections int) rooms {
	room := poolMax - asyncConnections
	if room > directMost {
		room = directMost
	}
	if room < 0 {
		room = 0
	}
	return rooms{quick: make(chan struct{}, room), loads: make(chan struct{}, room)}
}

// An operation is one on entries, in both ways.
type operation struct {
	direct, submit func(*raw.Cache, *frame) int32
	writes         bool
	waits          bool   // for loads of others
	leftover       func() // frees what direct reads, when its caller has gone; may be nil
}

// do does an operation. Outcomes are the reply's; it is to be freed after an error, too.
func (c *Cache) do(ctx context.Context, o *options, op operation) (reply, error) {
	room := c.core.rooms.quick
	if op.waits {
		room = c.core.rooms.loads
	}
	select {
	case room <- struct{}{}:
	default:
		return c.requestAll(ctx, o, c.core.timeout, op.submit)
	}
	if err := ctx.Err(); err != nil {
		<-room
		return reply{}, ended(err)
	}
	f := newFrame(o)
	over := func() {
		f.release()
		<-room
	}
	var err error
	if f.options.dependencies, err = o.dependencies(); err != nil {
		over()
		return reply{}, err
	}
	c.core.bound(ctx, o, c.core.timeout, f)
	if ctx.Done() == nil {
		defer over()
		r, err := c.core.call(f, op.direct)
		runtime.KeepAlive(c)
		return r, err
	}
	return c.callUntil(ctx, f, op, over)
}

// callUntil has a goroutine of its own make the call, which is left alone when the context ends first: its deadline ends it soon.
func (c *Cache) callUntil(ctx context.Context, f *frame, op operation, over func()) (reply, error) {
	type result struct {
		reply reply
		err   error
	}
	results := make(chan result, 1)
	go func() {
		r, err := c.core.call(f, op.direct)
		runtime.KeepAlive(c)
		results <- result{r, err}
	}()
	select {
	case r := <-results:
		over()
		if failure, ok := r.err.(*Error); ok {
			failure.blame(ctx)
		}
		return r.reply, r.err
	case <-ctx.Done():
	}
	go func() {
		r := <-results
		r.reply.free()
		if r.reply.load != nil {
			c.core.disown(r.reply.load) // which gives the lease back
		}
		if op.leftover != nil {
			op.leftover()
		}
		over()
	}()
	err := ended(ctx.Err())
	if op.writes {
		err = &Error{Status: ErrUnknown, Message: "the context ended while the write was under way: it may or may not happen",
			cause: ctx.Err()}
	}
	return reply{left: true}, err
}

// call calls C, with a frame that stays the caller's.
func (c *core) call(f *frame, direct func(*raw.Cache, *frame) int32) (reply, error) {
	if !c.enter() {
		return reply{}, closed()
	}
	defer c.leave()
	f.value, f.load, f.version, f.number = nil, nil, 0, 0
	r := reply{direct: true}
	r.status = direct(c.handle, f)
	r.version, r.number, r.value = f.version, f.number, f.value
	if f.load != nil {
		r.load = &lease{load: f.load}
		c.own(r.load)
	}
	if r.value != nil {
		raw.Go_look(r.value, f.look())
		r.found = f.found
	}
	if r.status < 0 {
		return r, f.refusal(r.status)
	}
	return r, nil
}

// kept is a value as C may read it: a copy where the call may go on after its caller, whose memory it is.
func kept(ctx context.Context, value []byte) string {
	if ctx.Done() == nil {
		return asText(value)
	}
	return string(value)
}
