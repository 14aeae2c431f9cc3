// SPDX-License-Identifier: MIT

// Package pgcacheprometheus shows what is measured of caches to Prometheus, with client_golang:
//
//	prometheus.MustRegister(pgcacheprometheus.NewCollector(cache))
//
// It is a module of its own, so that the binding depends on no client of Prometheus.
package pgcacheprometheus

import (
	"fmt"
	"strings"
	"unicode/utf8"

	pgcache "github.com/pgcache/pgcache/bindings/go"
	"github.com/prometheus/client_golang/prometheus"
)

// A Collector asks the caches for a snapshot at each scrape: no server is asked, and nothing is kept in between.
type Collector struct{ caches []*pgcache.Cache }

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes a collector of one or more caches of the process, whose figures are added up.
func NewCollector(caches ...*pgcache.Cache) *Collector { return &Collector{caches} }

var everything = prometheus.NewDesc("pgcache", "All metrics of caches: which there are is known when there are some.", nil, nil)

// Describe describes one thing that stands for all, by which a registry knows the collector when it is to be unregistered. (A pedantic
// registry, which wants all described, does not take it.)
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- everything }

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

// escaped writes a byte that is not UTF-8 as the library's own exposition does. One would have the whole page refused otherwise, and so
// would two values that become the same one.
func escaped(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	var b strings.Builder
	for len(value) > 0 {
		r, size := utf8.DecodeRuneInString(value)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, value[0])
		} else {
			b.WriteString(value[:size])
		}
		value = value[size:]
	}
	return b.String()
}

func metricOf(sample pgcache.Sample) prometheus.Metric {
	var names, values []string
	for _, label := range sample.Labels {
		names = append(names, label.Name)
		values = append(values, escaped(label.Value))
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
