// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

func TestA01GetPutMiss(t *testing.T) {
	t.Parallel()
	c := open(t)
	misses(t, c, "k")
	put(t, c, "k", "\x00\xffvalue", pgcache.TTL(time.Minute))
	same(t, get(t, c, "k"), "\x00\xffvalue")
	same(t, get(t, c, "k", pgcache.FromStore()), "\x00\xffvalue")
	misses(t, c, "K")
}

func TestA02SecondPutWins(t *testing.T) {
	t.Parallel()
	c := open(t)
	first := put(t, c, "k", "one", pgcache.TTL(time.Minute))
	second := put(t, c, "k", "two", pgcache.TTL(time.Hour))
	if second <= first {
		t.Fatal("the second version is not higher")
	}
	entry, err := c.GetEntry(ctx, "k", pgcache.FromStore())
	no(t, err)
	same(t, string(entry.Value), "two")
	same(t, entry.Version, second)
	if entry.TTL <= time.Minute || entry.TTL > time.Hour {
		t.Fatal("it lives for ", entry.TTL)
	}
}

func TestA03Remove(t *testing.T) {
	t.Parallel()
	c := open(t)
	put(t, c, "k", "v")
	for _, wanted := range []bool{true, false} {
		removed, err := c.Remove(ctx, "k")
		no(t, err)
		same(t, removed, wanted)
		misses(t, c, "k")
	}
}

func TestA05Cleanup(t *testing.T) {
	t.Parallel()
	c := open(t)
	put(t, c, "old", "v", pgcache.TTL(time.Millisecond))
	put(t, c, "a", "1")
	put(t, c, "b", "2", pgcache.TTL(pgcache.Forever))
	time.Sleep(20 * time.Millisecond)
	removed, err := c.Cleanup(ctx)
	no(t, err)
	same(t, removed, int64(1))
	same(t, get(t, c, "a")+get(t, c, "b"), "12")
	var progress pgcache.CleanupProgress
	put(t, c, "old", "v", pgcache.TTL(time.Millisecond))
	time.Sleep(20 * time.Millisecond)
	for progress.Restart = true; !progress.Finished; {
		no(t, c.CleanupSome(ctx, &progress, 10*time.Millisecond))
		if progress.Busy {
			t.Fatal("nobody else is at work")
		}
	}
	same(t, progress.Removed, 1)
	if progress.Blocks == 0 || progress.Blocks != progress.BlocksDone {
		t.Fatalf("it walked over %d of %d blocks", progress.BlocksDone, progress.Blocks)
	}
}

func TestA06Flush(t *testing.T) {
	t.Parallel()
	c := open(t)
	other := pgcache.Namespace("other")
	put(t, c, "a", "1")
	put(t, c, "b", "2")
	put(t, c, "a", "3", other)
	put(t, c, "b", "4", other)
	removed, err := c.Flush(ctx, other)
	no(t, err)
	same(t, removed, int64(2))
	misses(t, c, "a", other)
	same(t, get(t, c, "a"), "1")
	put(t, c, "a", "5", other)
	removed, err = c.FlushAll(ctx)
	no(t, err)
	same(t, removed, int64(3))
	stats, err := c.Stats(ctx)
	no(t, err)
	same(t, stats.Entries, 0)
	if stats.ServerVersion < 150000 || stats.SchemaVersion == 0 {
		t.Fatalf("%+v", stats)
	}
}

func TestA07TTL(t *testing.T) {
	t.Parallel()
	c := open(t)
	put(t, c, "k", "v", pgcache.TTL(500*time.Millisecond))
	same(t, get(t, c, "k"), "v")
	time.Sleep(700 * time.Millisecond)
	misses(t, c, "k")
}

func TestA09OddTTLs(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, ttl := range []time.Duration{0, -1, -time.Millisecond, -time.Hour, math.MinInt64} {
		_, err := c.Put(ctx, "k", nil, pgcache.TTL(ttl))
		want(t, err, pgcache.ErrInvalid)
	}
	put(t, c, "k", "v", pgcache.TTL(pgcache.Forever))
	entry, err := c.GetEntry(ctx, "k", pgcache.FromStore())
	no(t, err)
	same(t, entry.TTL, pgcache.Forever)
	put(t, c, "k", "v", pgcache.TTL(time.Nanosecond)) // a millisecond, not nothing
	put(t, c, "k", "v", pgcache.TTL(pgcache.Forever-1))
	entry, err = c.GetEntry(ctx, "k", pgcache.FromStore())
	no(t, err)
	if entry.TTL > 3650*24*time.Hour || entry.TTL < 3649*24*time.Hour {
		t.Fatal("it lives for ", entry.TTL)
	}
}

func TestA11EmptyAndNull(t *testing.T) {
	t.Parallel()
	c := open(t)
	_, err := c.Put(ctx, "empty", nil)
	no(t, err)
	for _, opts := range [][]pgcache.Option{nil, {pgcache.FromStore()}} {
		value, err := c.Get(ctx, "empty", opts...)
		no(t, err)
		if value == nil || len(value) != 0 {
			t.Fatalf("%#v", value)
		}
		typed := pgcache.NewTyped[*int](c, opts...)
		_, err = typed.Put(ctx, "null", nil)
		no(t, err)
		null, err := typed.Get(ctx, "null")
		no(t, err)
		if null != nil {
			t.Fatal("not nil")
		}
		_, err = typed.Get(ctx, "none")
		want(t, err, pgcache.ErrMiss)
	}
}

func TestA13Limits(t *testing.T) {
	t.Parallel()
	c := open(t, pgcache.Setting("max_value_bytes", 1000))
	long := strings.Repeat("k", 4097)
	_, err := c.Get(ctx, long)
	want(t, err, pgcache.ErrTooLarge)
	_, err = c.Put(ctx, long, nil)
	want(t, err, pgcache.ErrTooLarge)
	_, err = c.Put(ctx, "k", make([]byte, 1001))
	want(t, err, pgcache.ErrTooLarge)
	_, err = c.Get(ctx, "")
	want(t, err, pgcache.ErrInvalid)
	for _, namespace := range []string{"", "two words", "a\x00b", strings.Repeat("n", 64), strings.Repeat("n", 1000)} {
		_, err = c.Put(ctx, "k", nil, pgcache.Namespace(namespace))
		want(t, err, pgcache.ErrInvalid)
		_, err = c.Get(ctx, "k", pgcache.Namespace(namespace))
		want(t, err, pgcache.ErrInvalid)
	}
	_, err = c.Put(ctx, "k", nil, pgcache.Span(strings.Repeat("s", 65)))
	want(t, err, pgcache.ErrInvalid)
	stats, err := c.Stats(ctx)
	no(t, err)
	same(t, stats.Entries, 0)
	put(t, c, long[:4096], "v", pgcache.Namespace(strings.Repeat("n", 63)), pgcache.Span(strings.Repeat("s", 64)))
}

func TestA14Conditions(t *testing.T) {
	t.Parallel()
	c := open(t)
	there, err := c.Exists(ctx, "k")
	no(t, err)
	same(t, there, false)
	_, err = c.Replace(ctx, "k", nil)
	want(t, err, pgcache.ErrMiss)
	_, err = c.Touch(ctx, "k")
	want(t, err, pgcache.ErrMiss)
	version, err := c.Add(ctx, "k", []byte("one"))
	no(t, err)
	_, err = c.Add(ctx, "k", []byte("two"))
	want(t, err, pgcache.ErrExists)
	if there, err = c.Exists(ctx, "k"); !there || err != nil {
		t.Fatal(there, err)
	}
	next, err := c.CompareAndSwap(ctx, "k", []byte("three"), version)
	no(t, err)
	_, err = c.CompareAndSwap(ctx, "k", []byte("four"), version)
	want(t, err, pgcache.ErrExists)
	_, err = c.CompareAndSwap(ctx, "none", nil, version)
	want(t, err, pgcache.ErrMiss)
	same(t, get(t, c, "k"), "three")
	touched, err := c.Touch(ctx, "k", pgcache.TTL(time.Hour))
	no(t, err)
	if touched <= next {
		t.Fatal("a touch is a write")
	}
	_, err = c.Replace(ctx, "k", []byte("five"))
	no(t, err)
	same(t, get(t, c, "k"), "five")
}

func TestA14Counters(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, step := range []struct {
		got func() (int64, error)
		n   int64
	}{
		{func() (int64, error) { return c.Increment(ctx, "n", 5, pgcache.Initial(10)) }, 15},
		{func() (int64, error) { return c.Increment(ctx, "n", 5, pgcache.Initial(10)) }, 20},
		{func() (int64, error) { return c.Decrement(ctx, "n", 21) }, -1},
	} {
		n, err := step.got()
		no(t, err)
		same(t, n, step.n)
	}
	n, err := pgcache.NewTyped[int](c).Get(ctx, "n")
	no(t, err)
	same(t, n, -1)
	_, err = c.Increment(ctx, "n", math.MinInt64)
	want(t, err, pgcache.ErrOverflow)
	_, err = c.Decrement(ctx, "n", math.MinInt64)
	want(t, err, pgcache.ErrOverflow)
	put(t, c, "text", "1")
	_, err = c.Increment(ctx, "text", 1)
	want(t, err, pgcache.ErrNotACounter)
}

func TestA15Many(t *testing.T) {
	t.Parallel()
	c := open(t)
	var items []pgcache.Item
	var keys []string
	for i := 0; i < 1000; i++ {
		key := fmt.Sprint("k", i)
		keys = append(keys, key)
		items = append(items, pgcache.Item{Key: key, Value: []byte(key)})
	}
	items = append(items, pgcache.Item{Key: "k0", Value: []byte("last"), TTL: time.Hour, Format: 7})
	versions, err := c.PutMany(ctx, items)
	no(t, err)
	same(t, len(versions), 1001)
	entries, err := c.GetMany(ctx, append(keys, "none", "k0"), pgcache.FromStore())
	no(t, err)
	same(t, len(entries), 1000)
	same(t, string(entries["k999"].Value), "k999")
	same(t, entries["k999"].Version, versions[999])
	same(t, string(entries["k0"].Value), "last")
	same(t, entries["k0"].Format, 7)
	if entries["k0"].TTL < 50*time.Minute {
		t.Fatal("it lives for ", entries["k0"].TTL)
	}
	removed, err := c.RemoveMany(ctx, append(keys[:500:500], "none", "k0"))
	no(t, err)
	same(t, removed, 501) // duplicates get the same answer
	entries, err = c.GetMany(ctx, nil)
	no(t, err)
	same(t, len(entries), 0)
	_, err = c.GetMany(ctx, []string{"k", ""})
	want(t, err, pgcache.ErrInvalid)
}

func TestA15WritersNeverDeadlock(t *testing.T) {
	t.Parallel()
	c := open(t)
	var all sync.WaitGroup
	failures := make(chan error, 16)
	for w := 0; w < 16; w++ {
		w := w
		all.Add(1)
		go func() {
			defer all.Done()
			items := make([]pgcache.Item, 200)
			for i := range items {
				n := i
				if w%2 == 1 {
					n = len(items) - 1 - i
				}
				items[i] = pgcache.Item{Key: fmt.Sprint("k", n), Value: []byte{byte(w)}}
			}
			if _, err := c.PutMany(ctx, items); err != nil {
				failures <- err
			}
		}()
	}
	all.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
}

func TestA30NearCaches(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	const staleness = 400 * time.Millisecond
	a, b := openIn(t, schema), openIn(t, schema, pgcache.Setting("near_staleness_ms", staleness))
	_, err := a.Init(ctx)
	no(t, err)
	put(t, a, "k", "v1")
	eventually(t, "b holds a copy", func() bool {
		same(t, get(t, b, "k"), "v1")
		entry, err := b.Peek("k")
		return err == nil && string(entry.Value) == "v1" && entry.TTL > 0 && entry.Version > 0
	})
	put(t, a, "k", "v2")
	same(t, get(t, a, "k"), "v2")
	eventually(t, "b hears of it", func() bool { return get(t, b, "k") == "v2" })
	put(t, a, "k", "v3")
	no(t, b.Fence(ctx))
	same(t, get(t, b, "k"), "v3")
	put(t, a, "k", "v4")
	time.Sleep(staleness) // after which the copy must not answer, on a machine that has no time to hear of it, either
	same(t, get(t, b, "k"), "v4")
	_, err = b.Peek("other")
	want(t, err, pgcache.ErrMiss)
	_, err = b.Peek("")
	want(t, err, pgcache.ErrInvalid)
}

// What AppendGet appends to is the caller's.
func TestAppendGet(t *testing.T) {
	c := open(t)
	large := strings.Repeat("x", 10000)
	put(t, c, "small", "value")
	put(t, c, "large", large)
	eventually(t, "copies", func() bool {
		_, err := c.Peek("small")
		_ = get(t, c, "small") + get(t, c, "large")
		_, too := c.Peek("large")
		return err == nil && too == nil
	})
	buffer := make([]byte, 0, 64)
	for _, opts := range [][]pgcache.Option{nil, {pgcache.FromStore()}, {pgcache.Span("s")}} {
		got, err := c.AppendGet(ctx, append(buffer, "prefix "...), "small", opts...)
		no(t, err)
		same(t, string(got), "prefix value")
		if &got[0] != &buffer[:1][0] {
			t.Fatal("there was room")
		}
		got, err = c.AppendGet(ctx, append(buffer, "prefix "...), "large", opts...)
		no(t, err)
		same(t, string(got), "prefix "+large)
		got, err = c.AppendGet(ctx, []byte("prefix"), "none", opts...)
		want(t, err, pgcache.ErrMiss)
		same(t, string(got), "prefix")
		same(t, get(t, c, "large", opts...), large)
	}
	allocations := testing.AllocsPerRun(100, func() { buffer, _ = c.AppendGet(ctx, buffer[:0], "small") })
	if _, err := c.Peek("small"); err == nil && allocations > 0 {
		t.Fatal("a hit into a buffer allocates: ", allocations)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	c := open(t)
	_, err := c.Get(ctx, "")
	var failure *pgcache.Error
	if !errors.As(err, &failure) || failure.Status != pgcache.ErrInvalid || failure.Message == "" || failure.SQLState != "" {
		t.Fatalf("%#v", err)
	}
	if errors.Is(err, pgcache.ErrTooLarge) || failure.Timeout() {
		t.Fatal("it is something else")
	}
	missing := openIn(t, newSchema())
	_, err = missing.Get(ctx, "k")
	want(t, err, pgcache.ErrSchemaMissing)
	_, err = pgcache.Open(address, pgcache.Setting("pool_maxx", 1))
	want(t, err, pgcache.ErrBadSetting)
	if !strings.Contains(err.Error(), "pool_max") {
		t.Fatal("it does not name the nearest setting: ", err)
	}
	_, err = pgcache.Open(address, pgcache.Setting("namespace", "a\x00b"))
	want(t, err, pgcache.ErrBadSetting)
	same(t, pgcache.ErrMiss.Name(), "PGCACHE_MISS")
	if pgcache.ErrMiss.Error() == pgcache.ErrBusy.Error() {
		t.Fatal("texts are alike")
	}
}

// A server that is not there: reads miss where the setting says so, which is the default here, and writes tell; no password is told.
func TestOpenFailsOpen(t *testing.T) {
	t.Parallel()
	nowhere := "postgresql://somebody:secret@localhost:1/none?connect_timeout=1"
	c, err := pgcache.Open(nowhere, pgcache.JanitorEvery(0))
	no(t, err)
	defer c.Close()
	began := time.Now()
	misses(t, c, "k")
	cancellable, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := 0; i < 10; i++ {
		value, err := c.GetOrLoad(cancellable, "k", gives("loaded"), pgcache.FailSafe(time.Minute))
		no(t, err)
		same(t, string(value), "loaded")
	}
	many, err := c.GetMany(cancellable, []string{"a", "b"})
	no(t, err)
	same(t, len(many), 0)
	_, err = c.Put(ctx, "k", nil)
	want(t, err, pgcache.ErrUnavailable)
	if took := time.Since(began); took > 3*time.Second {
		t.Fatal("it took ", took)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Fatal("the password is told")
	}
	if c.Counters().ReadsFailed == 0 {
		t.Fatal("the counter does not tell")
	}
}

// A near hit is one, also of a value that is larger than the buffer.
func TestLargeNearHitsCountOnce(t *testing.T) {
	t.Parallel()
	c := open(t)
	value := strings.Repeat("large", 10000)
	put(t, c, "k", value)
	eventually(t, "a near hit", func() bool {
		_ = get(t, c, "k")
		_, err := c.Peek("k")
		return err == nil
	})
	before := c.Counters().NearHits
	same(t, get(t, c, "k"), value)
	entry, err := c.GetEntry(ctx, "k")
	no(t, err)
	same(t, string(entry.Value), value)
	appended, err := c.AppendGet(ctx, []byte("before "), "k")
	no(t, err)
	same(t, string(appended), "before "+value)
	same(t, c.Counters().NearHits-before, int64(3))
}
