// SPDX-License-Identifier: MIT

package pgcacheotel

import (
	"context"
	"errors"
	"os"
	"reflect"
	"sort"
	"strings"
	"testing"

	pgcache "github.com/pgcache/pgcache/bindings/go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func open(t *testing.T, schema string, options ...pgcache.OpenOption) *pgcache.Cache {
	t.Helper()
	options = append(options, pgcache.Setting("schema", schema), pgcache.JanitorEvery(0))
	cache, err := pgcache.Open(os.Getenv("PGCACHE_TEST_URL"), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	if _, err := cache.Init(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Flush(context.Background()); err != nil { // of a run before
		t.Fatal(err)
	}
	return cache
}

type data map[string]any

func dataOf(attributes []attribute.KeyValue) data {
	of := data{}
	for _, a := range attributes {
		of[string(a.Key)] = a.Value.AsInterface()
	}
	return of
}

// Each operation has a span with what psycache's have, and the conventions' names of a database's.
func TestA61Spans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	cache := open(t, "go_otel", pgcache.Instrument(Spans(WithTracerProvider(tracers))))
	otel.SetTracerProvider(tracers)
	quiet, err := pgcache.Open("null:", pgcache.JanitorEvery(0), pgcache.Instrument(Spans(WithoutKeys())))
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	already := len(recorder.Ended()) // by what prepared the cache
	ctx, page := tracers.Tracer("test").Start(context.Background(), "a page")
	broken := errors.New("the database is gone")
	var inside trace.SpanContext
	for i, do := range []func() error{
		func() error { _, err := cache.Put(ctx, "k\xff", []byte("12345"), pgcache.Span("save\xfe")); return err },
		func() error { _, err := cache.Get(ctx, "k\xff"); return err },
		func() error { _, err := cache.GetMany(ctx, []string{"k\xff", "none"}); return err },
		func() error { _, err := cache.Remove(ctx, "k\xff", pgcache.Namespace("other")); return err },
		func() error { return cache.Invalidate(ctx, pgcache.Tags("t")) },
		func() error {
			_, err := cache.GetOrLoad(ctx, "l", func(ctx context.Context) ([]byte, error) {
				inside = trace.SpanContextFromContext(ctx)
				return []byte("123"), nil
			})
			return err
		},
		func() error { _, err := quiet.Put(ctx, "secret", nil); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := cache.Peek("none"); err != pgcache.ErrMiss { // has no context, and so is in no trace
		t.Fatal(err)
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
	page.End()

	of := func(operation, namespace string, more data) data {
		all := data{"db.system.name": "postgresql", "db.operation.name": operation, "pgcache.namespace": namespace}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	keys := func(keys ...string) []string { return keys }
	type told struct {
		name   string
		status codes.Code
		data   data
	}
	wanted := []told{
		{`save\xfe`, codes.Unset, of("put", "default", data{"cache.key": keys(`k\xff`), "cache.item_size": int64(5)})},
		{"pgcache get", codes.Unset, of("get", "default", data{"cache.key": keys(`k\xff`), "cache.hit": true, "cache.item_size": int64(5)})},
		{"pgcache get_many", codes.Unset, of("get_many", "default", data{"cache.key": keys(`k\xff`, "none"), "db.operation.batch.size": int64(2), "cache.hit": true, "cache.item_size": int64(5)})},
		{"pgcache remove", codes.Unset, of("remove", "other", data{"cache.key": keys(`k\xff`)})},
		{"pgcache invalidate", codes.Unset, of("invalidate", "default", data{})},
		{"pgcache get_or_load", codes.Unset, of("get_or_load", "default", data{"cache.key": keys("l"), "cache.hit": false, "cache.item_size": int64(3)})},
		{"pgcache put", codes.Unset, of("put", "default", data{"cache.item_size": int64(0)})},
		{"pgcache get", codes.Unset, of("get", "default", data{"cache.key": keys("none"), "cache.hit": false})},
		{"pgcache get", codes.Error, of("get", "default", data{"cache.key": keys(""), "cache.hit": false, "error.type": "invalid"})},
		{"pgcache get_or_load", codes.Error, of("get_or_load", "default", data{"cache.key": keys("f"), "cache.hit": false, "error.type": "*errors.errorString"})},
	}
	ended := recorder.Ended()[already:]
	if len(ended) != len(wanted)+1 { // the page
		t.Fatalf("%d spans", len(ended))
	}
	for i, span := range ended[:len(wanted)] {
		got := told{span.Name(), span.Status().Code, dataOf(span.Attributes())}
		if !reflect.DeepEqual(got, wanted[i]) {
			t.Errorf("got  %+v\nnot %+v", got, wanted[i])
		}
		if span.SpanKind() != trace.SpanKindClient || span.Parent().SpanID() != page.SpanContext().SpanID() {
			t.Errorf("%s: %v, of %v", span.Name(), span.SpanKind(), span.Parent())
		}
	}
	if load := ended[5]; inside.SpanID() != load.SpanContext().SpanID() {
		t.Error("the function that loads works inside of another span: ", inside)
	}
}

// Each metric of psycache's has its counterpart, and the figures are those of the snapshot, of all caches together.
func TestA60Producer(t *testing.T) {
	ctx := context.Background()
	one, other := open(t, "go_otel_1"), open(t, "go_otel_2")
	for _, cache := range []*pgcache.Cache{one, other} {
		odd := pgcache.Span("page \xff")
		if _, err := cache.Put(ctx, "k", make([]byte, 100), odd); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.Get(ctx, "k", odd, pgcache.FromStore()); err != nil {
			t.Fatal(err)
		}
		_, _ = cache.Get(ctx, "none", odd, pgcache.FromStore())
	}
	producer := NewProducer(one, other)
	reader := metric.NewManualReader(metric.WithProducer(producer))
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	defer func() { _ = meters.Shutdown(ctx) }()
	collect := func() map[string]metricdata.Metrics {
		var found metricdata.ResourceMetrics
		if err := reader.Collect(ctx, &found); err != nil {
			t.Fatal(err)
		}
		metrics := map[string]metricdata.Metrics{}
		for _, scope := range found.ScopeMetrics {
			for _, m := range scope.Metrics {
				if _, there := metrics[m.Name]; there || !strings.HasPrefix(m.Name, "pgcache_") {
					t.Errorf("%s is there twice, or has a wrong name", m.Name)
				}
				metrics[m.Name] = m
			}
		}
		return metrics
	}
	metrics := collect()

	for name, value := range map[string]float64{"pgcache_hits_total": 2, "pgcache_misses_total": 2} {
		sum := metrics[name].Data.(metricdata.Sum[float64])
		if !sum.IsMonotonic || sum.Temporality != metricdata.CumulativeTemporality || metrics[name].Description == "" ||
			metrics[name].Unit != "" {
			t.Errorf("%s: %+v", name, sum)
		}
		found := false
		for _, point := range sum.DataPoints {
			if span, _ := point.Attributes.Value("span_name"); span.AsString() == `page \xff` && point.Value == value {
				found = !point.StartTime.IsZero() && !point.StartTime.After(point.Time)
			}
		}
		if !found {
			t.Errorf("%s: %+v", name, sum)
		}
	}
	if bytes := metrics["pgcache_near_bytes"]; bytes.Unit != "By" || len(bytes.Data.(metricdata.Gauge[float64]).DataPoints) != 1 {
		t.Errorf("%+v", bytes)
	}
	histograms := 0
	for name, m := range metrics {
		data, is := m.Data.(metricdata.Histogram[float64])
		if !is {
			continue
		}
		for _, point := range data.DataPoints {
			histograms++
			total := uint64(0)
			for _, count := range point.BucketCounts {
				total += count
			}
			if total != point.Count || len(point.BucketCounts) != len(point.Bounds)+1 || !sort.Float64sAreSorted(point.Bounds) {
				t.Errorf("%s: %+v", name, point)
			}
			operation, _ := point.Attributes.Value("operation")
			if name == "pgcache_item_size_bytes" && operation.AsString() == "put" && (point.Count != 2 || point.Sum != 200 ||
				point.BucketCounts[1] != 2) { // 64 to 256 bytes
				t.Errorf("%s: %+v", name, point)
			}
		}
	}
	if durations := metrics["pgcache_operation_duration_seconds"]; durations.Unit != "s" || histograms < 5 {
		t.Errorf("%d histograms; %+v", histograms, durations)
	}

	one.Close()
	if metrics := collect(); len(metrics) == 0 {
		t.Error("nothing of the cache that is open")
	}
	other.Close()
	if metrics := collect(); len(metrics) != 0 {
		t.Error(metrics)
	}
}
