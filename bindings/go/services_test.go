// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

func TestA50Janitor(t *testing.T) {
	t.Parallel()
	c := open(t)
	gone := func() bool {
		stats, err := c.Stats(ctx)
		no(t, err)
		return stats.Expired == 0
	}
	expire := func() {
		put(t, c, "old", "v", pgcache.TTL(time.Millisecond))
		time.Sleep(20 * time.Millisecond)
	}
	expire()
	janitor, err := c.StartJanitor(50 * time.Millisecond)
	no(t, err)
	eventually(t, "it walks at once", gone)
	expire()
	eventually(t, "it walks again", gone)
	no(t, janitor.Stop(ctx))
	no(t, janitor.Stop(ctx))
	expire()
	time.Sleep(200 * time.Millisecond)
	if gone() {
		t.Fatal("it has not stopped")
	}
	for _, interval := range []time.Duration{0, -1, -time.Hour, 24*time.Hour + time.Millisecond, math.MaxInt64, math.MinInt64} {
		_, err = c.StartJanitor(interval)
		want(t, err, pgcache.ErrInvalid)
	}
	_, err = pgcache.Open(address, pgcache.JanitorEvery(-time.Second))
	want(t, err, pgcache.ErrInvalid)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err = janitor.Stop(ended); err != nil {
		t.Fatal("it had stopped: ", err)
	}
	no(t, c.Close())
	no(t, janitor.Stop(ctx))
}

// A janitor that is in the middle of a statement has not stopped yet, and Stop says so.
func TestA50StopWithATimeout(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	c := openIn(t, schema)
	_, err := c.Init(ctx)
	no(t, err)
	hold(t, `LOCK TABLE "`+schema+`".entries IN ACCESS EXCLUSIVE MODE`)
	janitor, err := c.StartJanitor(time.Second)
	no(t, err)
	eventually(t, "it waits for the lock", func() bool {
		return query(t, `SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = '"`+schema+`".entries'::regclass`) == "t"
	})
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err = janitor.Stop(soon); !errors.Is(err, pgcache.ErrTimeout) {
		t.Fatal(err)
	}
}

// Open starts one unless it is told not to.
func TestA50OpenStartsOne(t *testing.T) {
	t.Parallel()
	schema := newSchema()
	c, err := pgcache.Open(address, pgcache.Setting("schema", schema))
	no(t, err)
	defer c.Close()
	_, err = c.Init(ctx)
	no(t, err)
	eventually(t, "a walk, or one that failed before there was a schema", func() bool {
		snapshot, err := c.Snapshot()
		no(t, err)
		for _, sample := range snapshot.Samples() {
			if sample.Name == "pgcache_cleanup_last_run_timestamp_seconds" && sample.Value > 0 {
				return true
			}
		}
		return c.Counters().CleanupFailures > 0
	})
}

func TestA51Null(t *testing.T) {
	t.Parallel()
	c, err := pgcache.Open("null:")
	no(t, err)
	defer c.Close()
	version, err := c.Put(ctx, "k", []byte("v"), pgcache.Tags("t"))
	no(t, err)
	same(t, version, 0)
	misses(t, c, "k")
	same(t, load(t, c, "k", gives("1")), "1")
	same(t, load(t, c, "k", gives("2"), pgcache.FailSafe(time.Minute)), "2")
	_, err = c.GetOrLoad(ctx, "k", fails)
	want(t, err, errLoad)
	removed, err := c.Remove(ctx, "k")
	no(t, err)
	same(t, removed, false)
	no(t, c.Invalidate(ctx, pgcache.Tags("t")))
	no(t, c.Fence(ctx))
	_, err = c.Put(ctx, "", nil)
	want(t, err, pgcache.ErrInvalid)
}

func TestLimitsAndUsage(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, key := range []string{"a", "b", "c"} {
		put(t, c, key, "value")
		put(t, c, key, "value", pgcache.Namespace("other"))
	}
	no(t, c.SetLimits(ctx, 2, pgcache.KeepLimit))
	no(t, c.SetLimitsOfAll(ctx, pgcache.KeepLimit, 1<<30))
	_, err := c.Cleanup(ctx)
	no(t, err)
	found := map[string]pgcache.NamespaceUsage{}
	usage := c.Usage(ctx)
	for usage.Next() {
		found[usage.Value().Namespace] = usage.Value()
	}
	no(t, usage.Err())
	if len(found) != 3 {
		t.Fatalf("%+v", found)
	}
	same(t, found[""].Entries, 5)
	same(t, found[""].MaxBytes, 1<<30)
	same(t, found["default"].Entries, 2)
	same(t, found["default"].MaxEntries, 2)
	same(t, found["other"].Entries, 3)
	if found["other"].Bytes < 15 {
		t.Fatal("bytes: ", found["other"].Bytes)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	c := open(t)
	var items []pgcache.Item
	for i := 0; i < 1500; i++ {
		items = append(items, pgcache.Item{Key: "k\x00" + string(rune('0'+i/1000)) + time.Duration(i).String()})
	}
	_, err := c.PutMany(ctx, append(items, pgcache.Item{Key: "other"}))
	no(t, err)
	keys, count, last := c.Keys(ctx, "k\x00"), 0, ""
	for keys.Next() {
		if key := keys.Value(); key.Key <= last || key.Version <= 0 || key.TTL <= 0 {
			t.Fatalf("%+v after %q", key, last)
		}
		last = keys.Value().Key
		count++
	}
	no(t, keys.Err())
	same(t, count, 1500)
	keys = c.Keys(ctx, "", pgcache.Namespace("two words"))
	same(t, keys.Next(), false)
	want(t, keys.Err(), pgcache.ErrInvalid)
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	report, err := open(t).Doctor(ctx)
	no(t, err)
	if len(report.Findings) < 5 || report.Worst == "" || report.Findings[0].Check == "" || report.Findings[0].Finding == "" {
		t.Fatalf("%+v", report)
	}
}

func TestSchema(t *testing.T) {
	c := openIn(t, newSchema())
	_, err := c.Upgrade(ctx)
	want(t, err, pgcache.ErrSchemaMissing)
	for _, wanted := range []bool{true, false} {
		made, err := c.Init(ctx)
		no(t, err)
		same(t, made, wanted)
	}
	upgraded, err := c.Upgrade(ctx)
	no(t, err)
	same(t, upgraded, false)
	sql, err := pgcache.InitSQL(pgcache.Setting("schema", "elsewhere"))
	no(t, err)
	if !strings.Contains(sql, "elsewhere") || !strings.Contains(sql, "CREATE") {
		t.Fatal("no SQL: ", len(sql))
	}
	_, err = pgcache.InitSQL(pgcache.Setting("schema", "Elsewhere"))
	want(t, err, pgcache.ErrBadSetting)
}

func TestSettings(t *testing.T) {
	found := map[string]pgcache.SettingInfo{}
	for _, one := range pgcache.Settings() {
		found[one.Name] = one
	}
	one := found["timeout_ms"]
	if len(found) < 20 || one.Default != "5000" || one.Environment != "PGCACHE_TIMEOUT_MS" || one.Allowed == "" || one.Description == "" {
		t.Fatalf("%d settings, %+v", len(found), one)
	}
	for _, setting := range []pgcache.OpenOption{pgcache.Setting("timeout_ms", 1500*time.Millisecond), pgcache.Setting("guard", false),
		pgcache.Setting("pool_max", 3), pgcache.Setting("default_ttl_ms", pgcache.Forever), pgcache.Setting("schema", "x")} {
		c, err := pgcache.Open("null:", setting)
		no(t, err)
		no(t, c.Close())
	}
	_, err := pgcache.Open("null:\x00other")
	want(t, err, pgcache.ErrBadSetting)
	t.Setenv("PGCACHE_POOL_MAX", "many")
	_, err = pgcache.Open("null:")
	want(t, err, pgcache.ErrBadSetting)
	t.Setenv("PGCACHE_POOL_MAX", "")
	t.Setenv("PGCACHE_URL", "")
	t.Setenv("DATABASE_URL", "")
	_, err = pgcache.Open("")
	want(t, err, pgcache.ErrBadSetting)
	if pgcache.Version() == "" {
		t.Fatal("no version")
	}
}
