// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// What an observer is told of.
type Observe uint32

// Flags of Observe.
const (
	// Operations: each operation that ends.
	Operations Observe = 1
	// SlowOperations: those that took as long as the setting slow_ms says, or longer.
	SlowOperations Observe = 2
	// States: of the breaker, the listener and janitors.
	States Observe = 4
	// Log: words for a log.
	Log Observe = 8
	// WithKeys: events hold keys.
	WithKeys Observe = 16
)

// A Level says how grave an event is.
type Level int32

// The levels.
const (
	// LevelDebug is for whoever looks for something.
	LevelDebug Level = 1
	// LevelInfo is for the course of things.
	LevelInfo Level = 2
	// LevelWarning is for what may need somebody.
	LevelWarning Level = 3
	// LevelError is for what failed.
	LevelError Level = 4
)

// An EventKind says what happened.
type EventKind int32

// The kinds of events.
const (
	// OperationEvent: an operation ended.
	OperationEvent EventKind = 1
	// SlowEvent: it took long.
	SlowEvent EventKind = 2
	// StateEvent: something is in another state now, which Outcome tells.
	StateEvent EventKind = 3
	// LogEvent: words for a log, in Message.
	LogEvent EventKind = 4
)

// An Event is something that happened to a cache, as the C library tells it.
type Event struct {
	// Kind says what happened.
	Kind EventKind
	// Level says how grave it is.
	Level Level
	// Operation is the operation's name; of a state what it is of: breaker, listener, janitor.
	Operation string
	// Outcome is hit, or the status in small letters; of a state the state.
	Outcome string
	// Source is near or store.
	Source string
	// Namespace is that of the operation.
	Namespace string
	// Span is what its option Span said.
	Span string
	// Message is that of an error, or of a log: one line.
	Message string
	// SQLState is the server's code of an error.
	SQLState string
	// Status is the operation's; 0 is success.
	Status Status
	// Key is that of an operation on one key, for those who observe WithKeys.
	Key string
	// KeyCount is how many keys it was on.
	KeyCount int
	// Bytes are those of the values that were read or written, as stored; -1: not known.
	Bytes int64
	// Number counts entries: hits of many keys, or what was removed.
	Number int64
	// Began is when it began.
	Began time.Time
	// Duration is how long it took.
	Duration time.Duration
}

// event has the layout of pgcache_event.
type event struct {
	structSize                                                     uintptr
	kind                                                           EventKind
	level                                                          Level
	operation, outcome, source, namespace, span, message, sqlState *byte
	status                                                         Status
	key                                                            *byte
	keyLen, keyCount                                               uint64
	bytes, number, began, duration                                 int64
}

func (e *event) copied() Event {
	return Event{
		Kind: e.kind, Level: e.level, Operation: textOf(e.operation), Outcome: textOf(e.outcome), Source: textOf(e.source),
		Namespace: textOf(e.namespace), Span: textOf(e.span), Message: textOf(e.message), SQLState: textOf(e.sqlState),
		Status: e.status, Key: string(unsafe.Slice(e.key, e.keyLen)), KeyCount: int(e.keyCount), Bytes: e.bytes,
		Number: e.number, Began: time.UnixMicro(e.began), Duration: time.Duration(e.duration),
	}
}

// An Observer is a queue of events. While there is one for operations, each costs a copy of its event.
type Observer struct {
	cache *Cache
	queue *eventQueue
}

// eventQueue is the observer of C's.
type eventQueue struct {
	mutex    sync.RWMutex
	observer *raw.Observer // nil after the end
}

func (q *eventQueue) free() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	raw.Observer_free(q.observer)
	q.observer = nil
}

// Observe makes an observer, with room for so many events that wait to be taken; what does not fit is counted as dropped. level is the
// least that a log's event has. There may be eight at once.
func (c *Cache) Observe(what Observe, level Level, room int) (*Observer, error) {
	q, err := c.core.observe(what, level, room)
	if err != nil {
		return nil, err
	}
	o := &Observer{cache: c, queue: q}
	runtime.SetFinalizer(o, func(o *Observer) { o.cache.core.disown(o.queue) })
	return o, nil
}

func (c *core) observe(what Observe, level Level, room int) (*eventQueue, error) {
	if !c.enter() {
		return nil, closed()
	}
	defer c.leave()
	f := newFrame(defaults)
	defer f.release()
	var observer *raw.Observer
	err := f.refusal(raw.Observe(c.handle, &observer, uint(what), int32(level), int64(room), f.err()))
	if err != nil {
		return nil, err
	}
	q := &eventQueue{observer: observer}
	c.own(q)
	return q, nil
}

// How long a thread waits for an event before it looks at the context, and lets go of the observer.
const observerWait = 50 * time.Millisecond

// Next waits for the oldest event and takes it. ErrClosed says that there is none, and that the cache or the observer was closed.
func (o *Observer) Next(ctx context.Context) (Event, error) {
	event, err := o.queue.await(ctx)
	runtime.KeepAlive(o)
	return event, err
}

func (q *eventQueue) await(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Event{}, ended(err)
		}
		event, err := q.next(observerWait)
		if !errors.Is(err, ErrMiss) {
			return event, err
		}
	}
}

func (q *eventQueue) next(wait time.Duration) (Event, error) {
	q.mutex.RLock()
	defer q.mutex.RUnlock()
	if q.observer == nil {
		return Event{}, closed()
	}
	f := newFrame(defaults)
	defer f.release()
	var pointer unsafe.Pointer
	if err := f.refusal(raw.Observer_next(q.observer, &pointer, spanOf(wait), f.err())); err != nil {
		return Event{}, err
	}
	defer raw.Event_free(pointer)
	return (*event)(pointer).copied(), nil
}

// Dropped is how many events did not fit.
func (o *Observer) Dropped() int64 {
	o.queue.mutex.RLock()
	defer o.queue.mutex.RUnlock()
	if o.queue.observer == nil {
		return 0
	}
	return raw.Observer_dropped(o.queue.observer)
}

// Close ends the observer. It may be called more than once.
func (o *Observer) Close() error {
	runtime.SetFinalizer(o, nil)
	o.cache.core.disown(o.queue)
	return nil
}
