// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A Cache is one cache as this process sees it, with its settings, connections and near cache. All of its methods may be called by
// any number of goroutines at once.
type Cache struct {
	core      *core
	config    *configuration
	providers []Provider
	schema    string
	namespace string
}

// Open makes a cache. The address is any connection string or URI of libpq's, "null:" for a cache that stores nothing and needs no
// server, or "" for that of the environment variable PGCACHE_URL or DATABASE_URL. Open waits for no server: the janitor opens a
// connection in the background, and the first call that needs one another.
//
// Settings come from these places, the later ones win: the library's defaults, but for on_error, which is miss here; environment
// variables such as PGCACHE_POOL_MAX; [Setting]. A janitor is started with an interval of a minute, see [JanitorEvery].
func Open(address string, options ...OpenOption) (*Cache, error) {
	o := opening{settings: []setting{{"on_error", "miss"}}, janitor: time.Minute}
	for _, option := range options {
		option(&o)
	}
	config, err := o.config(address)
	if err != nil {
		return nil, err
	}
	kept := keep(config)
	f := newFrame(defaults)
	defer f.release()
	var handle *raw.Cache
	if err := f.refusal(raw.New(&handle, config, f.err())); err != nil {
		return nil, err
	}
	c := &core{handle: handle, owners: map[owner]struct{}{}, done: make(chan struct{})}
	c.requests.waiting = map[uint64]chan reply{}
	ms := time.Millisecond
	c.timeout = time.Duration(kept.number("timeout_ms")) * ms
	c.maintenance = time.Duration(kept.number("maintenance_timeout_ms")) * ms
	c.rooms = newRooms(kept.number("pool_max"), kept.number("async_connections"))
	cache := &Cache{core: c, config: kept, providers: o.providers, schema: kept.get("schema"), namespace: kept.get("namespace")}
	if o.janitor != 0 {
		if _, err := startJanitor(c, o.janitor); err != nil {
			c.close()
			return nil, err
		}
	}
	runtime.SetFinalizer(cache, func(c *Cache) { go c.core.close() })
	return cache, nil
}

// Setting is the value of one of the library's settings as the cache was opened with it, such as "namespace", in the form that [Settings]
// describes; "" for what is not set, or not known. Close does not end that.
func (c *Cache) Setting(name string) string { return c.config.get(name) }

// A configuration is C's, and stays in its memory, because an address may hold a password.
type configuration struct {
	mutex  sync.Mutex // C's is for one thread at a time
	config *raw.Config
}

func keep(config *raw.Config) *configuration {
	kept := &configuration{config: config}
	runtime.SetFinalizer(kept, func(c *configuration) { raw.Config_free(c.config) })
	return kept
}

func (c *configuration) get(name string) string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return textOf(raw.Config_get(c.config, name))
}

// number is 0 for what is no number.
func (c *configuration) number(name string) int {
	number, _ := strconv.Atoi(c.get(name))
	return number
}

// Close ends the cache: calls under way return, these and all later ones with ErrClosed, and the connections are closed. It may be
// called more than once. A cache that nobody has any more is closed by the garbage collector.
func (c *Cache) Close() error {
	runtime.SetFinalizer(c, nil)
	c.core.close()
	return nil
}

// Init makes the cache's schema in the database, or brings an older one up to date; it says whether there was anything to do. Many
// processes may call it at once. It needs the privilege to create a schema.
func (c *Cache) Init(ctx context.Context, opts ...Option) (bool, error) {
	return c.schemaCall(ctx, "init", optionsOf(opts), raw.Submit_init)
}

// Upgrade brings an existing schema up to date, and never makes one; it says whether there was anything to do.
func (c *Cache) Upgrade(ctx context.Context, opts ...Option) (bool, error) {
	return c.schemaCall(ctx, "upgrade", optionsOf(opts), raw.Submit_upgrade)
}

func (c *Cache) schemaCall(ctx context.Context, name string, o *options,
	submit func(*raw.Cache, *uint64, unsafe.Pointer, unsafe.Pointer) int32) (bool, error) {
	ctx, m := c.begin(ctx, name, o)
	r, err := c.request(ctx, o, c.core.maintenance, func(h *raw.Cache, f *frame) int32 {
		return submit(h, &f.id, f.opts(), f.err())
	})
	defer r.free()
	m.end(err)
	return err == nil && Status(r.status) == statusOK, err
}

// Fence waits until the near cache has heard of everything that was acknowledged, to anybody, before the call: for whoever was told by
// other means that something was written.
func (c *Cache) Fence(ctx context.Context, opts ...Option) error {
	o := optionsOf(opts)
	ctx, m := c.begin(ctx, "fence", o)
	f, err := c.blocking(ctx, o, c.core.timeout, func(h *raw.Cache, f *frame) int32 {
		return raw.Fence(h, f.opts(), f.err())
	}, func(*frame) {})
	if err == nil {
		f.release()
	}
	m.end(err)
	return err
}
