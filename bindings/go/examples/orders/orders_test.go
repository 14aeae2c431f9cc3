// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	pgcache "github.com/pgcache/pgcache/bindings/go"
)

var ctx = context.Background()

// TestMain is the program itself where a test starts it as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("GO_TEST_ORDERS") != "" {
		main()
		return
	}
	if os.Getenv("PGCACHE_TEST_URL") == "" {
		fmt.Fprintln(os.Stderr, "PGCACHE_TEST_URL is not set: run the tests by make check-golang")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var databases int

// database makes one with dellstore2's table and 12,000 orders.
func database(t *testing.T) string {
	t.Helper()
	databases++
	name := fmt.Sprintf("go_orders_%d_%d", os.Getpid(), databases)
	server := os.Getenv("PGCACHE_TEST_URL")
	address := strings.Replace(server, "dbname=postgres", "dbname="+name, 1)
	for _, one := range []struct{ address, statements string }{
		{server, "CREATE DATABASE " + name},
		{address, `CREATE TABLE orders (orderid serial PRIMARY KEY, orderdate date NOT NULL, customerid integer, netamount numeric(12,2) NOT NULL,
			tax numeric(12,2) NOT NULL, totalamount numeric(12,2) NOT NULL)`},
		{address, `INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount)
			SELECT date '2004-01-01' + n % 366, n % 9000, n % 400, n % 33, n % 400 + n % 33 FROM generate_series(1, 12000) n`},
	} {
		connection, err := pgx.Connect(ctx, one.address)
		no(t, err)
		_, err = connection.Exec(ctx, one.statements)
		no(t, err)
		no(t, connection.Close(ctx))
	}
	return address
}

// A client asks one server.
type client struct {
	testing.TB
	url string
}

func (c client) do(method, path, body string) (status int, state string, answer string) {
	c.Helper()
	request, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	no(c, err)
	response, err := http.DefaultClient.Do(request)
	no(c, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	no(c, err)
	return response.StatusCode, response.Header.Get("X-Cache"), strings.TrimSpace(string(data))
}

// wants does a request and checks its answer, to the byte.
func (c client) wants(method, path, body string, status int, state, answer string) {
	c.Helper()
	gotStatus, gotState, got := c.do(method, path, body)
	if gotStatus != status || gotState != state || answer != "" && got != answer {
		c.Errorf("%s %s %s: %d %s %s", method, path, body, gotStatus, gotState, got)
	}
}

// counts gives a count and how it was come by.
func (c client) counts(path string) (int64, string) {
	c.Helper()
	status, state, body := c.do("GET", path, "")
	var answer struct{ Count *int64 }
	if err := json.Unmarshal([]byte(body), &answer); status != 200 || err != nil || answer.Count == nil {
		c.Fatal(status, body, err)
	}
	return *answer.Count, state
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("not in ten seconds: ", what)
		}
	}
}

// tracer counts the statements that the application's own connections do.
type tracer struct{ statements int32 }

func (c *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	atomic.AddInt32(&c.statements, 1)
	return ctx
}
func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// The tutorial's requests, with its answers.
func TestA74Tutorial(t *testing.T) {
	address := database(t)
	config, err := pgxpool.ParseConfig(address)
	no(t, err)
	trace := &tracer{}
	config.ConnConfig.Tracer = trace
	pool, err := pgxpool.NewWithConfig(ctx, config)
	no(t, err)
	defer pool.Close()
	cache, err := pgcache.Open(address, pgcache.Setting("on_error", "error"))
	no(t, err)
	defer cache.Close()
	shop := newShop(pool, cache, time.Minute)
	var all sync.WaitGroup
	for i := 0; i < 5; i++ { // as servers do that start together
		all.Add(1)
		go func() {
			defer all.Done()
			one := newShop(pool, cache, time.Minute)
			if err := one.prepare(ctx); err != nil || fmt.Sprint(one.tags) != "[public.orders]" {
				t.Error(one.tags, err)
			}
		}()
	}
	all.Wait()
	// Who had it watched otherwise may have done so.
	_, err = pool.Exec(ctx, "SELECT pgcache.watch('orders', ARRAY['customer:<customerid>', 'orders'])")
	no(t, err)
	no(t, shop.prepare(ctx))
	if fmt.Sprint(shop.tags) != "[orders]" {
		t.Fatal(shop.tags)
	}
	// And who may read and write alone needs no more than that.
	_, err = pool.Exec(ctx, fmt.Sprintf(`CREATE ROLE orders_%[1]d LOGIN; GRANT SELECT, INSERT ON orders TO orders_%[1]d;
		SELECT pgcache.grant_access('orders_%[1]d'); GRANT SELECT ON pgcache.watched TO orders_%[1]d`, os.Getpid()))
	no(t, err)
	defer func() {
		_, err := pool.Exec(ctx, fmt.Sprintf("DROP OWNED BY orders_%[1]d; DROP ROLE orders_%[1]d", os.Getpid()))
		no(t, err)
	}()
	as := strings.Replace(address, "user=postgres", fmt.Sprintf("user=orders_%d", os.Getpid()), 1)
	poor, err := pgxpool.New(ctx, as)
	no(t, err)
	defer poor.Close()
	poorCache, err := pgcache.Open(as)
	no(t, err)
	defer poorCache.Close()
	clerk := newShop(poor, poorCache, time.Minute)
	if err := clerk.prepare(ctx); err != nil || fmt.Sprint(clerk.tags) != "[orders]" {
		t.Fatal(clerk.tags, err)
	}

	server := httptest.NewServer(shop)
	defer server.Close()
	c := client{t, server.URL}

	before := atomic.LoadInt32(&trace.statements)
	c.wants("GET", "/count", "", 200, "MISS", `{"count":12000}`)
	c.wants("GET", "/count", "", 200, "HIT", `{"count":12000}`)
	c.wants("GET", "/count/", "", 200, "HIT", `{"count":12000}`)
	c.wants("GET", "/count?customerid=9999", "", 200, "MISS", `{"count":0}`)
	c.wants("GET", "/count?customerid=9999", "", 200, "HIT", `{"count":0}`)
	c.wants("GET", "/count?customerid=7", "", 200, "MISS", `{"count":2}`)
	if did := atomic.LoadInt32(&trace.statements) - before; did != 3 {
		t.Errorf("%d statements for three misses", did)
	}
	c.wants("POST", "/add/", `{"orderdate":"2023-03-10","customerid":9999,"netamount":23.0,"tax":2.0}`, 200, "", `{"updated":{"customer":9999}}`)
	no(t, cache.Fence(ctx)) // within milliseconds it hears of it by itself
	c.wants("GET", "/count", "", 200, "MISS", `{"count":12001}`)
	c.wants("GET", "/count?customerid=9999", "", 200, "MISS", `{"count":1}`)
	c.wants("GET", "/count?customerid=7", "", 200, "MISS", `{"count":2}`)
	c.wants("POST", "/add/", "", 200, "", `{"updated":{"customer":9999}}`)
	c.wants("POST", "/add/", `{"customerid":7}`, 200, "", `{"updated":{"customer":7}}`)
	no(t, cache.Fence(ctx))
	c.wants("GET", "/count", "", 200, "MISS", `{"count":12003}`)
	c.wants("GET", "/count?customerid=9999", "", 200, "MISS", `{"count":2}`)
	c.wants("GET", "/count?customerid=7", "", 200, "MISS", `{"count":3}`)
	var added, total int
	no(t, pool.QueryRow(ctx, `SELECT count(*), sum(totalamount)::integer FROM orders WHERE orderdate = '2023-03-10' AND netamount = 23 AND tax = 2`).Scan(&added, &total))
	if added != 3 || total != 75 {
		t.Error(added, total)
	}
	if entry, err := cache.GetEntry(ctx, "num_orders:7"); err != nil || string(entry.Value) != "3" || entry.TTL > time.Minute {
		t.Error(entry, err)
	}

	before = atomic.LoadInt32(&trace.statements)
	for _, bad := range []string{"x", "", "1.5", "9999999999", "1;DROP TABLE orders"} {
		c.wants("GET", "/count?customerid="+url.QueryEscape(bad), "", 422, "", "")
	}
	for _, bad := range []string{"{", "[]", `{"customerid":"x"}`, `{"customerid":99999999999}`, `{"orderdate":"soon"}`} {
		c.wants("POST", "/add/", bad, 422, "", "")
	}
	c.wants("POST", "/count", "", 405, "", "")
	c.wants("GET", "/add/", "", 405, "", "")
	c.wants("POST", "/add/more", "", 404, "", "")
	if did := atomic.LoadInt32(&trace.statements) - before; did != 0 {
		t.Errorf("%d statements for what is refused", did)
	}
	c.wants("POST", "/add/", `{"netamount":1e20}`, 422, "", "")

	// Without the table nothing can be counted, and what cannot be is not kept.
	_, err = pool.Exec(ctx, "ALTER TABLE orders RENAME TO away")
	no(t, err)
	c.wants("GET", "/count?customerid=8", "", 500, "", "")
	_, err = pool.Exec(ctx, "ALTER TABLE away RENAME TO orders")
	no(t, err)
	c.wants("GET", "/count?customerid=8", "", 200, "MISS", `{"count":2}`)
}

// A process is the program.
type process struct {
	client
	command *exec.Cmd
	said    *bytes.Buffer // on stderr
}

func start(t *testing.T, environment ...string) *process {
	t.Helper()
	p := &process{client{TB: t}, exec.Command(os.Args[0]), &bytes.Buffer{}}
	p.command.Env = append(append(os.Environ(), "GO_TEST_ORDERS=1", "PORT=0"), environment...)
	p.command.Stderr = p.said
	out, err := p.command.StdoutPipe()
	no(t, err)
	no(t, p.command.Start())
	t.Cleanup(func() { _ = p.command.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "listening on http://127.0.0.1:") {
		_ = p.command.Wait()
		t.Fatalf("%q, %v, %s", line, err, p.said)
	}
	p.url = strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
	return p
}

// stop ends the program as systems do.
func (p *process) stop() {
	p.Helper()
	http.DefaultClient.CloseIdleConnections()
	no(p, p.command.Process.Signal(syscall.SIGTERM))
	if err := p.command.Wait(); err != nil {
		p.Errorf("%v: %s", err, p.said)
	}
}

// Two servers on one cache: what is added through one the other one counts, under load, no later than a near cache may be.
func TestA74TwoServersUnderLoad(t *testing.T) {
	address := database(t)
	one, other := start(t, "DATABASE_URL="+address, "CACHE_TIMEOUT_SECONDS=soon"), start(t, "PG_SERVICE_URI="+address)
	servers := []*process{one, other}
	span := 3 * time.Second
	if os.Getenv("PGCACHE_LONG") == "1" {
		span = time.Minute
	}
	const bound = 2 * time.Second // near_staleness_ms
	var added int64               // that were answered
	var mutex sync.Mutex
	moments := map[int64]time.Time{} // when so many had been added
	var hits, reads, old int64
	until := time.Now().Add(span)
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		for i := 0; time.Now().Before(until); i++ {
			if status, _, body := servers[i%2].do("POST", "/add/", `{"customerid":77777}`); status != 200 {
				t.Error(status, body)
				return
			}
			mutex.Lock()
			added++
			moments[added] = time.Now()
			mutex.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
	}()
	for i := 0; i < 8; i++ {
		server, path, there := servers[i%2], "/count", int64(12000)
		if i >= 4 {
			path, there = "/count?customerid=77777", 0
		}
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Now().Before(until) {
				began := time.Now()
				mutex.Lock()
				now := added
				mutex.Unlock()
				count, state := server.counts(path)
				atomic.AddInt64(&reads, 1)
				if state == "HIT" {
					atomic.AddInt64(&hits, 1)
				}
				mutex.Lock()
				next, known := moments[count-there+1] // the first order that was not counted
				mutex.Unlock()
				if count-there < now {
					atomic.AddInt64(&old, 1)
					if known && began.Sub(next) > bound {
						t.Errorf("%s: %d, %v after there were more", path, count, began.Sub(next))
						return
					}
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	all.Wait()
	for _, server := range servers {
		for path, there := range map[string]int64{"/count": 12000, "/count?customerid=77777": 0} {
			server, path, there := server, path, there
			eventually(t, "all are counted", func() bool { count, _ := server.counts(path); return count == there+added })
		}
	}
	t.Logf("%d orders added, %d counts read, %d of the cache, %d within the bound of near caches", added, reads, hits, old)
	if added < 20 || hits < 20 {
		t.Errorf("too little was tried: %d orders, %d hits", added, hits)
	}
	cache, err := pgcache.Open(address, pgcache.JanitorEvery(0))
	no(t, err)
	defer cache.Close()
	if entry, err := cache.GetEntry(ctx, "num_orders:all"); err != nil || entry.TTL > 2*time.Minute || entry.TTL < time.Minute {
		t.Error(entry, err) // 120 seconds in spite of what one of the servers was told
	}
	one.stop()
	other.stop()
	if !strings.Contains(one.said.String(), `CACHE_TIMEOUT_SECONDS is "soon"`) || other.said.Len() > 0 {
		t.Errorf("%s; %s", one.said, other.said)
	}
}

// Without a database there is no server, and it says what is missing.
func TestSettings(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "GO_TEST_ORDERS=1", "DATABASE_URL=", "PG_SERVICE_URI=")
	said, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "DATABASE_URL") {
		t.Errorf("%v: %s", err, said)
	}
}
