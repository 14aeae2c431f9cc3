// SPDX-License-Identifier: MIT

// Package pgcache makes the PostgreSQL that an application already runs its cache, through the C library libpgcache: one set of
// entries for every program, whatever its language, and for SQL.
//
//	cache, err := pgcache.Open("postgresql://localhost/shop")
//	...
//	count, err := pgcache.NewTyped[int](cache).GetOrLoad(ctx, "count:7",
//		func(ctx context.Context) (int, error) { return countOrdersOf(ctx, 7) },
//		pgcache.TTL(time.Minute), pgcache.Tags("customer:7"))
//
// # Results
//
// Calls return what they found, or an error. What is no failure is an error, too, where there is nothing to return: errors.Is tells
// [ErrMiss], [ErrExists], [ErrBusy] and [ErrRefused] apart. Failures are of the type [*Error].
//
// Opened by this package a cache fails open: a read that the server fails is a miss, which the counters tell. The setting on_error at error has
// it return the error. Writes tell always.
//
// # Contexts
//
// A context bounds the calls that are given it: when it ends, the request is given up at once, and the call returns an error that is what the
// context ended with. A write that was sent by then is [ErrUnknown]. Without a deadline the setting timeout_ms bounds a call, or the
// option [Timeout]; the earlier one counts. What the near cache answers waits for nothing, and is given whatever the context says.
//
// # Goroutines, garbage, fork
//
// Any number of goroutines may use a cache at once. A few calls at a time are made directly, each on a thread, which is the quickest
// for a single one; what comes beyond takes no thread: it is a request of the library's, whose end the network poller tells, so that
// a thousand calls under way need no more than the connections of the setting async_connections. Fence, Dependents, Published and an
// [Observer] that waits take a thread each. Values are copies, the caller's own.
//
// What is not closed is closed by the garbage collector, in any order. Programs in Go do not fork without exec, so there is nothing to
// say about that.
//
// # Bytes and values
//
// A Cache stores bytes as they are; a [Typed] stores values of a type, as JSON or through a [Codec], with the number of their format, so that
// programs in other languages, and SQL, read them.
//
// # Adapters
//
// Beside this package there are httpcache, middleware for net/http, and sql, for transactions of database/sql; and as modules of their own
// pgx, prometheus, opentelemetry and sentry. They use what is public here, and nothing else.
package pgcache
