// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

var errLoad = errors.New("the loader fails")

func gives(value string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(value), nil }
}

func fails(context.Context) ([]byte, error) { return nil, errLoad }

func load(t testing.TB, c *pgcache.Cache, key string, loader func(context.Context) ([]byte, error), opts ...pgcache.Option) string {
	t.Helper()
	value, err := c.GetOrLoad(ctx, key, loader, opts...)
	no(t, err)
	return string(value)
}

// herd has goroutines ask for one key at the same time, and gives how often it was loaded.
func herd(t testing.TB, c *pgcache.Cache, goroutines int) int64 {
	var loads int64
	var all sync.WaitGroup
	for i := 0; i < goroutines; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			value, err := c.GetOrLoad(ctx, "herd", func(context.Context) ([]byte, error) {
				atomic.AddInt64(&loads, 1)
				time.Sleep(300 * time.Millisecond)
				return []byte("loaded"), nil
			})
			if err != nil || string(value) != "loaded" {
				t.Errorf("%q, %v", value, err)
			}
		}()
	}
	all.Wait()
	return loads
}

func TestA40LoadedOnce(t *testing.T) {
	t.Parallel()
	same(t, herd(t, open(t), 1000), 1)
}

// The same from several processes, which this test starts of itself.
func TestA40LoadedOnceByAllProcesses(t *testing.T) {
	if schema := os.Getenv("PGCACHE_TEST_HERD"); schema != "" {
		fmt.Printf("loads=%d\n", herd(t, openIn(t, schema), 50))
		return
	}
	processes := 4
	if long() {
		processes = 20
	}
	schema := newSchema()
	_, err := openIn(t, schema).Init(ctx)
	no(t, err)
	var all sync.WaitGroup
	var sum int64
	for i := 0; i < processes; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			command := exec.Command(os.Args[0], "-test.run=^TestA40LoadedOnceByAllProcesses$", "-test.v")
			command.Env = append(os.Environ(), "PGCACHE_TEST_HERD="+schema)
			out, err := command.CombinedOutput()
			_, after, _ := strings.Cut(string(out), "loads=")
			digits, _, _ := strings.Cut(after, "\n")
			loads, wrong := strconv.ParseInt(digits, 10, 64)
			if err != nil || wrong != nil {
				t.Errorf("%v: %s", err, out)
			}
			atomic.AddInt64(&sum, loads)
		}()
	}
	all.Wait()
	same(t, sum, 1)
}

func TestA41LoaderFails(t *testing.T) {
	t.Parallel()
	c := open(t)
	_, err := c.GetOrLoad(ctx, "k", fails)
	if err != errLoad {
		t.Fatal("another error came back: ", err)
	}
	misses(t, c, "k")
	same(t, load(t, c, "k", gives("v")), "v")
	same(t, load(t, c, "k", fails), "v")
}

// A panic goes through, and the lease does not stay behind.
func TestLoaderPanics(t *testing.T) {
	t.Parallel()
	c := open(t)
	for name, opts := range map[string][]pgcache.Option{"here": nil, "elsewhere": {pgcache.FailSafe(time.Minute)}} {
		t.Run(name, func(t *testing.T) {
			func() {
				defer func() { same(t, fmt.Sprint(recover()), "out of order") }()
				_, _ = c.GetOrLoad(ctx, name, func(context.Context) ([]byte, error) { panic("out of order") }, opts...)
				t.Error("it returned")
			}()
			same(t, load(t, c, name, gives("v"), append(opts, pgcache.Wait(2*time.Second))...), "v")
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = c.GetOrLoad(ctx, name+" exits", func(context.Context) ([]byte, error) {
				(&testing.T{}).SkipNow() // runtime.Goexit
				return nil, nil
			}, opts...)
			t.Error("it returned")
		}()
		<-ended
		same(t, load(t, c, name+" exits", gives("v"), pgcache.Wait(2*time.Second)), "v")
	}
}

// A caller who is cancelled has not failed: the next one loads at once, and nothing stale stands in.
func TestLoaderCancelled(t *testing.T) {
	t.Parallel()
	c := open(t)
	cancelled, cancel := context.WithCancel(ctx)
	_, err := c.GetOrLoad(cancelled, "k", func(ctx context.Context) ([]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	want(t, err, context.Canceled)
	same(t, load(t, c, "k", gives("v"), pgcache.Wait(2*time.Second)), "v")
	same(t, c.Counters().LoadFailures, int64(0))
}

func TestA43LoadersThatUseTheCache(t *testing.T) {
	t.Parallel()
	c := open(t, pgcache.Setting("pool_max", 1))
	var all sync.WaitGroup
	for i := 0; i < 16; i++ {
		key := fmt.Sprint("outer", i%4)
		all.Add(1)
		go func() {
			defer all.Done()
			value, err := c.GetOrLoad(ctx, key, func(ctx context.Context) ([]byte, error) {
				if _, err := c.Put(ctx, "inner", []byte("v")); err != nil {
					return nil, err
				}
				return c.GetOrLoad(ctx, "nested", func(ctx context.Context) ([]byte, error) {
					return c.Get(ctx, "inner", pgcache.FromStore())
				})
			})
			if err != nil || string(value) != "v" {
				t.Errorf("%q, %v", value, err)
			}
		}()
	}
	all.Wait()
}

func TestA45StaleWhileRefreshed(t *testing.T) {
	t.Parallel()
	c := open(t)
	opts := []pgcache.Option{pgcache.TTL(100 * time.Millisecond), pgcache.Stale(time.Minute)}
	same(t, load(t, c, "k", gives("old"), opts...), "old")
	time.Sleep(200 * time.Millisecond)
	misses(t, c, "k")
	type valueKey struct{}
	asked, cancel := context.WithCancel(context.WithValue(ctx, valueKey{}, "kept"))
	refreshing := make(chan error, 1)
	value, err := c.GetOrLoad(asked, "k", func(ctx context.Context) ([]byte, error) {
		<-asked.Done() // the caller is gone
		_, limited := ctx.Deadline()
		if ctx.Err() != nil || !limited || ctx.Value(valueKey{}) != "kept" {
			refreshing <- errors.New("the context ended with the caller's, or has lost its values")
		}
		refreshing <- nil
		return []byte("new"), nil
	}, pgcache.TTL(time.Minute), pgcache.Stale(time.Minute))
	no(t, err)
	same(t, string(value), "old")
	cancel()
	no(t, <-refreshing)
	eventually(t, "the new value", func() bool {
		value, err := c.Get(ctx, "k")
		return err == nil && string(value) == "new"
	})
}

func TestA45FailSafe(t *testing.T) {
	t.Parallel()
	c := open(t)
	opts := []pgcache.Option{pgcache.TTL(100 * time.Millisecond), pgcache.FailSafe(time.Minute), pgcache.Throttle(time.Minute)}
	same(t, load(t, c, "k", gives("old"), opts...), "old")
	time.Sleep(200 * time.Millisecond)
	same(t, load(t, c, "k", fails, opts...), "old")
	called := false
	same(t, load(t, c, "k", func(context.Context) ([]byte, error) { called = true; return nil, errLoad }, opts...), "old")
	same(t, called, false) // throttled
}

// Soft: something stale stands in for a load that is late, which is stored when it comes. Hard: a context ends it.
func TestA45Timeouts(t *testing.T) {
	t.Parallel()
	c := open(t)
	opts := []pgcache.Option{pgcache.TTL(100 * time.Millisecond), pgcache.FailSafe(time.Minute), pgcache.Wait(50 * time.Millisecond)}
	same(t, load(t, c, "k", gives("old"), opts...), "old")
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	same(t, load(t, c, "k", func(context.Context) ([]byte, error) {
		time.Sleep(600 * time.Millisecond)
		return []byte("new"), nil
	}, append(opts, pgcache.TTL(time.Minute))...), "old")
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Fatal("it took ", took)
	}
	eventually(t, "the late value", func() bool {
		value, err := c.Get(ctx, "k")
		return err == nil && string(value) == "new"
	})
	hard, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	for key, opts := range map[string][]pgcache.Option{"here": nil, "elsewhere": {pgcache.FailSafe(time.Minute)}} {
		_, err := c.GetOrLoad(hard, key, func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, opts...)
		want(t, err, context.DeadlineExceeded)
	}
}

func TestA45Early(t *testing.T) {
	t.Parallel()
	c := open(t)
	opts := []pgcache.Option{pgcache.TTL(time.Second), pgcache.Early(1000)}
	same(t, load(t, c, "k", func(context.Context) ([]byte, error) {
		time.Sleep(300 * time.Millisecond)
		return []byte("old"), nil
	}, opts...), "old")
	var refreshed int32
	eventually(t, "an early refresh", func() bool {
		value := load(t, c, "k", func(context.Context) ([]byte, error) {
			atomic.StoreInt32(&refreshed, 1)
			return []byte("new"), nil
		}, append(opts, pgcache.TTL(time.Minute))...)
		return value == "new" && atomic.LoadInt32(&refreshed) == 1
	})
}

func TestA45Absent(t *testing.T) {
	t.Parallel()
	c := open(t)
	absent := func(context.Context) ([]byte, error) { return nil, pgcache.ErrMiss }
	_, err := c.GetOrLoad(ctx, "k", absent, pgcache.AbsentTTL(time.Minute))
	want(t, err, pgcache.ErrMiss)
	_, err = c.GetOrLoad(ctx, "k", gives("v"), pgcache.AbsentTTL(time.Minute))
	want(t, err, pgcache.ErrMiss) // it is known
}

func TestA46InvalidatedMeanwhile(t *testing.T) {
	t.Parallel()
	c := open(t)
	same(t, load(t, c, "k", func(ctx context.Context) ([]byte, error) {
		return []byte("false by now"), c.Invalidate(ctx, pgcache.Tags("orders"))
	}, pgcache.Tags("orders")), "false by now")
	misses(t, c, "k")
	_, lease, err := c.Begin(ctx, "k")
	no(t, err)
	no(t, c.Invalidate(ctx, pgcache.Keys("k")))
	_, err = lease.Fill(ctx, []byte("old"))
	want(t, err, pgcache.ErrRefused)
	misses(t, c, "k", pgcache.FromStore())
}

func TestLoadObject(t *testing.T) {
	t.Parallel()
	c := open(t)
	entry, lease, err := c.Begin(ctx, "k", pgcache.TTL(time.Minute), pgcache.Lease(time.Second))
	no(t, err)
	if entry != nil || lease == nil {
		t.Fatal("no lease")
	}
	_, _, err = c.Begin(ctx, "k", pgcache.Wait(0))
	want(t, err, pgcache.ErrBusy)
	no(t, lease.Extend(ctx, time.Minute))
	want(t, lease.Extend(ctx, 2*time.Hour), pgcache.ErrInvalid)
	_, err = lease.Fill(ctx, []byte("v"), pgcache.Tags(strings.Repeat("t", 256)))
	want(t, err, pgcache.ErrTooLarge) // refused, and so it goes on
	version, err := lease.Fill(ctx, []byte("v"), pgcache.Tags("t"), pgcache.Format(pgcache.FormatJSON))
	no(t, err)
	entry, err = c.GetEntry(ctx, "k")
	no(t, err)
	same(t, entry.Version, version)
	same(t, entry.Format, pgcache.FormatJSON)
	_, err = lease.Fill(ctx, nil)
	want(t, err, pgcache.ErrInvalid) // it has ended
	want(t, lease.Extend(ctx, time.Second), pgcache.ErrInvalid)
	no(t, lease.Close())
	no(t, lease.Close())

	_, lease, err = c.Begin(ctx, "abandoned")
	no(t, err)
	no(t, lease.Abandon(ctx))
	_, lease, err = c.Begin(ctx, "abandoned")
	no(t, err)
	no(t, lease.Close())
	_, lease, err = c.Begin(ctx, "abandoned", pgcache.Wait(2*time.Second))
	no(t, err)
	_, err = lease.Fail(ctx)
	want(t, err, pgcache.ErrMiss)
	_, lease, err = c.Begin(ctx, "abandoned")
	no(t, err)
	no(t, lease.FillAbsent(ctx))
}

// What ends the caller's waiting ends it at once, whatever might stand in; and with most of a deadline gone something stale does.
func TestEndsOfWaitingInTime(t *testing.T) {
	t.Parallel()
	c := open(t)
	opts := []pgcache.Option{pgcache.TTL(50 * time.Millisecond), pgcache.FailSafe(time.Minute)}
	slow := make(chan struct{})
	defer close(slow)
	forever := func(context.Context) ([]byte, error) {
		<-slow
		return nil, errLoad
	}
	for _, key := range []string{"cancelled", "late", "closed"} {
		same(t, load(t, c, key, gives("old"), opts...), "old")
	}
	time.Sleep(100 * time.Millisecond)
	cancelled, cancel := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := c.GetOrLoad(cancelled, "cancelled", forever, opts...)
	want(t, err, context.Canceled)
	soon, cancelSoon := context.WithTimeout(ctx, time.Second)
	defer cancelSoon()
	value, err := c.GetOrLoad(soon, "late", forever, opts...)
	no(t, err)
	same(t, string(value), "old")
	no(t, soon.Err())
	time.AfterFunc(50*time.Millisecond, func() { c.Close() })
	_, err = c.GetOrLoad(ctx, "closed", forever, opts...)
	want(t, err, pgcache.ErrClosed)
}

// What cannot be stored because the program is wrong is told, and a value that cannot be written is no load that failed.
func TestLoadsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	c := open(t)
	_, err := c.GetOrLoad(ctx, "k", gives("v"), pgcache.Tags(""))
	want(t, err, pgcache.ErrInvalid)
	_, err = c.GetOrLoad(ctx, "k", gives("v"), pgcache.Tags(strings.Repeat("t", 256)))
	want(t, err, pgcache.ErrTooLarge)
	opts := []pgcache.Option{pgcache.TTL(50 * time.Millisecond), pgcache.FailSafe(time.Minute), pgcache.Throttle(time.Minute)}
	numbers := pgcache.NewTyped[float64](c, opts...)
	_, err = numbers.Put(ctx, "n", 1)
	no(t, err)
	failures := c.Counters().LoadFailures
	_, err = numbers.GetOrLoad(ctx, "none", func(context.Context) (float64, error) { return math.NaN(), nil })
	want(t, err, pgcache.ErrFormat)
	same(t, c.Counters().LoadFailures, failures)
	value, err := numbers.GetOrLoad(ctx, "none", func(context.Context) (float64, error) { return 2, nil }, pgcache.Wait(2*time.Second))
	no(t, err)
	same(t, value, 2)
}

// Close after an end is nothing that providers would have to know of.
func TestCloseAfterAnEnd(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	c := open(t, pgcache.Instrument(r))
	_, lease, err := c.Begin(ctx, "k")
	no(t, err)
	_, err = lease.Fill(ctx, []byte("v"))
	no(t, err)
	no(t, lease.Close())
	same(t, r.last(t).Name, "load_fill")
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	c := open(t)
	put(t, c, "one", "1", pgcache.Tags("red", "blue"))
	put(t, c, "two", "2", pgcache.Tags("blue"), pgcache.Keys("one"))
	report, err := c.Dependents(ctx, pgcache.Tags("red", "blue"), pgcache.Keys("one"))
	no(t, err)
	same(t, fmt.Sprint(report.Entries), "[1 2 2]")
	same(t, report.Tagged, 2)
	no(t, c.Invalidate(ctx, pgcache.Tags("red")))
	misses(t, c, "one")
	same(t, get(t, c, "two"), "2")
	no(t, c.Invalidate(ctx, pgcache.Keys("one")))
	misses(t, c, "two")
	no(t, c.Invalidate(ctx))
	_, err = c.Put(ctx, "k", nil, pgcache.Tags(""))
	want(t, err, pgcache.ErrInvalid)
	_, err = c.Put(ctx, "k", nil, pgcache.Tags(strings.Split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", " ")...))
	want(t, err, pgcache.ErrInvalid)
	want(t, c.Invalidate(ctx, pgcache.Tags(strings.Repeat("t", 256))), pgcache.ErrTooLarge)
}

// The statement for the application's own transaction, with names that would break one that is put together badly.
func TestInvalidationInATransaction(t *testing.T) {
	t.Parallel()
	c := open(t)
	odd := []string{`a"b`, `c\d`, `e,f`, `{g}`, `null`, `h'i`, ` `}
	for i, tag := range odd {
		put(t, c, fmt.Sprint("k", i), "v", pgcache.Tags(tag))
	}
	put(t, c, "key", "v", pgcache.Keys("other"))
	put(t, c, "elsewhere", "v", pgcache.Namespace("n"), pgcache.Tags("x"))
	do := func(end string, opts ...pgcache.Option) {
		statement, args := c.Invalidation(opts...)
		for i, arg := range args {
			quoted := "'" + strings.ReplaceAll(arg.(string), "'", "''") + "'"
			statement = strings.ReplaceAll(statement, fmt.Sprint("$", i+1), quoted)
		}
		query(t, "BEGIN; "+statement+"; "+end)
	}
	do("ROLLBACK", pgcache.Tags(odd...))
	no(t, c.Fence(ctx))
	same(t, get(t, c, "k0"), "v")
	do("COMMIT", pgcache.Tags(odd...), pgcache.Keys("other"))
	do("COMMIT", pgcache.Tags("x"), pgcache.Namespace("n"))
	no(t, c.Fence(ctx))
	for i := range odd {
		misses(t, c, fmt.Sprint("k", i))
	}
	misses(t, c, "key")
	misses(t, c, "elsewhere", pgcache.Namespace("n"))
}
