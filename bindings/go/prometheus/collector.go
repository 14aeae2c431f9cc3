// SPDX-License-Identifier: MIT

// Package prometheus shows what is measured of caches to Prometheus, with client_golang:
//
//	prometheus.MustRegister(pgcacheprometheus.NewCollector(cache))
//
// It is a module of its own, so that the binding depends on no client of Prometheus.
package prometheus

import (
	"fmt"
	"strings"

	pgcache "github.com/pgcache/pgcache/bindings/go"
	"github.com/prometheus/client_golang/prometheus"
)

// A Collector asks the caches for a snapshot at each scrape: no server is asked, and nothing is kept in between.
type Collector struct{ caches []*pgcache.Cache }

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes a collector of one or more caches of the process, whose figures are added up.
func NewCollector(caches ...*pgcache.Cache) *Collector { return &Collector{caches} }

// Describe describes nothing: which metrics there are is known when there are some.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect measures the caches. One that was closed is left out.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	var all *pgcache.Snapshot
	for _, cache := range c.caches {
		snapshot, err := cache.Snapshot()
		switch {
		case err != nil:
		case all == nil:
			all = snapshot
		default:
			if err := all.Add(snapshot); err != nil {
				metrics <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
			}
			snapshot.Close()
		}
	}
	if all == nil {
		return
	}
	defer all.Close()
	for _, sample := range all.Samples() {
		metrics <- metricOf(sample)
	}
}

func metricOf(sample pgcache.Sample) prometheus.Metric {
	var names, values []string
	for _, label := range sample.Labels {
		names = append(names, label.Name)
		values = append(values, strings.ToValidUTF8(label.Value, "\uFFFD"))
	}
	desc := prometheus.NewDesc(sample.Name, sample.Help, names, nil)
	var metric prometheus.Metric
	var err error
	switch sample.Kind {
	case pgcache.Counter:
		metric, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, sample.Value, values...)
	case pgcache.Gauge:
		metric, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, sample.Value, values...)
	case pgcache.Histogram:
		buckets := map[float64]uint64{}
		for _, bound := range sample.Bounds() {
			buckets[bound] = uint64(sample.CountTo(bound))
		}
		metric, err = prometheus.NewConstHistogram(desc, uint64(sample.Count), sample.Value, buckets, values...)
	default:
		err = fmt.Errorf("a sample of a kind that is not known here: %d", sample.Kind)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return metric
}
