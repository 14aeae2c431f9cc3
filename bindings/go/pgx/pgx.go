// SPDX-License-Identifier: MIT

// Package pgcachepgx changes a cache inside of the application's own transactions, with pgx:
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		if _, err := tx.Exec(ctx, "UPDATE customers SET name = $1 WHERE id = 7", name); err != nil {
//			return err
//		}
//		return pgcachepgx.Invalidate(ctx, tx, cache, pgcache.Tags("customer:7"))
//	})
//
// Nobody sees what is not committed, and from the commit on nobody gets what it has ended; after a rollback, also to a savepoint, nothing has
// happened. The database has to be the cache's own. Near caches of other processes hear of it within milliseconds, see
// [pgcache.Cache.Fence]. A [pgx.Batch] takes the statements as they are: batch.Queue(query, args...) with those of
// [pgcache.Cache.Invalidation].
//
// It is a module of its own, so that the binding depends on no driver.
package pgcachepgx

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// A Tx is where statements are done: a [pgx.Tx], also one that stands for a savepoint. A connection or a pool is one, too; outside of a
// transaction what is done takes effect at once.
type Tx interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
}

var _ Tx = pgx.Tx(nil)

// Invalidate ends all entries that depend on the options' Tags and Keys when the transaction is committed.
func Invalidate(ctx context.Context, tx Tx, cache *pgcache.Cache, opts ...pgcache.Option) error {
	query, args := cache.Invalidation(opts...)
	_, err := tx.Exec(ctx, query, args...)
	return err
}

// Put stores an entry when the transaction is committed, see [pgcache.Cache.PutStatement]; for values of a type
// [pgcache.Typed.PutStatement] gives the statement.
func Put(ctx context.Context, tx Tx, cache *pgcache.Cache, key string, value []byte, opts ...pgcache.Option) error {
	query, args, err := cache.PutStatement(key, value, opts...)
	if err == nil {
		_, err = tx.Exec(ctx, query, args...)
	}
	return err
}
