// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A Janitor deletes what has expired and evicts what is above the limits: at once, and then whenever the last walk of any janitor of the
// schema ended an interval ago. It survives failures, which are counted, and ends with Stop or with its cache.
type Janitor struct {
	cache  *Cache // so that the cache stays; nil for the one of Open
	core   *core
	thread *janitorThread
}

// janitorThread is the janitor of C's.
type janitorThread struct {
	mutex   sync.RWMutex // a stop may wait while another one tells the janitor to stop
	janitor *raw.Janitor
}

func (t *janitorThread) free() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	raw.Janitor_free(t.janitor)
	t.janitor = nil
}

// stop tells it to stop and waits so long.
func (t *janitorThread) stop(wait time.Duration) error {
	t.mutex.RLock()
	defer t.mutex.RUnlock()
	if t.janitor == nil {
		return nil
	}
	f := newFrame(defaults)
	defer f.release()
	return f.refusal(raw.Janitor_stop(t.janitor, spanOf(wait), f.err()))
}

// StartJanitor starts a janitor beside that of Open, or instead of it. interval is a millisecond to a day.
func (c *Cache) StartJanitor(interval time.Duration) (*Janitor, error) {
	janitor, err := startJanitor(c.core, interval)
	if err != nil {
		return nil, err
	}
	janitor.cache = c
	return janitor, nil
}

func startJanitor(c *core, interval time.Duration) (*Janitor, error) {
	if !c.enter() {
		return nil, closed()
	}
	defer c.leave()
	f := newFrame(defaults)
	defer f.release()
	var janitor *raw.Janitor
	if err := f.refusal(raw.Janitor_start(&janitor, c.handle, spanOf(interval), f.err())); err != nil {
		return nil, err
	}
	t := &janitorThread{janitor: janitor}
	c.own(t)
	return &Janitor{core: c, thread: t}, nil
}

// Stop tells the janitor to stop and waits until it has: at most for its statement. If ctx ends first, it stops nevertheless, and the
// error says that it had not yet. It may be called again.
func (j *Janitor) Stop(ctx context.Context) error {
	err := j.thread.stop(0)
	for errors.Is(err, ErrTimeout) {
		if ctx.Err() != nil {
			return ended(ctx.Err())
		}
		err = j.thread.stop(20 * time.Millisecond)
	}
	if err == nil {
		j.core.disown(j.thread)
	}
	return err
}
