// SPDX-License-Identifier: MIT

package pgcache

import (
	"sync"
	"time"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A core is a handle of C's with all that hangs on it. It knows nothing of the Cache that has it, so that the garbage collector can
// tell when nobody has that any more. C's memory goes in this order: requests, loads and observers, the handle.
type core struct {
	handle *raw.Cache

	mutex  sync.RWMutex // read-locked during each call of C with the handle
	closed bool         // no call begins any more

	requests requests
	rooms    rooms

	ownersMutex sync.Mutex
	owners      map[owner]struct{}
	freeing     sync.WaitGroup // those that are in the map no more, and not freed yet

	timeout, maintenance time.Duration // the settings timeout_ms and maintenance_timeout_ms

	closing sync.Once
	done    chan struct{} // closed with the beginning of the end
}

// An owner has something of C's that must be gone before the handle.
type owner interface{ free() }

// enter begins a call of C with the handle, which leave ends; false: the cache was closed.
func (c *core) enter() bool {
	c.mutex.RLock()
	if c.closed {
		c.mutex.RUnlock()
		return false
	}
	return true
}

func (c *core) leave() { c.mutex.RUnlock() }

// own notes what must be freed before the handle.
func (c *core) own(o owner) {
	c.ownersMutex.Lock()
	c.owners[o] = struct{}{}
	c.ownersMutex.Unlock()
}

// disown frees it now. The handle is not freed before that is done.
func (c *core) disown(o owner) {
	c.ownersMutex.Lock()
	_, here := c.owners[o]
	delete(c.owners, o)
	if here {
		c.freeing.Add(1)
		defer c.freeing.Done()
	}
	c.ownersMutex.Unlock()
	o.free() // nothing, if somebody else has done it
}

// close shuts down and frees; whoever calls it while another one is at it waits for him.
func (c *core) close() {
	c.closing.Do(func() {
		close(c.done)
		raw.Shutdown(c.handle) // wakes whoever waits in C, so that the lock is to be had
		c.mutex.Lock()
		c.closed = true
		c.mutex.Unlock()
		c.requests.stop()
		c.ownersMutex.Lock()
		owners := c.owners
		c.owners = map[owner]struct{}{}
		c.ownersMutex.Unlock()
		for o := range owners {
			o.free()
		}
		c.freeing.Wait()
		raw.Free(c.handle)
	})
}
