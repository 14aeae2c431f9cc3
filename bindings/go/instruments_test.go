// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// recorder notes what a provider is told, and puts a mark into the context.
type recorder struct {
	mutex sync.Mutex
	ended []pgcache.Operation
	mark  string
	order *[]string
}

type markKey struct{}

func (r *recorder) Begin(ctx context.Context, operation *pgcache.Operation) context.Context {
	if r.order != nil {
		*r.order = append(*r.order, "begin "+r.mark)
	}
	return context.WithValue(ctx, markKey{}, r.mark)
}

func (r *recorder) End(ctx context.Context, operation *pgcache.Operation) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.order != nil {
		*r.order = append(*r.order, "end "+r.mark)
	}
	if ctx.Value(markKey{}) == r.mark {
		r.ended = append(r.ended, *operation)
	}
}

func (r *recorder) last(t testing.TB) pgcache.Operation {
	t.Helper()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.ended) == 0 {
		t.Fatal("nothing was told")
	}
	return r.ended[len(r.ended)-1]
}

func TestProvider(t *testing.T) {
	t.Parallel()
	r := &recorder{mark: "one"}
	c := open(t, pgcache.Instrument(r))
	same(t, r.last(t).Name, "init")
	put(t, c, "k", "value", pgcache.Span("checkout"), pgcache.Namespace("n"))
	op := r.last(t)
	if op.Name != "put" || op.Span != "checkout" || op.Namespace != "n" || strings.Join(op.Keys, ",") != "k" || op.Bytes != 5 ||
		op.Err != nil || op.Duration <= 0 || time.Since(op.Began) > time.Minute {
		t.Fatalf("%+v", op)
	}
	get(t, c, "k", pgcache.Namespace("n"))
	op = r.last(t)
	if op.Name != "get" || op.Hits != 1 || op.Bytes != 5 || op.Span != "" {
		t.Fatalf("%+v", op)
	}
	misses(t, c, "none")
	op = r.last(t)
	if op.Hits != 0 || op.Err != pgcache.ErrMiss || op.Namespace != "default" || op.Bytes != -1 {
		t.Fatalf("%+v", op)
	}
	_, err := c.GetMany(ctx, []string{"k", "none"}, pgcache.Namespace("n"))
	no(t, err)
	op = r.last(t)
	if op.Name != "get_many" || op.Hits != 1 || len(op.Keys) != 2 || op.Bytes != 5 {
		t.Fatalf("%+v", op)
	}
	seen := ""
	load(t, c, "loaded", func(ctx context.Context) ([]byte, error) {
		seen, _ = ctx.Value(markKey{}).(string)
		return []byte("v"), nil
	})
	same(t, seen, "one") // the loader works inside of the operation
	op = r.last(t)
	if op.Name != "get_or_load" || op.Hits != 0 || op.Bytes != 1 {
		t.Fatalf("%+v", op)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = c.GetOrLoad(ctx, "panics", func(context.Context) ([]byte, error) { panic("") })
	}()
	op = r.last(t)
	if op.Keys[0] != "panics" || op.Err == nil {
		t.Fatalf("a panic is told as success: %+v", op)
	}
	old := []pgcache.Option{pgcache.TTL(50 * time.Millisecond), pgcache.FailSafe(time.Minute)}
	same(t, load(t, c, "old", gives("v"), old...), "v")
	time.Sleep(100 * time.Millisecond)
	same(t, load(t, c, "old", fails, old...), "v")
	op = r.last(t)
	if op.Hits != 1 || op.Bytes != 1 || op.Err != nil {
		t.Fatalf("something stale is a hit: %+v", op)
	}
}

func TestProvidersAreNested(t *testing.T) {
	t.Parallel()
	var order []string
	c, err := pgcache.Open("null:", pgcache.JanitorEvery(0), pgcache.Instrument(&recorder{mark: "outer", order: &order}),
		pgcache.Instrument(&recorder{mark: "inner", order: &order}))
	no(t, err)
	defer c.Close()
	put(t, c, "k", "v")
	same(t, strings.Join(order, ", "), "begin outer, begin inner, end inner, end outer")
}

func TestObserver(t *testing.T) {
	t.Parallel()
	c := open(t)
	observer, err := c.Observe(pgcache.Operations|pgcache.WithKeys, pgcache.LevelInfo, 100)
	no(t, err)
	put(t, c, "key", "value", pgcache.Span("checkout"))
	for {
		event, err := observer.Next(ctx)
		no(t, err)
		if event.Operation != "put" {
			continue
		}
		if event.Kind != pgcache.OperationEvent || event.Key != "key" || event.KeyCount != 1 || event.Span != "checkout" ||
			event.Bytes != 5 || event.Duration <= 0 || time.Since(event.Began) > time.Minute || event.Source != "store" ||
			event.Outcome != "ok" || event.Namespace != "default" {
			t.Fatalf("%+v", event)
		}
		break
	}
	soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = observer.Next(soon)
	want(t, err, context.DeadlineExceeded)
	small, err := c.Observe(pgcache.Operations, pgcache.LevelInfo, 1)
	no(t, err)
	put(t, c, "a", "")
	put(t, c, "b", "")
	if small.Dropped() == 0 {
		t.Fatal("there is room for one")
	}
	no(t, small.Close())
	no(t, small.Close())
	_, err = small.Next(ctx)
	want(t, err, pgcache.ErrClosed)
	waiting := make(chan error)
	go func() {
		for {
			if _, err := observer.Next(ctx); err != nil {
				waiting <- err
				return
			}
		}
	}()
	no(t, c.Close())
	want(t, <-waiting, pgcache.ErrClosed)
	_, err = c.Observe(pgcache.Operations, pgcache.LevelInfo, 1)
	want(t, err, pgcache.ErrClosed)
}

func TestA60Snapshot(t *testing.T) {
	t.Parallel()
	c := open(t)
	put(t, c, "k", "value", pgcache.Span("checkout"))
	get(t, c, "k", pgcache.FromStore(), pgcache.Span("checkout"))
	misses(t, c, "none", pgcache.FromStore(), pgcache.Span("checkout"))
	first, err := c.Snapshot()
	no(t, err)
	second, err := c.Snapshot()
	no(t, err)
	if time.Since(first.TakenAt()) > time.Minute || first.Origin() == "" || first.Origin() != second.Origin() {
		t.Fatal(first.TakenAt(), first.Origin())
	}
	sum := func(s *pgcache.Snapshot, name string) (value float64) {
		for _, sample := range s.Samples() {
			if sample.Name != name || sample.Help == "" {
				continue
			}
			for _, label := range sample.Labels {
				if label.Name == "span_name" && label.Value == "checkout" {
					value += sample.Value
				}
			}
		}
		return value
	}
	same(t, sum(first, "pgcache_hits_total"), 1)
	same(t, sum(first, "pgcache_misses_total"), 1)
	histograms := 0
	for _, sample := range first.Samples() {
		if sample.Kind != pgcache.Histogram || sample.Name != "pgcache_operation_duration_seconds" {
			continue
		}
		histograms++
		bounds := sample.Bounds()
		if sample.Count == 0 || sample.CountTo(bounds[len(bounds)-1]) != sample.Count || sample.CountTo(0) != 0 ||
			sample.Percentile(50) <= 0 || math.IsNaN(sample.Percentile(100)) || sample.Unit != "seconds" {
			t.Fatalf("%+v", sample)
		}
	}
	if histograms < 3 {
		t.Fatal("histograms: ", histograms)
	}
	no(t, c.Close())
	no(t, first.Add(second)) // they outlive the cache
	same(t, sum(first, "pgcache_hits_total"), 2)
	want(t, first.Add(first), pgcache.ErrInvalid)
	no(t, second.Close())
	no(t, second.Close())
	if len(second.Samples()) != 0 || second.Origin() != "" || first.Add(second) == nil {
		t.Fatal("it is not empty")
	}
	_, err = c.Snapshot()
	want(t, err, pgcache.ErrClosed)
}

func TestPublished(t *testing.T) {
	t.Parallel()
	c := open(t, pgcache.Setting("publish_ms", time.Second))
	put(t, c, "k", "v")
	var origin string
	eventually(t, "a summary", func() bool {
		published := c.Published(ctx)
		for published.Next() {
			origin = published.Value().Origin()
		}
		no(t, published.Err())
		return origin != ""
	})
	own, err := c.Snapshot()
	no(t, err)
	same(t, origin, own.Origin())
	ended, cancel := context.WithCancel(ctx)
	cancel()
	published := c.Published(ended)
	same(t, published.Next(), false)
	want(t, published.Err(), context.Canceled)
}
