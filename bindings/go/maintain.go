// SPDX-License-Identifier: MIT

package pgcache

import (
	"context"
	"encoding/json"
	"time"
	"unsafe"

	"github.com/pgcache/pgcache/bindings/go/internal/raw"
)

// maintain makes a request on the cache as a whole. show reads the completion, also after an error.
func (c *Cache) maintain(ctx context.Context, name string, opts []Option, submit func(*raw.Cache, *frame) int32,
	show func(*reply, *measured)) error {
	o := optionsOf(opts)
	ctx, m := c.begin(ctx, name, o)
	r, err := c.requestAll(ctx, o, c.core.maintenance, submit)
	if r.completion != nil {
		show(&r, m)
	}
	r.free()
	m.end(err)
	return err
}

// Flush removes every entry of the namespace that was stored before the call began, and gives how many rows that was.
func (c *Cache) Flush(ctx context.Context, opts ...Option) (int64, error) {
	return c.flush(ctx, raw.FLUSH_NAMESPACE, opts)
}

// FlushAll is Flush of all namespaces.
func (c *Cache) FlushAll(ctx context.Context, opts ...Option) (int64, error) {
	return c.flush(ctx, raw.FLUSH_ALL, opts)
}

func (c *Cache) flush(ctx context.Context, scope int32, opts []Option) (removed int64, err error) {
	err = c.maintain(ctx, "flush", opts, func(h *raw.Cache, f *frame) int32 {
		return raw.Submit_flush(h, &f.id, scope, f.opts(), f.err())
	}, func(r *reply, m *measured) {
		removed = r.number
		m.hit(int(removed), -1)
	})
	return removed, err
}

// Cleanup deletes what has expired, evicts what is above the limits, and gives how many expired rows that was. Mostly a janitor does it.
func (c *Cache) Cleanup(ctx context.Context, opts ...Option) (removed int64, err error) {
	err = c.maintain(ctx, "cleanup", opts, func(h *raw.Cache, f *frame) int32 {
		return raw.Submit_cleanup(h, &f.id, f.opts(), f.err())
	}, func(r *reply, m *measured) {
		removed = r.number
		m.hit(int(removed), -1)
	})
	return removed, err
}

// CleanupProgress tells how far a walk of CleanupSome has come.
type CleanupProgress struct {
	// Restart begins a walk even if one is under way; it is false once that has begun.
	Restart bool
	// Busy: another janitor is at work, and nothing was done.
	Busy bool
	// Finished: the walk has come to its end.
	Finished bool
	// Evicting: what had expired is gone, and the walk has begun again to evict.
	Evicting bool
	// Removed is how many expired rows were deleted, in all calls with this progress.
	Removed int64
	// Evicted is how many entries were evicted to keep the limits.
	Evicted int64
	// BlocksDone is how much of the table the walk has seen,
	BlocksDone int64
	// Blocks is how much there is.
	Blocks int64
}

// cleanupProgress has the layout of pgcache_cleanup_progress.
type cleanupProgress struct {
	structSize                           uintptr
	restart, busy, finished, evicting    int32
	removed, evicted, blocksDone, blocks int64
}

func number(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// CleanupSome does a part of what Cleanup does, for about as long as the budget, and notes in progress how far it came. Call it with the
// same progress until that is Finished or Busy.
func (c *Cache) CleanupSome(ctx context.Context, progress *CleanupProgress, budget time.Duration, opts ...Option) error {
	p := progress
	now := &cleanupProgress{restart: number(p.Restart), busy: number(p.Busy), finished: number(p.Finished),
		evicting: number(p.Evicting), removed: p.Removed, evicted: p.Evicted, blocksDone: p.BlocksDone, blocks: p.Blocks}
	now.structSize = unsafe.Sizeof(*now)
	return c.maintain(ctx, "cleanup_some", opts, func(h *raw.Cache, f *frame) int32 {
		return raw.Submit_cleanup_some(h, &f.id, unsafe.Pointer(now), spanOf(budget), f.opts(), f.err())
	}, func(r *reply, m *measured) {
		if at := (*cleanupProgress)(raw.Completion_progress(r.completion)); at != nil {
			*p = CleanupProgress{at.restart != 0, at.busy != 0, at.finished != 0, at.evicting != 0,
				at.removed, at.evicted, at.blocksDone, at.blocks}
		}
	})
}

// Values for limits.
const (
	// NoLimit takes a limit away.
	NoLimit int64 = 0
	// KeepLimit leaves a limit as it is.
	KeepLimit int64 = -1
)

// SetLimits limits how many entries the namespace holds, and how many bytes of keys and values, for all processes. Janitors and Cleanup
// keep the limits: what has expired goes first, then what was not used for the longest time.
func (c *Cache) SetLimits(ctx context.Context, maxEntries, maxBytes int64, opts ...Option) error {
	return c.setLimits(ctx, raw.LIMIT_NAMESPACE, maxEntries, maxBytes, opts)
}

// SetLimitsOfAll is SetLimits for all namespaces together.
func (c *Cache) SetLimitsOfAll(ctx context.Context, maxEntries, maxBytes int64, opts ...Option) error {
	return c.setLimits(ctx, raw.LIMIT_ALL, maxEntries, maxBytes, opts)
}

func (c *Cache) setLimits(ctx context.Context, scope int32, maxEntries, maxBytes int64, opts []Option) error {
	return c.maintain(ctx, "set_limits", opts, func(h *raw.Cache, f *frame) int32 {
		return raw.Submit_set_limits(h, &f.id, scope, maxEntries, maxBytes, f.opts(), f.err())
	}, func(*reply, *measured) {})
}

// StoreStats are figures of the store.
type StoreStats struct {
	// Entries are those of all namespaces that have not expired.
	Entries int64
	// Expired are rows that have expired and wait for cleanup.
	Expired int64
	// ValueBytes are those of the values of both, as stored.
	ValueBytes int64
	// RelationBytes is what the table takes on disk, with its index and out-of-line values.
	RelationBytes int64
	// SchemaVersion is that of the cache's schema.
	SchemaVersion int32
	// Epoch is raised when the server lost the unlogged tables.
	Epoch int32
	// Logged is 1 if the table is logged, else 0.
	Logged int32
	// PoolOpen is how many connections this cache has open,
	PoolOpen int32
	// PoolIdle is how many of these are not in use.
	PoolIdle int32
	// ServerVersion is PostgreSQL's server_version_num, such as 150018.
	ServerVersion int32
}

// storeStats has the layout of pgcache_store_stats.
type storeStats struct {
	structSize uintptr
	StoreStats
}

// Stats counts what the store holds. It reads the whole table.
func (c *Cache) Stats(ctx context.Context, opts ...Option) (StoreStats, error) {
	var stats StoreStats
	err := c.maintain(ctx, "stats", opts, func(h *raw.Cache, f *frame) int32 {
		return raw.Submit_stats(h, &f.id, f.opts(), f.err())
	}, func(r *reply, _ *measured) {
		if found := (*storeStats)(raw.Completion_stats(r.completion)); found != nil {
			stats = found.StoreStats
		}
	})
	return stats, err
}

// A Report is what Doctor found.
type Report struct {
	// Findings are told one by one.
	Findings []Finding `json:"findings"`
	// Worst is the gravest severity among them.
	Worst string `json:"worst"`
}

// A Finding is something that Doctor looked at.
type Finding struct {
	// Severity is ok, info, warning or error.
	Severity string `json:"severity"`
	// Check is a short name that stays.
	Check string `json:"check"`
	// Finding says what there is, in words that may change, as the next two.
	Finding string `json:"finding"`
	// Evidence says where that was seen.
	Evidence string `json:"evidence"`
	// Remedy says what to do, if there is anything to do.
	Remedy string `json:"remedy"`
}

// Doctor examines everything that the cache stands on: server, pooler, clocks, schema, privileges, autovacuum, connections. It changes
// nothing, and needs no schema.
func (c *Cache) Doctor(ctx context.Context, opts ...Option) (*Report, error) {
	report := new(Report)
	var wrong error
	err := c.maintain(ctx, "doctor", opts, func(h *raw.Cache, f *frame) int32 {
		return raw.Submit_doctor(h, &f.id, f.opts(), f.err())
	}, func(r *reply, _ *measured) {
		if r.found.data != nil {
			wrong = json.Unmarshal(bytesOf(r.found.data, r.found.size), report)
		}
	})
	if err == nil {
		err = wrong
	}
	return report, err
}
