// SPDX-License-Identifier: MIT

package pgcacheotel

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	pgcache "github.com/pgcache/pgcache/bindings/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A Producer gives what is measured of caches to a reader of the SDK, with metric.WithProducer, under the names that they have everywhere;
// instrumentation/METRICS.md lists them. It asks the caches for a snapshot at each collection: no server is asked, and nothing is kept
// in between.
type Producer struct {
	caches []*pgcache.Cache
	began  time.Time
}

var _ metric.Producer = (*Producer)(nil)

// NewProducer makes a producer of one or more caches of the process, whose figures are added up.
func NewProducer(caches ...*pgcache.Cache) *Producer {
	return &Producer{caches, time.Now().Truncate(time.Millisecond)} // as exact as a snapshot's time, so that none is before it
}

// Produce measures the caches. One that was closed is left out.
func (p *Producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	var all *pgcache.Snapshot
	for _, cache := range p.caches {
		snapshot, err := cache.Snapshot()
		switch {
		case err != nil:
		case all == nil:
			all = snapshot
			defer all.Close()
		default:
			err := all.Add(snapshot)
			snapshot.Close()
			if err != nil {
				return nil, err
			}
		}
	}
	if all == nil {
		return nil, nil
	}
	samples := all.Samples()
	var metrics []metricdata.Metrics
	for begin := 0; begin < len(samples); { // those of one name stand together
		end := begin + 1
		for end < len(samples) && samples[end].Name == samples[begin].Name {
			end++
		}
		data := p.dataOf(samples[begin:end], all.TakenAt())
		if data == nil {
			return nil, fmt.Errorf("pgcache: %s is of a kind that is not known here: %d", samples[begin].Name, samples[begin].Kind)
		}
		metrics = append(metrics, metricdata.Metrics{
			Name: samples[begin].Name, Description: samples[begin].Help, Unit: units[samples[begin].Unit], Data: data,
		})
		begin = end
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: scope, Version: pgcache.Version()}, Metrics: metrics}}, nil
}

// units are those of UCUM, as OpenTelemetry wants them. What is counted has none: exporters to Prometheus would call it a ratio.
var units = map[string]string{"seconds": "s", "bytes": "By"}

// dataOf gives the samples of one name; nil: their kind is not known.
func (p *Producer) dataOf(samples []pgcache.Sample, now time.Time) metricdata.Aggregation {
	var points []metricdata.DataPoint[float64]
	var histograms []metricdata.HistogramDataPoint[float64]
	kind := samples[0].Kind
	for _, sample := range samples {
		if kind == pgcache.Histogram {
			histograms = append(histograms, p.histogramOf(sample, now))
		} else {
			points = append(points, metricdata.DataPoint[float64]{
				Attributes: attributesOf(sample), StartTime: p.began, Time: now, Value: sample.Value,
			})
		}
	}
	switch kind {
	case pgcache.Counter:
		return metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
	case pgcache.Gauge:
		return metricdata.Gauge[float64]{DataPoints: points}
	case pgcache.Histogram:
		return metricdata.Histogram[float64]{DataPoints: histograms, Temporality: metricdata.CumulativeTemporality}
	}
	return nil
}

func (p *Producer) histogramOf(sample pgcache.Sample, now time.Time) metricdata.HistogramDataPoint[float64] {
	bounds := sample.Bounds()
	counts := make([]uint64, 0, len(bounds)+1)
	below := int64(0)
	for _, bound := range bounds {
		count := sample.CountTo(bound)
		counts = append(counts, uint64(count-below))
		below = count
	}
	return metricdata.HistogramDataPoint[float64]{
		Attributes: attributesOf(sample), StartTime: p.began, Time: now,
		Count: uint64(sample.Count), Sum: sample.Value, Bounds: bounds, BucketCounts: append(counts, uint64(sample.Count-below)),
	}
}

func attributesOf(sample pgcache.Sample) attribute.Set {
	attributes := make([]attribute.KeyValue, len(sample.Labels))
	for i, label := range sample.Labels {
		attributes[i] = attribute.String(label.Name, escaped(label.Value))
	}
	return attribute.NewSet(attributes...)
}

// escaped writes a byte that is not UTF-8 as the library's own exposition does. One would have all that is exported with it refused.
func escaped(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, text[0])
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}
