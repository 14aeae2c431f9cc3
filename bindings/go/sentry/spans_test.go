// SPDX-License-Identifier: MIT

package pgcachesentry

import (
	"context"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/getsentry/sentry-go"
	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// keeper is a transport that keeps what would be sent.
type keeper struct{ events []*sentry.Event }

func (k *keeper) Flush(time.Duration) bool       { return true }
func (k *keeper) Configure(sentry.ClientOptions) {}
func (k *keeper) SendEvent(event *sentry.Event)  { k.events = append(k.events, event) }

// Spans have op, name, key, hit, size and success as psycache's.
func TestA61Spans(t *testing.T) {
	kept := &keeper{}
	err := sentry.Init(sentry.ClientOptions{Dsn: "http://key@localhost/1", EnableTracing: true, TracesSampleRate: 1, Transport: kept})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := pgcache.Open(os.Getenv("PGCACHE_TEST_URL"), pgcache.Setting("schema", "go_sentry"), pgcache.JanitorEvery(0),
		pgcache.Instrument(Spans()))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	if _, err := cache.Init(context.Background()); err != nil { // outside of a trace: no span
		t.Fatal(err)
	}
	quiet, err := pgcache.Open("null:", pgcache.JanitorEvery(0), pgcache.Instrument(Spans(WithoutKeys())))
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	trace := sentry.StartTransaction(context.Background(), "a page")
	ctx := trace.Context()
	nested := false
	broken := errors.New("the database is gone")
	for i, do := range []func() error{
		func() error { _, err := cache.Put(ctx, "k", []byte("12345"), pgcache.Span("save")); return err },
		func() error { _, err := cache.Get(ctx, "k"); return err },
		func() error { _, err := cache.GetMany(ctx, []string{"k", "none"}); return err },
		func() error { _, err := cache.Exists(ctx, "k"); return err },
		func() error { return cache.Fence(ctx) }, // no span
		func() error { _, err := cache.Stats(ctx); return err },
		func() error { _, err := cache.Remove(ctx, "k"); return err },
		func() error { _, err := cache.Remove(ctx, "k"); return err },
		func() error { return cache.Invalidate(ctx, pgcache.Tags("t")) },
		func() error { _, err := cache.Flush(ctx); return err },
		func() error {
			_, err := cache.GetOrLoad(ctx, "l", func(ctx context.Context) ([]byte, error) {
				nested = sentry.SpanFromContext(ctx).Op == "cache.get"
				_, err := cache.Cleanup(ctx) // which has no span, and does not end the one that is under way
				return []byte("123"), err
			})
			return err
		},
		func() error { _, err := quiet.Put(ctx, "secret", nil); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := cache.Get(ctx, "none"); err != pgcache.ErrMiss {
		t.Fatal(err)
	}
	if _, err := cache.Get(ctx, ""); err == nil {
		t.Fatal("an empty key")
	}
	if _, err := cache.GetOrLoad(ctx, "f", func(context.Context) ([]byte, error) { return nil, broken }); err != broken {
		t.Fatal(err)
	}
	trace.Finish()
	if !nested {
		t.Error("the loader does not work inside of the span")
	}
	if len(kept.events) != 1 {
		t.Fatal("events: ", len(kept.events))
	}
	type data map[string]interface{}
	type told struct {
		op, name string
		status   sentry.SpanStatus
		data     data
	}
	var got []told
	for _, span := range kept.events[0].Spans {
		got = append(got, told{span.Op, span.Description, span.Status, span.Data})
	}
	keys := func(keys ...string) []string { return keys }
	const fine, failed = sentry.SpanStatusOK, sentry.SpanStatusInternalError
	wanted := []told{
		{"cache.put", "save", fine, data{"cache.key": keys("k"), "cache.item_size": 5, "cache.success": true}},
		{"cache.get", "pgcache get", fine, data{"cache.key": keys("k"), "cache.hit": true, "cache.item_size": 5}},
		{"cache.get", "pgcache get", fine, data{"cache.key": keys("k", "none"), "cache.hit": true, "cache.item_size": 5}},
		{"cache.get", "pgcache get", fine, data{"cache.key": keys("k"), "cache.hit": true}},
		{"cache.remove", "pgcache remove", fine, data{"cache.key": keys("k"), "cache.success": true}},
		{"cache.remove", "pgcache remove", fine, data{"cache.key": keys("k"), "cache.success": false}}, // there was none
		{"cache.remove", "pgcache remove", fine, data{"cache.success": true}},
		{"cache.flush", "pgcache flush", fine, data{"cache.success": true}},
		{"cache.get", "pgcache get", fine, data{"cache.key": keys("l"), "cache.hit": false, "cache.item_size": 3}},
		{"cache.put", "pgcache put", fine, data{"cache.item_size": 0, "cache.success": true}},
		{"cache.get", "pgcache get", fine, data{"cache.key": keys("none"), "cache.hit": false}},
		{"cache.get", "pgcache get", sentry.SpanStatusInvalidArgument, data{"cache.key": keys(""), "cache.hit": false}},
		{"cache.get", "pgcache get", failed, data{"cache.key": keys("f"), "cache.hit": false}},
	}
	if len(got) != len(wanted) {
		t.Fatalf("%d spans: %+v", len(got), got)
	}
	for i := range wanted {
		if !reflect.DeepEqual(got[i], wanted[i]) {
			t.Errorf("got  %+v\nnot %+v", got[i], wanted[i])
		}
	}
}
