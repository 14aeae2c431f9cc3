// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// Close ends what is under way, whatever that is, and everything after it says so.
func TestCloseWhileInUse(t *testing.T) {
	schema := newSchema()
	first := openIn(t, schema)
	_, err := first.Init(ctx)
	no(t, err)
	for round := 0; round < 10; round++ {
		c := openIn(t, schema)
		_, lease, err := c.Begin(ctx, fmt.Sprint("lease", round))
		no(t, err)
		var all sync.WaitGroup
		for i := 0; i < 32; i++ {
			key := fmt.Sprint("k", i%8)
			all.Add(1)
			go func() {
				defer all.Done()
				for {
					_, err := c.Put(ctx, key, []byte(key))
					if err == nil {
						_, err = c.Get(ctx, key)
					}
					if err == nil {
						_, err = c.GetOrLoad(ctx, key, gives("v"), pgcache.FromStore())
					}
					if err == nil {
						err = c.Fence(ctx)
					}
					if errors.Is(err, pgcache.ErrClosed) || errors.Is(err, pgcache.ErrUnknown) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		time.Sleep(time.Duration(round) * 3 * time.Millisecond)
		no(t, c.Close())
		all.Wait()
		no(t, c.Close())
		_, err = c.Get(ctx, "k")
		want(t, err, pgcache.ErrClosed)
		_, err = c.Peek("k")
		want(t, err, pgcache.ErrClosed)
		want(t, c.Fence(ctx), pgcache.ErrClosed)
		_, err = c.StartJanitor(time.Second)
		want(t, err, pgcache.ErrClosed)
		_, err = lease.Fill(ctx, nil)
		want(t, err, pgcache.ErrInvalid)
		no(t, lease.Close())
	}
}

// A load that outlives its caller, who got something stale, and then its cache.
func TestCloseDuringBackgroundLoad(t *testing.T) {
	for name, kept := range map[string]pgcache.Option{"stale": pgcache.Stale(time.Minute), "late": pgcache.FailSafe(time.Minute)} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			opts := []pgcache.Option{pgcache.TTL(50 * time.Millisecond), pgcache.Wait(20 * time.Millisecond), kept}
			load(t, c, "k", gives("old"), opts...)
			time.Sleep(100 * time.Millisecond)
			begun, ended := make(chan struct{}), make(chan error, 1)
			same(t, load(t, c, "k", func(ctx context.Context) ([]byte, error) {
				close(begun)
				<-ctx.Done()
				ended <- ctx.Err()
				return []byte("late"), nil
			}, opts...), "old")
			<-begun
			no(t, c.Close())
			want(t, <-ended, context.Canceled)
		})
	}
}

// What nobody closes the garbage collector does, whichever comes first.
func TestGarbage(t *testing.T) {
	schema := newSchema()
	keeper := openIn(t, schema)
	_, err := keeper.Init(ctx)
	no(t, err)
	collect := func() {
		for i := 0; i < 3; i++ {
			runtime.GC()
			time.Sleep(2 * time.Millisecond)
		}
	}
	connections := func() string {
		return query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'garbage%'")
	}
	for i := 0; i < 20; i++ {
		c, err := pgcache.Open(address+" application_name=garbage", pgcache.Setting("schema", schema))
		no(t, err)
		_, lease, err := c.Begin(ctx, fmt.Sprint("k", i))
		no(t, err)
		observer, err := c.Observe(pgcache.Operations, pgcache.LevelInfo, 10)
		no(t, err)
		snapshot, err := c.Snapshot()
		no(t, err)
		put(t, c, "k", "v")
		keys := c.Keys(ctx, "")
		switch i % 5 { // what is left to the end
		case 0:
			c = nil
			collect()
			_, err = observer.Next(ctx)
			no(t, err)
		case 1:
			c, observer = nil, nil
			collect()
			_, err = lease.Fill(ctx, nil)
			no(t, err)
		case 2:
			c, observer, lease = nil, nil, nil
			collect()
			same(t, keys.Next(), true)
		case 3:
			c, observer, lease, keys = nil, nil, nil, nil
			collect()
			if len(snapshot.Samples()) == 0 {
				t.Fatal("no samples")
			}
		}
		runtime.KeepAlive(c)
	}
	eventually(t, "all caches are closed", func() bool {
		collect()
		return connections() == "0"
	})
	eventually(t, "the lease of a Load that was dropped is given back", func() bool {
		_, lease, err := keeper.Begin(ctx, "k3", pgcache.Wait(0))
		return err == nil && lease.Close() == nil
	})
}

// Nothing of C's is left behind by any kind of call, with or without success.
func TestLeaks(t *testing.T) {
	rounds := 300
	if long() {
		rounds = 5000
	}
	c := open(t)
	value := make([]byte, 64<<10) // so that one for each round is too much
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	work := func(rounds int) {
		for i := 0; i < rounds; i++ {
			key := fmt.Sprint("k", i%50)
			put(t, c, key, string(value), pgcache.Tags("a", "b"), pgcache.Keys("c"))
			get(t, c, key, pgcache.FromStore())
			_, err := c.GetEntry(ctx, key)
			no(t, err)
			_, _ = c.Get(cancelled, key, pgcache.FromStore())
			_, _ = c.Put(ctx, "", value, pgcache.Tags("a"))
			_, _ = c.Put(ctx, key, value, pgcache.Tags(""))
			_, err = c.PutMany(ctx, []pgcache.Item{{Key: key, Value: value}, {Key: "other", Value: value}})
			no(t, err)
			_, err = c.GetMany(ctx, []string{key, "other", "none"}, pgcache.FromStore())
			no(t, err)
			_, lease, err := c.Begin(ctx, "lease")
			no(t, err)
			no(t, lease.Close())
			if _, err = c.GetOrLoad(ctx, "loaded", fails); err != errLoad {
				t.Fatal(err)
			}
			_, err = c.Dependents(ctx, pgcache.Tags("a"))
			no(t, err)
			_, _ = c.Dependents(cancelled, pgcache.Tags("a"))
			no(t, c.Invalidate(ctx, pgcache.Tags("b")))
			keys := c.Keys(ctx, "k")
			keys.Next()
			no(t, keys.Err())
			snapshot, err := c.Snapshot()
			no(t, err)
			snapshot.Samples()
			no(t, snapshot.Close())
			observer, err := c.Observe(pgcache.Operations, pgcache.LevelInfo, 4)
			no(t, err)
			no(t, observer.Close())
			janitor, err := c.StartJanitor(time.Hour)
			no(t, err)
			no(t, janitor.Stop(ctx))
		}
		runtime.GC()
		runtime.GC()
	}
	work(rounds / 3)
	before := figure(t, "VmRSS")
	work(rounds)
	grown := figure(t, "VmRSS") - before
	if underRace {
		t.Logf("SKIPPED: the race detector's own memory grows; %d KiB more after %d rounds", grown, rounds)
	} else if grown > 12288 {
		t.Fatalf("%d KiB more after %d rounds", grown, rounds)
	}
}
