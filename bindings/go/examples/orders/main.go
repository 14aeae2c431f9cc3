// SPDX-License-Identifier: MIT

// Command orders counts the orders of a shop, and adds some:
//
//	GET /count                     {"count":12000}
//	GET /count?customerid=9999     {"count":1}
//	POST /add/                     {"updated":{"customer":9999}}; the body may be JSON with customerid, orderdate, netamount and tax
//
// The counts are kept in the cache, which is in the database of the orders. Nothing here invalidates them: the table is watched, and so
// each transaction that changes it ends the counts that it made false, whoever did it and in whatever language.
//
//	DATABASE_URL           the database, with dellstore2's table orders; or PG_SERVICE_URI
//	CACHE_TIMEOUT_SECONDS  how long a count is kept at most; 120
//	PORT                   where it listens, on 127.0.0.1; any that is free if it is 0, or not given
//
// At its first start it makes the cache's schema and has the table watched, for which it needs to own the table and may create schemas;
// else an administrator does both before, here for the role shop: `pgcache init --app-role shop`, and in SQL `SELECT pgcache.watch('orders')`
// and `GRANT SELECT ON pgcache.watched TO shop`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	pgcache "github.com/pgcache/pgcache/bindings/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		log.Fatal("orders: ", err)
	}
}

// run serves until the context ends; what is under way then has five seconds.
func run(ctx context.Context, out io.Writer) error {
	address := environment("DATABASE_URL", os.Getenv("PG_SERVICE_URI"))
	if address == "" {
		return errors.New("DATABASE_URL, or PG_SERVICE_URI, has to say where the database is")
	}
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		return err
	}
	defer pool.Close()
	cache, err := pgcache.Open(address)
	if err != nil {
		return err
	}
	defer cache.Close()
	shop := newShop(pool, cache, timeout())
	if err := shop.prepare(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+environment("PORT", "0"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: shop, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ending); err != context.DeadlineExceeded {
		return err
	}
	return server.Close()
}

func environment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// timeout reads CACHE_TIMEOUT_SECONDS. A bad value is no reason not to start.
func timeout() time.Duration {
	const usual = 120
	text := environment("CACHE_TIMEOUT_SECONDS", strconv.Itoa(usual))
	seconds, err := strconv.ParseInt(text, 10, 32)
	if err != nil || seconds <= 0 {
		log.Printf("orders: CACHE_TIMEOUT_SECONDS is %q, which is no positive number; using %d", text, usual)
		seconds = usual
	}
	return time.Duration(seconds) * time.Second
}
