// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"sync"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// busy makes the key's row locked by somebody else, until the test ends: writes of it wait.
func busy(t *testing.T, schema, key string) {
	t.Helper()
	c := openIn(t, schema)
	put(t, c, key, "v")
	hold(t, fmt.Sprintf(`SELECT "%s".remove('%s')`, schema, key))
}

func TestContextEndedBefore(t *testing.T) {
	c := open(t)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err := c.Put(cancelled, "k", nil)
	want(t, err, context.Canceled)
	want(t, err, pgcache.ErrCancelled)
	late, cancel := context.WithTimeout(ctx, -time.Second)
	defer cancel()
	_, err = c.Get(late, "k")
	want(t, err, context.DeadlineExceeded)
	want(t, err, pgcache.ErrTimeout)
	want(t, c.Fence(cancelled), context.Canceled)
	misses(t, c, "k")
}

func TestContextCancelsWhatWaits(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	c := openIn(t, schema)
	_, err := c.Init(ctx)
	no(t, err)
	busy(t, schema, "k")
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		},
	} {
		ending, cancel := end()
		began := time.Now()
		_, err = c.Put(ending, "k", []byte("w"))
		if took := time.Since(began); took > time.Second {
			t.Fatal(name, " took ", took)
		}
		want(t, err, ending.Err())
		cancel()
	}
	_, err = c.Put(ctx, "k", nil, pgcache.Timeout(100*time.Millisecond))
	if !errors.Is(err, pgcache.ErrTimeout) && !errors.Is(err, pgcache.ErrUnknown) {
		t.Fatal(err)
	}
	_, err = c.Get(ctx, "none", pgcache.Timeout(0))
	want(t, err, pgcache.ErrTimeout)
	_, err = c.Get(ctx, "none", pgcache.Timeout(-1))
	want(t, err, pgcache.ErrInvalid)
	put(t, c, "other", "v") // the cache goes on
}

// unaware is a context that does not tell when its deadline has passed, as one whose timer is late.
type unaware struct {
	context.Context
	until time.Time
}

func (u unaware) Deadline() (time.Time, bool) { return u.until, true }

// What a context ended with is what the error is, whichever way a call takes, and an error that has nothing to do with the context is
// none of its.
func TestContextsOfBothWays(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	for name, settings := range map[string][]pgcache.OpenOption{
		"direct":   nil,
		"requests": {pgcache.Setting("pool_max", 2), pgcache.Setting("async_connections", 2)},
	} {
		c := openIn(t, schema, settings...)
		_, err := c.Init(ctx)
		no(t, err)
		_, lease, err := c.Begin(ctx, name)
		no(t, err)
		late, cancelLate := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err = c.GetOrLoad(late, name, gives("v"))
		cancelLate()
		if !errors.Is(err, pgcache.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
			errors.Is(err, pgcache.ErrCancelled) {
			t.Errorf("%s: after a deadline: %v", name, err)
		}
		_, err = c.GetOrLoad(unaware{ctx, time.Now()}, name, gives("v"))
		if !errors.Is(err, pgcache.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: after a deadline that the context does not know to be over: %v", name, err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err = c.GetOrLoad(cancelled, name, gives("v"))
		if !errors.Is(err, pgcache.ErrCancelled) || !errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: after it was cancelled: %v", name, err)
		}
		no(t, lease.Close())
	}
}

// The default of reads does not hide that a context ended.
func TestContextEndsReadsToo(t *testing.T) {
	t.Parallel()
	c := open(t, pgcache.Setting("on_error", "miss"))
	put(t, c, "k", "v")
	load, cancelLoad := context.WithCancel(ctx)
	defer cancelLoad()
	_, lease, err := c.Begin(ctx, "slow")
	no(t, err)
	defer lease.Close()
	time.AfterFunc(50*time.Millisecond, cancelLoad)
	_, _, err = c.Begin(load, "slow")
	want(t, err, context.Canceled)
}

// Contexts that end at any moment leave neither memory behind nor a lease, whatever is under way: directly, or as requests.
func TestLeaksOfEndedContexts(t *testing.T) {
	c := open(t, pgcache.Setting("near_max_bytes", 0))
	value := make([]byte, 64<<10)
	work := func(rounds int) {
		var all sync.WaitGroup
		for worker := 0; worker < 16; worker++ { // more than there is room for direct calls
			all.Add(1)
			go func(random *rand.Rand) {
				defer all.Done()
				for i := 0; i < rounds; i++ {
					ending, cancel := context.WithTimeout(ctx, time.Duration(random.Intn(3000))*time.Microsecond)
					if random.Intn(2) == 0 {
						time.AfterFunc(time.Duration(random.Intn(1000))*time.Microsecond, cancel)
					}
					key := fmt.Sprint("k", random.Intn(8))
					var err error
					switch i % 6 {
					case 0:
						_, err = c.Put(ending, key, value, pgcache.Tags("t"))
					case 1:
						_, err = c.Get(ending, key)
					case 2:
						var lease *pgcache.Load
						if _, lease, err = c.Begin(ending, "lease "+key, pgcache.Wait(0), pgcache.Lease(time.Second)); lease != nil {
							err = lease.Close()
						}
					case 3:
						err = c.Fence(ending)
					case 4:
						_, err = c.Dependents(ending, pgcache.Tags("t"))
					case 5:
						_, err = c.GetMany(ending, []string{key, "k0", "none"})
					}
					cancel()
					if err != nil && !errors.Is(err, pgcache.ErrMiss) && !errors.Is(err, pgcache.ErrBusy) &&
						!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%d: %v", i%6, err)
					}
				}
			}(rand.New(rand.NewSource(int64(worker))))
		}
		all.Wait()
		for i := 0; i < 8; i++ {
			_, lease, err := c.Begin(ctx, fmt.Sprint("lease k", i), pgcache.Wait(4*time.Second))
			no(t, err)
			if lease == nil {
				t.Fatal("a lease was left behind") // one whose giver was given up in the middle lasts for its time
			}
			no(t, lease.Close())
		}
		runtime.GC()
		runtime.GC()
	}
	rounds := 40
	if long() {
		rounds = 2000
	}
	work(rounds)
	before := figure(t, "VmRSS")
	work(2 * rounds)
	grown := figure(t, "VmRSS") - before
	if underRace {
		t.Logf("SKIPPED: the race detector's own memory grows; %d KiB more", grown)
	} else if grown > 16384 {
		t.Fatalf("%d KiB more after %d rounds", grown, 2*rounds)
	}
}

// A thousand goroutines need two connections, and no thread of their own while they wait.
func TestThousandGoroutines(t *testing.T) {
	c := open(t, pgcache.Setting("near_max_bytes", 0), pgcache.Setting("async_connections", 2),
		pgcache.Setting("pool_max", 2))
	before := threadCount(t) // earlier tests leave some behind
	var all sync.WaitGroup
	failures := make(chan error, 2000)
	start := make(chan struct{})
	for i := 0; i < 1000; i++ {
		key := fmt.Sprint("k", i)
		all.Add(1)
		go func() {
			defer all.Done()
			<-start
			if _, err := c.Put(ctx, key, []byte(key)); err != nil {
				failures <- err
			}
			if value, err := c.Get(ctx, key); err != nil || string(value) != key {
				failures <- fmt.Errorf("%s: %q, %w", key, value, err)
			}
		}()
	}
	close(start)
	all.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	stats, err := c.Stats(ctx)
	no(t, err)
	same(t, stats.Entries, int64(1000))
	if opened := c.Counters().ConnectionsOpened; opened > 2 {
		t.Error("connections: ", opened)
	}
	if threads := threadCount(t) - before; threads > 50+2*runtime.NumCPU() {
		t.Error("more threads: ", threads)
	}
}
