// SPDX-License-Identifier: MIT

// Package pgcachesql changes a cache inside of the application's own transactions, with database/sql and any driver of PostgreSQL's:
//
//	tx, err := db.BeginTx(ctx, nil)
//	...
//	_, err = tx.ExecContext(ctx, "UPDATE customers SET name = $1 WHERE id = 7", name)
//	err = pgcachesql.Invalidate(ctx, tx, cache, pgcache.Tags("customer:7"))
//	err = tx.Commit()
//
// Nobody sees what is not committed, and from the commit on nobody gets what it has ended; after a rollback, also to a savepoint, nothing has
// happened. The database has to be the cache's own. Near caches of other processes hear of it within milliseconds, see
// [pgcache.Cache.Fence]. For pgx without database/sql there is a module beside this package.
package pgcachesql

import (
	"context"
	"database/sql"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// A Tx is where statements are done: a *sql.Tx. A *sql.Conn in which a transaction was begun is one, too; outside of a transaction what is
// done takes effect at once.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Invalidate ends all entries that depend on the options' Tags and Keys when the transaction is committed.
func Invalidate(ctx context.Context, tx Tx, cache *pgcache.Cache, opts ...pgcache.Option) error {
	query, args := cache.Invalidation(opts...)
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}

// Put stores an entry when the transaction is committed, see [pgcache.Cache.PutStatement]; for values of a type
// [pgcache.Typed.PutStatement] gives the statement.
func Put(ctx context.Context, tx Tx, cache *pgcache.Cache, key string, value []byte, opts ...pgcache.Option) error {
	query, args, err := cache.PutStatement(key, value, opts...)
	if err == nil {
		_, err = tx.ExecContext(ctx, query, args...)
	}
	return err
}
