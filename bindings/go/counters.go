// SPDX-License-Identifier: MIT

package pgcache

import (
	"runtime"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// Counters are what a cache has counted since it was opened, of this process alone.
type Counters struct {
	// ConnectionsOpened: connections made.
	ConnectionsOpened int64
	// ConnectionsLost: connections closed because they broke or an answer on them was given up.
	ConnectionsLost int64
	// BreakerOpened: how often the circuit breaker opened.
	BreakerOpened int64
	// BreakerRefused: calls that it refused, ErrUnavailable.
	BreakerRefused int64
	// ReadsFailed: reads that gave a miss instead of their error, see the setting on_error.
	ReadsFailed int64
	// ValuesRefused: rows taken for a miss: damaged, moved, of an unknown key, or not encrypted as required.
	ValuesRefused int64
	// EntriesTouched: entries noted as used because they were read while there is a limit.
	EntriesTouched int64
	// EntriesEvicted: entries that this handle evicted to keep the limits.
	EntriesEvicted int64
	// CleanupFailures: walks of its janitors, and slices after writes, that failed.
	CleanupFailures int64
	// SummariesPublished: see the setting publish_ms.
	SummariesPublished int64
	// PublishFailures: summaries that could not be published, and were given up.
	PublishFailures int64
	// NearHits: keys answered with a value that it held.
	NearHits int64
	// NearAbsentHits: keys answered with the knowledge that there is no entry.
	NearAbsentHits int64
	// NearMisses: keys that it was asked for and did not answer.
	NearMisses int64
	// NearFills: values, and absences, that it took in.
	NearFills int64
	// NearFillsRefused: those that were not taken in because something newer was heard of.
	NearFillsRefused int64
	// NearInvalidations: copies that were dropped because the entry changed; own writes count, too.
	NearInvalidations int64
	// NearEvictions: copies that were dropped to keep its limits.
	NearEvictions int64
	// NearLapses: keys that it held and did not answer, because how fresh it is was not proven in time.
	NearLapses int64
	// NearFlushes: how often it dropped everything; the next four say why.
	NearFlushes int64
	// NearFlushesStart: it was new, or without news for longer than near_staleness_ms.
	NearFlushesStart int64
	// NearFlushesEpoch: the server lost the unlogged tables, or is another one.
	NearFlushesEpoch int64
	// NearFlushesGap: the news did not reach back far enough.
	NearFlushesGap int64
	// NearFlushesStream: the cache was flushed.
	NearFlushesStream int64
	// NearEntries: copies that it holds now.
	NearEntries int64
	// NearBytes: what they take, with all overhead.
	NearBytes int64
	// NearPolls: round trips that proved how fresh it is.
	NearPolls int64
	// NearMessages: notifications taken.
	NearMessages int64
	// NearMessagesRefused: notifications that were none of ours, damaged, or of another epoch.
	NearMessagesRefused int64
	// NearGaps: notifications that did not follow the one before, so that a poll stood in for them.
	NearGaps int64
	// NearAudited: copies compared with the store, see the setting near_audit_ms.
	NearAudited int64
	// NearDisagreements: of these, older than the rules allow.
	NearDisagreements int64
	// Loads: leases that this handle got, and so values that it had loaded.
	Loads int64
	// LoadWaits: calls that waited for somebody else's load.
	LoadWaits int64
	// LoadStale: stale values given.
	LoadStale int64
	// LoadFills: values, and absences, that were stored.
	LoadFills int64
	// LoadFillsRefused: fills that were refused.
	LoadFillsRefused int64
	// LoadFailures: calls of Fail.
	LoadFailures int64
	// Invalidations: keys and tags invalidated by Invalidate.
	Invalidations int64
}

// counters has the layout of pgcache_counters.
type counters struct {
	structSize uintptr
	Counters
}

// Counters reads the counters, without asking the server; 0 each after Close.
func (c *Cache) Counters() Counters {
	now := &counters{}
	now.structSize = unsafe.Sizeof(*now)
	if c.core.enter() {
		raw.Read_counters(c.core.handle, unsafe.Pointer(now), nil)
		c.core.leave()
	}
	runtime.KeepAlive(c)
	return now.Counters
}
