// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"runtime"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A single call is quickest when its thread asks the server itself, and many at once are when they go as requests, which are sent
// together: one request alone takes two to four times as long as a direct call, and of a hundred each takes a third. So a few calls at a
// time are direct, and what comes beyond is requests.
const directMost = 4

// directRoom is how many direct calls there are room for: requests must not want for connections.
func directRoom(poolMax, asyncConnections int) chan struct{} {
	room := poolMax - asyncConnections
	if room > directMost {
		room = directMost
	}
	if room < 0 {
		room = 0
	}
	return make(chan struct{}, room)
}

// An operation is one on one key, in both ways.
type operation struct {
	direct, submit func(*raw.Cache, *frame) int32
	writes         bool
}

// do does an operation on one key. Outcomes are the reply's; it is to be freed after an error, too.
func (c *Cache) do(ctx context.Context, o *options, op operation) (reply, error) {
	select {
	case c.core.direct <- struct{}{}:
	default:
		return c.request(ctx, o, c.core.timeout, op.submit)
	}
	if err := ctx.Err(); err != nil {
		<-c.core.direct
		return reply{}, ended(err)
	}
	f := newFrame(o)
	var err error
	if f.options.dependencies, err = o.dependencies(); err != nil {
		c.core.endDirect(f)
		return reply{}, err
	}
	c.core.bound(ctx, o, c.core.timeout, f)
	if ctx.Done() == nil {
		defer c.core.endDirect(f)
		r, err := c.core.call(f, op.direct)
		runtime.KeepAlive(c)
		return r, err
	}
	return c.callUntil(ctx, f, op)
}

// callUntil has a goroutine of its own make the call, which is left alone when the context ends first: its deadline ends it soon.
func (c *Cache) callUntil(ctx context.Context, f *frame, op operation) (reply, error) {
	type result struct {
		reply reply
		err   error
	}
	over := make(chan result, 1)
	go func() {
		r, err := c.core.call(f, op.direct)
		runtime.KeepAlive(c)
		over <- result{r, err}
	}()
	select {
	case r := <-over:
		c.core.endDirect(f)
		if failure, ok := r.err.(*Error); ok {
			failure.cause = ctx.Err()
		}
		return r.reply, r.err
	case <-ctx.Done():
	}
	go func() {
		r := <-over
		r.reply.free()
		c.core.endDirect(f)
	}()
	err := ended(ctx.Err())
	if op.writes {
		err = &Error{Status: ErrUnknown, Message: "the context ended while the write was under way: it may or may not happen",
			cause: ctx.Err()}
	}
	return reply{}, err
}

// call calls C, with a frame that stays the caller's.
func (c *core) call(f *frame, direct func(*raw.Cache, *frame) int32) (reply, error) {
	if !c.enter() {
		return reply{}, closed()
	}
	defer c.leave()
	f.value, f.version, f.number = nil, 0, 0
	var r reply
	r.status = direct(c.handle, f)
	r.version, r.number, r.value = f.version, f.number, f.value
	if r.status < 0 {
		return r, f.refusal(r.status)
	}
	if r.value != nil {
		raw.Go_look(r.value, f.look())
		r.found = f.found
	}
	return r, nil
}

func (c *core) endDirect(f *frame) {
	f.release()
	<-c.direct
}

// kept is a value as C may read it: a copy where the call may go on after its caller, whose memory it is.
func kept(ctx context.Context, value []byte) string {
	if ctx.Done() == nil {
		return asText(value)
	}
	return string(value)
}
