// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// A shop answers for the orders.
type shop struct {
	pool   *pgxpool.Pool
	cache  *pgcache.Cache
	counts *pgcache.Typed[int64]
	tags   []string // what counts depend on
}

func newShop(pool *pgxpool.Pool, cache *pgcache.Cache, timeout time.Duration) *shop {
	return &shop{pool: pool, cache: cache, counts: pgcache.NewTyped[int64](cache, pgcache.TTL(timeout))}
}

// prepare makes the cache's schema and has the table watched, unless that was done before, and learns of the tags that every change of the
// table invalidates, in its own transaction. Where it was done, no more is needed than to read and write.
func (s *shop) prepare(ctx context.Context) error {
	if _, err := s.cache.Init(ctx); err != nil && !errors.Is(err, pgcache.ErrDenied) { // then an administrator has to have made it
		return err
	}
	schema, namespace := pgx.Identifier{s.cache.Setting("schema")}.Sanitize(), s.cache.Setting("namespace")
	watched := func(tx pgx.Tx) (err error) { // tags with columns are of single rows
		rows, _ := tx.Query(ctx, `SELECT tag FROM `+schema+`.watched, unnest(tags) tag
			WHERE relation = 'orders'::regclass AND namespace = $1 AND tag NOT LIKE '%<%'`, namespace)
		s.tags, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}
	if err := pgx.BeginFunc(ctx, s.pool, watched); err != nil || len(s.tags) > 0 {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Alone, if several applications start: making triggers takes the same lock.
		if _, err := tx.Exec(ctx, "LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		if err := watched(tx); err != nil || len(s.tags) > 0 {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT "+schema+".watch('orders', namespace => $1)", namespace); err != nil {
			return err
		}
		return watched(tx)
	})
}

// count answers how many orders there are, of all customers or of one.
func (s *shop) count(w http.ResponseWriter, r *http.Request) {
	key := "num_orders:all"
	query, args := "SELECT count(*) FROM orders", []any{}
	asked, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // r.URL.Query() would leave out what it cannot read, and the answer be that to another question
		refuse(w, http.StatusUnprocessableEntity, "the query cannot be read")
		return
	}
	if asked.Has("customerid") {
		customer, err := strconv.ParseInt(asked.Get("customerid"), 10, 32)
		if err != nil {
			refuse(w, http.StatusUnprocessableEntity, "customerid is not the number of a customer")
			return
		}
		key = fmt.Sprint("num_orders:", customer)
		query, args = query+" WHERE customerid = $1", append(args, customer)
	}
	state := "HIT"
	count, err := s.counts.GetOrLoad(r.Context(), key, func(ctx context.Context) (count int64, err error) {
		state = "MISS"
		err = s.pool.QueryRow(ctx, query, args...).Scan(&count)
		return count, err
	}, pgcache.Tags(s.tags...))
	if err != nil {
		log.Print("orders: counting: ", err)
		refuse(w, http.StatusInternalServerError, "the orders cannot be counted")
		return
	}
	w.Header().Set("X-Cache", state)
	answer(w, http.StatusOK, map[string]int64{"count": count})
}

// An order as clients send it; what they leave out is as in the example of every introduction to this shop.
type order struct {
	Date       string  `json:"orderdate"`
	CustomerID int32   `json:"customerid"`
	NetAmount  float64 `json:"netamount"`
	Tax        float64 `json:"tax"`
}

// add adds an order, and does no more.
func (s *shop) add(w http.ResponseWriter, r *http.Request) {
	o := order{Date: "2023-03-10", CustomerID: 9999, NetAmount: 23, Tax: 2}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&o)
	if err == nil {
		_, err = time.Parse("2006-01-02", o.Date)
	}
	if err != nil && err != io.EOF { // without a body all is as in the example
		refuse(w, http.StatusUnprocessableEntity, "an order is an object with orderdate, customerid, netamount and tax")
		return
	}
	_, err = s.pool.Exec(r.Context(), `INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount)
		VALUES ($1::date, $2, $3::float8, $4::float8, $3::float8 + $4::float8)`, o.Date, o.CustomerID, o.NetAmount, o.Tax)
	var wrong *pgconn.PgError
	if errors.As(err, &wrong) && strings.HasPrefix(wrong.Code, "22") { // such as an amount that is too large
		refuse(w, http.StatusUnprocessableEntity, wrong.Message)
		return
	}
	if err != nil {
		log.Print("orders: adding: ", err)
		refuse(w, http.StatusInternalServerError, "the order cannot be added")
		return
	}
	answer(w, http.StatusOK, map[string]map[string]int32{"updated": {"customer": o.CustomerID}})
}

// ---- HTTP --------------------------------------------------------------------------------------------------------------------

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, handle := http.MethodGet, s.count
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/count":
	case "/add":
		method, handle = http.MethodPost, s.add
	default:
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		refuse(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	handle(w, r)
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // an error is the client's
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"detail": why})
}
