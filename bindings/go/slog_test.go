// SPDX-License-Identifier: MIT

//go:build go1.21

package pgcache_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"

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
