// SPDX-License-Identifier: MIT

package pgcachepgx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	pgcache "github.com/pgcache/pgcache/bindings/go"
	pgcachesql "github.com/pgcache/pgcache/bindings/go/sql"
)

var (
	ctx     = context.Background()
	address = os.Getenv("PGCACHE_TEST_URL")
	schemas int32
)

func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open makes a cache in a schema of its own, and another handle of it, whose near cache learns of everything from the server.
func open(t *testing.T) (cache, other *pgcache.Cache) {
	t.Helper()
	schema := fmt.Sprint("go_pgx_", atomic.AddInt32(&schemas, 1))
	handle := func() *pgcache.Cache {
		made, err := pgcache.Open(address, pgcache.Setting("schema", schema), pgcache.Setting("on_error", "error"), pgcache.JanitorEvery(0))
		no(t, err)
		t.Cleanup(func() { made.Close() })
		return made
	}
	cache, other = handle(), handle()
	_, err := cache.Init(ctx)
	no(t, err)
	return cache, other
}

// near has an entry in the handle's near cache.
func near(t *testing.T, cache *pgcache.Cache, key, wanted string) {
	t.Helper()
	eventually(t, "a near hit", func() bool {
		value, err := cache.Get(ctx, key)
		no(t, err)
		if string(value) != wanted {
			t.Fatalf("%q is %q", key, value)
		}
		_, err = cache.Peek(key)
		return err == nil
	})
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("not in ten seconds: ", what)
		}
	}
}

// A driver is one of the ways to a transaction, which fn's error rolls back.
type driver struct {
	name string
	do   func(fn func(driven) error) error
}

// What is driven is a transaction of either kind.
type driven struct {
	exec       func(query string) error
	invalidate func(cache *pgcache.Cache, opts ...pgcache.Option) error
	put        func(cache *pgcache.Cache, key string, value []byte, opts ...pgcache.Option) error
}

func drivers(t *testing.T) []driver {
	t.Helper()
	db, err := sql.Open("pgx", address)
	no(t, err)
	t.Cleanup(func() { db.Close() })
	all := []driver{{"database/sql", func(fn func(driven) error) error {
		tx, err := db.BeginTx(ctx, nil)
		no(t, err)
		defer tx.Rollback()
		err = fn(driven{
			func(query string) error { _, err := tx.ExecContext(ctx, query); return err },
			func(cache *pgcache.Cache, opts ...pgcache.Option) error {
				return pgcachesql.Invalidate(ctx, tx, cache, opts...)
			},
			func(cache *pgcache.Cache, key string, value []byte, opts ...pgcache.Option) error {
				return pgcachesql.Put(ctx, tx, cache, key, value, opts...)
			},
		})
		if err != nil {
			return err
		}
		return tx.Commit()
	}}}
	// Poolers want one of the last two.
	for name, mode := range map[string]pgx.QueryExecMode{"pgx": pgx.QueryExecModeCacheStatement, "pgx exec": pgx.QueryExecModeExec,
		"pgx simple": pgx.QueryExecModeSimpleProtocol} {
		config, err := pgxpool.ParseConfig(address)
		no(t, err)
		config.ConnConfig.DefaultQueryExecMode = mode
		pool, err := pgxpool.NewWithConfig(ctx, config)
		no(t, err)
		t.Cleanup(pool.Close)
		all = append(all, driver{name, func(fn func(driven) error) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				return fn(driven{
					func(query string) error { _, err := tx.Exec(ctx, query); return err },
					func(cache *pgcache.Cache, opts ...pgcache.Option) error { return Invalidate(ctx, tx, cache, opts...) },
					func(cache *pgcache.Cache, key string, value []byte, opts ...pgcache.Option) error {
						return Put(ctx, tx, cache, key, value, opts...)
					},
				})
			})
		}})
	}
	return all
}

var errRollback = errors.New("roll back")

// What is done in a transaction is nothing before its commit, and nothing after a rollback, also to a savepoint; from the commit on the near
// cache of another handle knows of it, too.
func TestTransactions(t *testing.T) {
	cache, other := open(t)
	for _, d := range drivers(t) {
		d := d
		t.Run(d.name, func(t *testing.T) {
			odd := `odd "tag", with 'quotes' \ {braces}`
			for _, key := range []string{"tagged", "plain"} {
				_, err := cache.Put(ctx, key, []byte("old"), pgcache.Tags(odd))
				no(t, err)
			}
			no(t, other.Fence(ctx))
			near(t, other, "tagged", "old")
			near(t, other, "plain", "old")
			change := func(tx driven) {
				no(t, tx.invalidate(cache, pgcache.Tags(odd)))
				no(t, tx.put(cache, "plain", []byte("new")))
			}
			still := func(when string) {
				t.Helper()
				no(t, other.Fence(ctx))
				for _, key := range []string{"tagged", "plain"} {
					if value, err := other.Get(ctx, key, pgcache.FromStore()); err != nil || string(value) != "old" {
						t.Fatalf("%s: %q, %v", when, value, err)
					}
					near(t, other, key, "old")
				}
			}

			err := d.do(func(tx driven) error { change(tx); return errRollback })
			if err != errRollback {
				t.Fatal(err)
			}
			still("after a rollback")

			no(t, d.do(func(tx driven) error {
				no(t, tx.exec("SAVEPOINT here"))
				change(tx)
				return tx.exec("ROLLBACK TO SAVEPOINT here")
			}))
			still("after a rollback to a savepoint")

			no(t, d.do(func(tx driven) error {
				change(tx)
				still("before the commit")
				return nil
			}))
			no(t, other.Fence(ctx))
			if value, err := other.Get(ctx, "tagged"); err != pgcache.ErrMiss {
				t.Fatalf("what was invalidated is there: %q, %v", value, err)
			}
			near(t, other, "plain", "new")
		})
	}
}

// A load that began before the commit does not bring back what it read.
func TestLoadsBeforeTheCommitAreRefused(t *testing.T) {
	cache, _ := open(t)
	for _, d := range drivers(t) {
		_, load, err := cache.Begin(ctx, "count")
		no(t, err)
		no(t, d.do(func(tx driven) error { return tx.invalidate(cache, pgcache.Tags("orders")) }))
		if _, err := load.Fill(ctx, []byte("old"), pgcache.Tags("orders")); err != pgcache.ErrRefused {
			t.Fatalf("%s: %v", d.name, err)
		}
	}
}

// What is put has all that a put by the library has.
func TestPut(t *testing.T) {
	cache, other := open(t)
	for _, d := range drivers(t) {
		d := d
		t.Run(d.name, func(t *testing.T) {
			binary := string([]byte{0, 255, '\\', '\''})
			no(t, d.do(func(tx driven) error {
				no(t, tx.put(cache, binary, []byte(binary), pgcache.Namespace("n"), pgcache.TTL(time.Minute), pgcache.Format(77)))
				no(t, tx.put(cache, "empty", nil, pgcache.TTL(pgcache.Forever)))
				no(t, tx.put(cache, "default", []byte("v")))
				return tx.put(cache, "long", []byte("v"), pgcache.TTL(pgcache.Forever-1))
			}))
			entry, err := other.GetEntry(ctx, binary, pgcache.Namespace("n"), pgcache.FromStore())
			no(t, err)
			if string(entry.Value) != binary || entry.Format != 77 || entry.TTL > time.Minute || entry.TTL < time.Minute/2 {
				t.Errorf("%+v", entry)
			}
			for key, ttl := range map[string]time.Duration{"empty": pgcache.Forever, "default": 5 * time.Minute, "long": 3650 * 24 * time.Hour} {
				entry, err := other.GetEntry(ctx, key, pgcache.FromStore())
				no(t, err)
				if entry.TTL > ttl || entry.TTL < ttl/2 || entry.Format != pgcache.FormatBytes {
					t.Errorf("%s: %+v", key, entry)
				}
			}
		})
	}
}

// What was wrong is told before the transaction would be broken by it.
func TestRefusedBeforeAnythingIsSent(t *testing.T) {
	cache, _ := open(t)
	for _, d := range drivers(t) {
		no(t, d.do(func(tx driven) error {
			for i, try := range []struct {
				key    string
				value  []byte
				opts   []pgcache.Option
				wanted error
			}{
				{"", nil, nil, pgcache.ErrInvalid},
				{strings.Repeat("k", 4097), nil, nil, pgcache.ErrTooLarge},
				{"k", make([]byte, 16<<20+1), nil, pgcache.ErrTooLarge},
				{"k", nil, []pgcache.Option{pgcache.TTL(0)}, pgcache.ErrInvalid},
				{"k", nil, []pgcache.Option{pgcache.TTL(-time.Second)}, pgcache.ErrInvalid},
				{"k", nil, []pgcache.Option{pgcache.Format(-1)}, pgcache.ErrInvalid},
				{"k", nil, []pgcache.Option{pgcache.Namespace("")}, pgcache.ErrInvalid},
				{"k", nil, []pgcache.Option{pgcache.Namespace("two words")}, pgcache.ErrInvalid},
				{"k", nil, []pgcache.Option{pgcache.Namespace("ü")}, pgcache.ErrInvalid},
				{"k", nil, []pgcache.Option{pgcache.Namespace(strings.Repeat("n", 64))}, pgcache.ErrInvalid},
				{"k", nil, []pgcache.Option{pgcache.Tags("t")}, pgcache.ErrUnsupported},
				{"k", nil, []pgcache.Option{pgcache.Keys("t")}, pgcache.ErrUnsupported},
			} {
				if err := tx.put(cache, try.key, try.value, try.opts...); !errors.Is(err, try.wanted) {
					t.Errorf("%s, %d: %v", d.name, i, err)
				}
			}
			return tx.put(cache, "k", []byte("the transaction goes on"))
		}))
	}
}
