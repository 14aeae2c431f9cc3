// SPDX-License-Identifier: MIT

package pgcache

import (
	"runtime"
	"sync"
	"time"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// A Snapshot is what was measured of a cache at one moment; instrumentation/METRICS.md lists it. It outlives the cache, and may be read by any
// number of goroutines.
type Snapshot struct {
	mutex    sync.RWMutex // Add changes what others read
	snapshot *raw.Snapshot
}

func newSnapshot(s *raw.Snapshot) *Snapshot {
	made := &Snapshot{snapshot: s}
	runtime.SetFinalizer(made, func(s *Snapshot) { raw.Snapshot_free(s.snapshot) })
	return made
}

// Snapshot measures the cache: asks no server, and waits for nobody.
func (c *Cache) Snapshot() (*Snapshot, error) {
	if !c.core.enter() {
		return nil, closed()
	}
	defer c.core.leave()
	f := newFrame(defaults)
	defer f.release()
	var s *raw.Snapshot
	if err := f.refusal(raw.Stats_snapshot(c.core.handle, &s, f.err())); err != nil {
		return nil, err
	}
	runtime.KeepAlive(c)
	return newSnapshot(s), nil
}

// Close frees the snapshot at once, which may be of hundreds of kilobytes that the garbage collector does not see. It may be called more
// than once; a snapshot that was closed is empty.
func (s *Snapshot) Close() error {
	runtime.SetFinalizer(s, nil)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	raw.Snapshot_free(s.snapshot)
	s.snapshot = nil
	return nil
}

var adding sync.Mutex

// Add adds what another snapshot has: for several caches of a process, or several processes.
func (s *Snapshot) Add(other *Snapshot) error {
	if s == other {
		return invalid("a snapshot cannot be added to itself")
	}
	adding.Lock() // else each of two that are added to each other would wait for the other one's lock
	defer adding.Unlock()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	other.mutex.RLock()
	defer other.mutex.RUnlock()
	f := newFrame(defaults)
	defer f.release()
	return f.refusal(raw.Snapshot_add(s.snapshot, other.snapshot, f.err()))
}

// TakenAt says when it was taken.
func (s *Snapshot) TakenAt() time.Time {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	return time.UnixMilli(raw.Snapshot_taken_at(s.snapshot))
}

// Origin says whose it is: "host/process/handle", the same for all snapshots of a cache and for no other.
func (s *Snapshot) Origin() string {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	return textOf(raw.Snapshot_origin(s.snapshot))
}

// A Kind says what a sample is.
type Kind int32

// The kinds of samples.
const (
	// Counter grows only.
	Counter Kind = 1
	// Gauge is as it is now.
	Gauge Kind = 2
	// Histogram tells how values are distributed.
	Histogram Kind = 3
)

// A Label is one of a sample's.
type Label struct {
	// Name is the label's.
	Name string
	// Value is the label's; of span_name it is the application's text, whatever that is.
	Value string
}

// A Sample is one figure.
type Sample struct {
	// Name is in the form of Prometheus.
	Name string
	// Help says in one line what the name means.
	Help string
	// Unit is "seconds", "bytes" or "".
	Unit string
	// Kind says what it is.
	Kind Kind
	// Labels are in the order of the library's.
	Labels []Label
	// Value is that of a counter or gauge, and the sum of a histogram's values.
	Value float64
	// Count is how many values a histogram has.
	Count int64

	snapshot *Snapshot
	index    int64
}

// Samples gives all samples; those of one name stand together.
func (s *Snapshot) Samples() []Sample {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	of := s.snapshot
	samples := make([]Sample, raw.Snapshot_size(of))
	for n := range samples {
		i := int64(n)
		samples[n] = Sample{
			Name: textOf(raw.Snapshot_name(of, i)), Help: textOf(raw.Snapshot_help(of, i)), Unit: textOf(raw.Snapshot_unit(of, i)),
			Kind: Kind(raw.Snapshot_kind(of, i)), Value: raw.Snapshot_value(of, i), Count: raw.Snapshot_count(of, i),
			snapshot: s, index: i,
		}
		for l := int64(0); l < raw.Snapshot_labels(of, i); l++ {
			samples[n].Labels = append(samples[n].Labels,
				Label{textOf(raw.Snapshot_label_name(of, i, l)), textOf(raw.Snapshot_label_value(of, i, l))})
		}
	}
	return samples
}

// CountTo is how many of a histogram's values are at most bound. Like Percentile it is of the snapshot as it is now: after Add take
// samples anew.
func (s Sample) CountTo(bound float64) int64 {
	s.snapshot.mutex.RLock()
	defer s.snapshot.mutex.RUnlock()
	return raw.Snapshot_count_to(s.snapshot.snapshot, s.index, bound)
}

// Percentile is the value that so many percent of a histogram's values do not exceed; NaN if it has none.
func (s Sample) Percentile(percent float64) float64 {
	s.snapshot.mutex.RLock()
	defer s.snapshot.mutex.RUnlock()
	return raw.Snapshot_percentile(s.snapshot.snapshot, s.index, percent)
}

// Bounds are those of buckets that suit the unit of a histogram, the same as in all other expositions of the project.
func (s Sample) Bounds() []float64 {
	switch s.Unit {
	case "seconds":
		return []float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2,
			0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	case "bytes":
		return []float64{64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216}
	}
	return []float64{0, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000}
}
