// SPDX-License-Identifier: MIT

package sentry

import (
	"context"
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
	trace := sentry.StartTransaction(context.Background(), "a page")
	ctx := trace.Context()
	nested := false
	for _, do := range []func() error{
		func() error { _, err := cache.Put(ctx, "k", []byte("12345"), pgcache.Span("save")); return err },
		func() error { _, err := cache.Get(ctx, "k"); return err },
		func() error { _, err := cache.GetMany(ctx, []string{"k", "none"}); return err },
		func() error { _, err := cache.Remove(ctx, "k"); return err },
		func() error { _, err := cache.Flush(ctx); return err },
		func() error {
			_, err := cache.GetOrLoad(ctx, "l", func(ctx context.Context) ([]byte, error) {
				nested = sentry.SpanFromContext(ctx).Op == "cache.get_or_load"
				return []byte("123"), nil
			})
			return err
		},
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cache.Get(ctx, "none"); err != pgcache.ErrMiss {
		t.Fatal(err)
	}
	if _, err := cache.Get(ctx, ""); err == nil {
		t.Fatal("an empty key")
	}
	trace.Finish()
	if !nested {
		t.Error("the loader does not work inside of the span")
	}
	if len(kept.events) != 1 {
		t.Fatal("events: ", len(kept.events))
	}
	type told struct {
		op, name string
		data     map[string]interface{}
	}
	var got []told
	for _, span := range kept.events[0].Spans {
		got = append(got, told{span.Op, span.Description, span.Data})
	}
	k, none := []string{"k"}, []string{"none"}
	wanted := []told{
		{"cache.put", "save", map[string]interface{}{"cache.key": k, "cache.item_size": 5, "cache.success": true}},
		{"cache.get", "pgcache get", map[string]interface{}{"cache.key": k, "cache.hit": true, "cache.item_size": 5, "cache.success": true}},
		{"cache.get", "pgcache get_many", map[string]interface{}{"cache.key": []string{"k", "none"}, "cache.hit": true, "cache.item_size": 5,
			"cache.success": true}},
		{"cache.remove", "pgcache remove", map[string]interface{}{"cache.key": k, "cache.success": true}},
		{"cache.flush", "pgcache flush", map[string]interface{}{"cache.success": true}},
		{"cache.get_or_load", "pgcache get_or_load", map[string]interface{}{"cache.key": []string{"l"}, "cache.hit": false, "cache.item_size": 3,
			"cache.success": true}},
		{"cache.get", "pgcache get", map[string]interface{}{"cache.key": none, "cache.hit": false, "cache.success": true}},
		{"cache.get", "pgcache get", map[string]interface{}{"cache.key": []string{""}, "cache.hit": false, "cache.success": false}},
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
