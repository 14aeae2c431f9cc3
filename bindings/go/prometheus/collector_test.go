// SPDX-License-Identifier: MIT

package pgcacheprometheus

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	pgcache "github.com/pgcache/pgcache/bindings/go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

var ctx = context.Background()

func open(t *testing.T, schema string) *pgcache.Cache {
	t.Helper()
	cache, err := pgcache.Open(os.Getenv("PGCACHE_TEST_URL"), pgcache.Setting("schema", schema), pgcache.JanitorEvery(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	if _, err := cache.Init(ctx); err != nil {
		t.Fatal(err)
	}
	return cache
}

func scrape(t *testing.T, collector prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	defer func() {
		if !registry.Unregister(collector) {
			t.Error("it cannot be unregistered")
		}
	}()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if answer.Code != 200 {
		t.Fatal(answer.Body.String())
	}
	return answer.Body.String()
}

// Each metric of psycache's has its counterpart, with the span name as a label, and promtool takes what is written.
func TestA60Collector(t *testing.T) {
	one, other := open(t, "go_prometheus_1"), open(t, "go_prometheus_2")
	for _, cache := range []*pgcache.Cache{one, other} {
		odd := pgcache.Span("front \"page\" \xff")
		_, _ = cache.Get(ctx, "none", pgcache.Span("front \"page\" \xfe"))
		if _, err := cache.Put(ctx, "k", []byte("value"), odd); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.Get(ctx, "k", odd, pgcache.FromStore()); err != nil {
			t.Fatal(err)
		}
		_, _ = cache.Get(ctx, "none", pgcache.Span("checkout"))
		_, _ = cache.Remove(ctx, "k")
		_, _ = cache.Flush(ctx)
		_, _ = cache.Cleanup(ctx)
	}
	text := scrape(t, NewCollector(one, other))
	for _, line := range []string{
		`pgcache_hits_total{source="store",span_name="front \"page\" \\xff"} 2`,
		`pgcache_misses_total{source="store",span_name="front \"page\" \\xfe"} 2`,
		`pgcache_misses_total{source="store",span_name="checkout"} 2`,
		`pgcache_operation_duration_seconds_bucket{operation="get",outcome="miss",source="store",span_name="checkout",le="10"} 2`,
		`pgcache_operation_duration_seconds_count{operation="put",outcome="ok",source="store",span_name="front \"page\" `,
		`pgcache_operation_duration_seconds_count{operation="remove",outcome="ok",source="store",span_name=""} 2`,
		`pgcache_operation_duration_seconds_count{operation="flush",outcome="ok",source="store",span_name=""} 2`,
		`pgcache_item_size_bytes_sum{operation="get",span_name="front \"page\" `,
		`pgcache_flushed_entries_count 2`,
		`pgcache_cleanup_deleted_entries_count 2`,
		`pgcache_cleanup_last_run_timestamp_seconds `,
		"# TYPE pgcache_hits_total counter",
		"# TYPE pgcache_item_size_bytes histogram",
		"# TYPE pgcache_near_bytes gauge",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("there is no %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil || len(families) < 20 {
		t.Errorf("%d families: %v", len(families), err)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("SKIPPED: no promtool is here to read it")
		return
	}
	command := exec.Command(promtool, "check", "metrics")
	command.Stdin = strings.NewReader(text)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Run(); err != nil {
		t.Errorf("promtool: %v: %s", err, said.String())
	}
}

func TestClosedCachesAreLeftOut(t *testing.T) {
	one, other := open(t, "go_prometheus_3"), open(t, "go_prometheus_4")
	collector := NewCollector(one, other)
	one.Close()
	if text := scrape(t, collector); !strings.Contains(text, "pgcache_handles{version=") {
		t.Error(text)
	}
	other.Close()
	if text := scrape(t, collector); strings.Contains(text, "pgcache_") {
		t.Error(text)
	}
}
