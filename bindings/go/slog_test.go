// SPDX-License-Identifier: MIT

//go:build go1.21

package pgcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// page is a writer that may be read meanwhile.
type page struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (p *page) Write(text []byte) (int, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.bytes.Write(text)
}

func (p *page) String() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.bytes.String()
}

// Observers, logs and leases may end while the cache is closed.
func TestCloseAtAnyMoment(t *testing.T) {
	schema := newSchema()
	_, err := openIn(t, schema).Init(ctx)
	no(t, err)
	for round := 0; round < 30; round++ {
		c := openIn(t, schema)
		no(t, c.LogTo(ctx, slog.New(slog.NewTextHandler(&page{}, nil)), pgcache.LevelDebug))
		var all sync.WaitGroup
		for i := 0; i < 6; i++ {
			key := fmt.Sprint("k", i)
			all.Add(1)
			go func() {
				defer all.Done()
				for {
					observer, err := c.Observe(pgcache.Operations, pgcache.LevelInfo, 10)
					if err != nil {
						if !errors.Is(err, pgcache.ErrClosed) {
							t.Error(err)
						}
						return
					}
					_, lease, err := c.Begin(ctx, key, pgcache.Wait(0))
					_ = observer.Close()
					if lease != nil {
						_ = lease.Close()
					}
					if err != nil && !errors.Is(err, pgcache.ErrClosed) && !errors.Is(err, pgcache.ErrBusy) {
						t.Error(err)
					}
				}
			}()
		}
		time.Sleep(time.Duration(rand.Intn(20000)) * time.Microsecond)
		no(t, c.Close())
		all.Wait()
	}
}

// A cache that only its log has is nobody's.
func TestGarbageWithALog(t *testing.T) {
	c, err := pgcache.Open(address+" application_name=logged", pgcache.Setting("schema", newSchema()), pgcache.JanitorEvery(0))
	no(t, err)
	_, err = c.Init(ctx)
	no(t, err)
	no(t, c.LogTo(ctx, slog.New(slog.NewTextHandler(&page{}, nil)), pgcache.LevelDebug))
	eventually(t, "it is closed", func() bool {
		runtime.GC()
		return query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'logged%'") == "0"
	})
}

func TestA62LogTo(t *testing.T) {
	c := open(t, pgcache.Setting("slow_ms", 1), pgcache.Setting("near_max_bytes", 1<<20))
	written := &page{}
	logging, stop := context.WithCancel(ctx)
	defer stop()
	logger := slog.New(slog.NewTextHandler(written, &slog.HandlerOptions{Level: slog.LevelDebug}))
	no(t, c.LogTo(logging, logger, pgcache.LevelDebug))
	eventually(t, "words about the listener, and about something slow", func() bool {
		value := strings.Repeat("s3cret", 100000)
		put(t, c, "s3cret key", value, pgcache.Span("checkout"))
		get(t, c, "s3cret key")
		text := written.String()
		return strings.Contains(text, "listener connected") && strings.Contains(text, "operation=put") &&
			strings.Contains(text, "span_name=checkout") && strings.Contains(text, "level=WARN") &&
			strings.Contains(text, "duration=")
	})
	if strings.Contains(written.String(), "s3cret") {
		t.Fatal("a key or value is told")
	}
	no(t, c.Close())
	want(t, c.LogTo(ctx, logger, pgcache.LevelInfo), pgcache.ErrClosed)
}
