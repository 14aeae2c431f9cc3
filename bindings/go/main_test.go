// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// address is that of a private server, which ci/with-postgres starts.
var address = os.Getenv("PGCACHE_TEST_URL")

func TestMain(m *testing.M) {
	if address == "" {
		fmt.Fprintln(os.Stderr, "PGCACHE_TEST_URL is not set: run the tests by make check-golang")
		os.Exit(1)
	}
	// For the examples, which open what the environment says.
	os.Setenv("PGCACHE_URL", address)
	os.Setenv("PGCACHE_SCHEMA", newSchema())
	os.Exit(m.Run())
}

var (
	ctx     = context.Background()
	schemas int32
)

// open makes a cache in a schema of its own, with errors as errors and without a janitor, unless the options say otherwise.
func open(t testing.TB, options ...pgcache.OpenOption) *pgcache.Cache {
	t.Helper()
	cache := openIn(t, newSchema(), options...)
	if _, err := cache.Init(ctx); err != nil {
		t.Fatal(err)
	}
	return cache
}

func newSchema() string {
	return fmt.Sprintf("go_%d_%d", os.Getpid(), atomic.AddInt32(&schemas, 1))
}

func openIn(t testing.TB, schema string, options ...pgcache.OpenOption) *pgcache.Cache {
	t.Helper()
	all := append([]pgcache.OpenOption{pgcache.Setting("schema", schema), pgcache.Setting("on_error", "error"),
		pgcache.JanitorEvery(0)}, options...)
	cache, err := pgcache.Open(address, all...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return cache
}

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want checks an error, nil included.
func want(t testing.TB, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("got %v, not %v", err, wanted)
	}
}

func same[T comparable](t testing.TB, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Fatalf("got %v, not %v", got, wanted)
	}
}

// eventually waits for something that comes soon.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("not in ten seconds: ", what)
		}
	}
}

func put(t testing.TB, c *pgcache.Cache, key, value string, opts ...pgcache.Option) int64 {
	t.Helper()
	version, err := c.Put(ctx, key, []byte(value), opts...)
	no(t, err)
	return version
}

func get(t testing.TB, c *pgcache.Cache, key string, opts ...pgcache.Option) string {
	t.Helper()
	value, err := c.Get(ctx, key, opts...)
	no(t, err)
	return string(value)
}

func misses(t testing.TB, c *pgcache.Cache, key string, opts ...pgcache.Option) {
	t.Helper()
	_, err := c.Get(ctx, key, opts...)
	want(t, err, pgcache.ErrMiss)
}

// long says whether the long forms are to run.
func long() bool { return os.Getenv("PGCACHE_LONG") == "1" }
