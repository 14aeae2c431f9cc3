// SPDX-License-Identifier: MIT

package httpcache_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
	"github.com/pgcache/pgcache/bindings/go/httpcache"
)

var (
	ctx     = context.Background()
	address = os.Getenv("PGCACHE_TEST_URL")
	schemas int32
)

func TestMain(m *testing.M) {
	if address == "" {
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

// open makes a cache in a schema of its own.
func open(t testing.TB, options ...pgcache.OpenOption) *pgcache.Cache {
	t.Helper()
	schema := fmt.Sprintf("go_http_%d_%d", os.Getpid(), atomic.AddInt32(&schemas, 1))
	all := append([]pgcache.OpenOption{pgcache.Setting("schema", schema), pgcache.JanitorEvery(0)}, options...)
	cache, err := pgcache.Open(address, all...)
	no(t, err)
	t.Cleanup(func() { cache.Close() })
	_, err = cache.Init(ctx)
	no(t, err)
	return cache
}

// A site is a server whose answers go through a cache.
type site struct {
	*httptest.Server
	t     testing.TB
	cache *pgcache.Cache
	calls int32 // of the handler
	log   lockedBuffer
}

// serve starts a server; the handler is told how often it was called.
func serve(t testing.TB, cache *pgcache.Cache, options httpcache.Options,
	handle func(w http.ResponseWriter, r *http.Request, call int)) *site {
	t.Helper()
	s := &site{t: t, cache: cache}
	s.Server = httptest.NewUnstartedServer(httpcache.New(cache, options)(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { handle(w, r, int(atomic.AddInt32(&s.calls, 1))) })))
	s.Config.ErrorLog = log.New(&s.log, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// counted is a handler that says how often it was called.
func counted(w http.ResponseWriter, _ *http.Request, call int) { fmt.Fprintf(w, "answer %d", call) }

type lockedBuffer struct {
	mutex sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.Buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.Buffer.String()
}

type response struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; headers are pairs of a name and a value.
func (s *site) ask(method, path string, headers ...string) (response, error) {
	request, err := http.NewRequest(method, s.URL+path, nil)
	if err != nil {
		return response{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	answered, err := s.Client().Do(request)
	if err != nil {
		return response{}, err
	}
	defer answered.Body.Close()
	body, err := io.ReadAll(answered.Body)
	return response{answered.StatusCode, answered.Header, string(body)}, err
}

// get asks, and checks the body and X-Cache.
func (s *site) get(path, body, state string, headers ...string) response {
	s.t.Helper()
	r, err := s.ask("GET", path, headers...)
	no(s.t, err)
	if r.body != body || r.header.Get("X-Cache") != state {
		s.t.Fatalf("GET %s %q: %d, %s %q instead of %s %q", path, headers, r.status, r.header.Get("X-Cache"), r.body, state, body)
	}
	return r
}

func (r response) want(t testing.TB, headers ...string) {
	t.Helper()
	for i := 0; i < len(headers); i += 2 {
		if got := strings.Join(r.header.Values(headers[i]), ", "); got != headers[i+1] {
			t.Errorf("%s: %q instead of %q", headers[i], got, headers[i+1])
		}
	}
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("not in ten seconds: ", what)
		}
	}
}

// await waits for something, and not longer than the client does.
func await(r *http.Request, something <-chan struct{}) {
	select {
	case <-something:
	case <-r.Context().Done():
	}
}

func tagOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf(`"%x"`, sum[:16])
}

// An answer is computed once, and has the same headers from the cache, on every server.
func TestA70ComputedOnce(t *testing.T) {
	t.Parallel()
	cache := open(t)
	handle := func(w http.ResponseWriter, r *http.Request, call int) {
		w.Header()["X-Many"] = []string{"one", "two, three"}
		w.Header().Set("X-Call", fmt.Sprint(call))
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "hop")
		fmt.Fprintf(w, "<html>%s", r.URL.Query().Get("q"))
	}
	s := serve(t, cache, httpcache.Options{Key: func(r *http.Request) string { return r.URL.Path }}, handle)
	other := serve(t, cache, httpcache.Options{Key: func(r *http.Request) string { return r.URL.Path }}, handle)
	for i, ask := range []struct {
		s     *site
		state string
	}{{s, "MISS"}, {s, "HIT"}, {other, "HIT"}} {
		r := ask.s.get("/page?q=1", "<html>1", ask.state)
		r.want(t, "X-Many", "one, two, three", "X-Call", "1", "Content-Type", "text/html; charset=utf-8", "Content-Length", "7",
			"Cache-Control", "no-cache", "Etag", tagOf("<html>1"))
		if r.header.Get("Date") == "" || i > 0 && r.header.Get("X-Hop") != "" {
			t.Error(i, r.header)
		}
	}
	r, err := s.ask("HEAD", "/page")
	no(t, err)
	if r.status != 200 || r.body != "" {
		t.Error(r)
	}
	r.want(t, "X-Cache", "HIT", "Content-Length", "7", "Content-Type", "text/html; charset=utf-8", "Etag", tagOf("<html>1"), "X-Call", "1")
	if s.calls != 1 || other.calls != 0 {
		t.Error(s.calls, other.calls)
	}
}

// Many who miss at the same time have one handler run.
func TestA70OneOfManyComputes(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, call int) {
		time.Sleep(200 * time.Millisecond)
		counted(w, r, call)
	})
	var all sync.WaitGroup
	for i := 0; i < 30; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if r, err := s.ask("GET", "/"); err != nil || r.body != "answer 1" {
				t.Error(r, err)
			}
		}()
	}
	all.Wait()
	if s.calls != 1 {
		t.Error(s.calls)
	}
}

// What is in the key, and what is not.
func TestA71Keys(t *testing.T) {
	t.Parallel()
	cache := open(t)
	s := serve(t, cache, httpcache.Options{Vary: []string{"accept-language", "Authorization"}}, counted)
	ask := func(state string, host, path string, headers ...string) {
		t.Helper()
		request, err := http.NewRequest("GET", s.URL+path, nil)
		no(t, err)
		request.Host = host
		for i := 0; i < len(headers); i += 2 {
			request.Header.Add(headers[i], headers[i+1])
		}
		answered, err := s.Client().Do(request)
		no(t, err)
		defer answered.Body.Close()
		if got := answered.Header.Get("X-Cache"); got != state {
			t.Errorf("%s%s %q: %s instead of %s", host, path, headers, got, state)
		}
		response{header: answered.Header}.want(t, "Vary", "accept-language, Authorization")
	}
	for _, one := range [][]string{
		{"a.test", "/"}, {"b.test", "/"}, {"a.test", "/a"}, {"a.test", "/a?x"}, {"a.test", "/a?x=1&y=2"}, {"a.test", "/a?y=2&x=1"},
		{"a.test", "/a%3Fx"}, {"a.test", "/a%2Fb"}, {"a.test", "/a/b"},
		{"a.test", "/", "Accept-Language", "de"}, {"a.test", "/", "Accept-Language", "en"},
		{"a.test", "/", "Authorization", "me"}, {"a.test", "/", "Authorization", "you"}, {"a.test", "/", "Authorization", "de"},
		{"a.test", "/" + strings.Repeat("x", 5000)}, {"a.test", "/" + strings.Repeat("x", 5001)},
	} {
		ask("MISS", one[0], one[1], one[2:]...)
		ask("HIT", strings.ToUpper(one[0]), one[1], append(one[2:], "X-Other", "x")...)
	}
	keys := cache.Keys(ctx, "")
	for keys.Next() {
		if key := keys.Value().Key; strings.Contains(key, "you") || len(key) > 1100 {
			t.Errorf("%q", key)
		}
	}
	no(t, keys.Err())
	own := serve(t, cache, httpcache.Options{Namespace: "own", Key: func(r *http.Request) string { return r.Header.Get("X-User") }}, counted)
	own.get("/a", "answer 1", "MISS", "X-User", "7", "Cookie", "a")
	own.get("/b", "answer 1", "HIT", "X-User", "7", "Cookie", "b")
	own.get("/a", "answer 2", "MISS", "X-User", "8")
	if found, err := cache.Exists(ctx, "8", pgcache.Namespace("own")); err != nil || !found {
		t.Error(found, err)
	}
}

// What may not be stored is answered by the handler each time, as it is, and nobody waits for it.
func TestA72NotStored(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1001)
	cases := map[string]func(w http.ResponseWriter, r *http.Request){
		"/404":      func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"/500":      func(w http.ResponseWriter, r *http.Request) { http.Error(w, "broken", 500) },
		"/206":      func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(206); w.Write([]byte("part")) },
		"/redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/404", http.StatusMovedPermanently) },
		"/cookie": func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a"})
			w.Write([]byte("c"))
		},
		"/no-store": func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Cache-Control", "max-age=3, No-Store") },
		"/private": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", `private="x"`)
			w.Write([]byte("p"))
		},
		"/vary-all": func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Vary", "*") },
		"/vary":     func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Vary", "Accept, X-Unknown") },
		"/long": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, long[:600])
			io.WriteString(w, long[600:])
		},
		"/declared": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1001")
			io.WriteString(w, long)
		},
		"/flushed": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			io.WriteString(w, "b")
		},
		"/flushed-at": func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() },
		"/trailer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-End")
			io.WriteString(w, "a")
			w.Header().Set("X-End", "end")
		},
		"/hijacked": func(w http.ResponseWriter, r *http.Request) {
			connection, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				io.WriteString(connection, "HTTP/1.1 200 OK\r\nX-Cache: MISS\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
				connection.Close()
			}
		},
	}
	cache := open(t)
	s := serve(t, cache, httpcache.Options{Vary: []string{"Accept"}, MaxBody: 1000, Key: func(r *http.Request) string { return r.URL.Path }},
		func(w http.ResponseWriter, r *http.Request, _ int) { cases[r.URL.Path](w, r) })
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for path, handle := range cases {
		plain := httptest.NewServer(http.HandlerFunc(handle))
		direct := &site{Server: plain, t: t}
		plain.Client().CheckRedirect = s.Client().CheckRedirect
		wanted, err := direct.ask("GET", path)
		no(t, err)
		plain.Close()
		for _, state := range []string{"MISS", "BYPASS", "BYPASS"} {
			if path == "/hijacked" {
				state = "MISS" // the handler says so itself
			}
			got := s.get(path, wanted.body, state)
			got.header.Del("X-Cache")
			wanted.header.Del("X-Cache")
			got.header.Del("Date")
			wanted.header.Del("Date")
			if got.status != wanted.status || fmt.Sprint(got.header) != fmt.Sprint(wanted.header) {
				t.Errorf("%s: %d %v\ninstead of %d %v", path, got.status, got.header, wanted.status, wanted.header)
			}
		}
	}
	if s.calls != int32(3*len(cases)) {
		t.Error(s.calls)
	}
	for path := range cases {
		if value, err := cache.Get(ctx, path); err != pgcache.ErrMiss {
			t.Errorf("%q, %v", value, err)
		}
	}
}

// Trailers reach the client, also those that nobody knew of before.
func TestTrailers(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, _ int) {
		name := http.TrailerPrefix + "X-End"
		if r.URL.Path == "/declared" {
			name = "X-End"
			w.Header().Set("Trailer", name)
		}
		io.WriteString(w, strings.Repeat("x", 10000))
		w.Header().Set(name, "end")
	})
	for _, path := range []string{"/declared", "/declared", "/late", "/late"} {
		answered, err := s.Client().Get(s.URL + path)
		no(t, err)
		body, err := io.ReadAll(answered.Body)
		no(t, err)
		answered.Body.Close()
		if answered.Trailer.Get("X-End") != "end" || len(body) != 10000 {
			t.Error(path, answered, len(body))
		}
	}
}

// An answer that its handler did not write to the end is not kept.
func TestA72NotWhole(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, call int) {
		if call == 1 {
			w.Header().Set("Content-Length", "100")
		}
		io.WriteString(w, "short")
	})
	if r, err := s.ask("GET", "/"); err != io.ErrUnexpectedEOF {
		t.Error(r, err)
	}
	s.get("/", "short", "BYPASS")
}

// A stream reaches its client while it is written, and others do not wait for its end.
func TestA72Streams(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, call int) {
		fmt.Fprintf(w, "%d:", call)
		w.(http.Flusher).Flush()
		if call == 1 {
			await(r, next)
		}
		io.WriteString(w, "end")
	})
	answered, err := s.Client().Get(s.URL)
	no(t, err)
	defer answered.Body.Close()
	first, err := bufio.NewReader(answered.Body).ReadString(':')
	if err != nil || first != "1:" {
		t.Fatal(first, err)
	}
	s.get("/", "2:end", "BYPASS")
	close(next)
}

// Those who wait for an answer that turns out not to be stored are answered at the same time, not one after the other.
func TestA72NobodyWaitsInLine(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, _ int) {
		time.Sleep(300 * time.Millisecond)
		w.WriteHeader(404)
	})
	began := time.Now()
	var all sync.WaitGroup
	for i := 0; i < 20; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if r, err := s.ask("GET", "/"); err != nil || r.status != 404 {
				t.Error(r, err)
			}
		}()
	}
	all.Wait()
	if took := time.Since(began); took > 2*time.Second {
		t.Error(took)
	}
}

// Who waits for somebody else's answer does so for the cache's deadline, and is answered then all the same.
func TestA72WaitingHasAnEnd(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	s := serve(t, open(t, pgcache.Setting("timeout_ms", 600)), httpcache.Options{MaxAge: time.Minute},
		func(w http.ResponseWriter, r *http.Request, call int) {
			if call == 1 {
				close(begun)
				await(r, end)
			}
			counted(w, r, call)
		})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r, err := s.ask("GET", "/"); err != nil || r.body != "answer 1" || r.header.Get("X-Cache") != "MISS" {
			t.Error(r, err)
		}
	}()
	<-begun
	began := time.Now()
	r, err := s.ask("GET", "/")
	no(t, err)
	if state := r.header.Get("X-Cache"); r.body != "answer 2" || state != "MISS" && state != "ERROR" { // on a busy machine it is told too late
		t.Error(state, r)
	}
	r.want(t, "Cache-Control", "no-cache")
	if took := time.Since(began); took < 300*time.Millisecond || took > 3*time.Second {
		t.Error(took)
	}
	close(end)
	<-done
	s.get("/", "answer 1", "HIT").want(t, "Cache-Control", "max-age=60")
}

// A panic is its caller's, and the next who waits tries.
func TestA72Panics(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, call int) {
		if call == 1 {
			close(begun)
			time.Sleep(100 * time.Millisecond)
			io.WriteString(w, "half")
			panic("the handler fails")
		}
		counted(w, r, call)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r, err := s.ask("GET", "/"); err == nil {
			t.Error("an answer of a handler that failed: ", r)
		}
	}()
	<-begun
	began := time.Now()
	s.get("/", "answer 2", "MISS")
	if took := time.Since(began); took > 3*time.Second {
		t.Error("it waited for the lease: ", took)
	}
	<-done
	s.get("/", "answer 2", "HIT")
	if !strings.Contains(s.log.String(), "the handler fails") {
		t.Error(s.log.String())
	}
}

// A handler that gave up because its client went away has not answered.
func TestA72ClientsThatLeave(t *testing.T) {
	t.Parallel()
	begun, gone := make(chan struct{}), make(chan struct{})
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, call int) {
		switch call {
		case 1:
			close(begun)
			<-r.Context().Done()
		case 2:
			begun <- struct{}{}
			<-r.Context().Done()
			http.Error(w, "the client has gone", http.StatusServiceUnavailable)
			close(gone)
		default:
			counted(w, r, call)
		}
	})
	leave := func() {
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		request, err := http.NewRequestWithContext(within, "GET", s.URL, nil)
		no(t, err)
		go func() {
			<-begun
			cancel()
		}()
		if answered, err := s.Client().Do(request); err == nil {
			answered.Body.Close()
			t.Error(answered)
		}
	}
	leave()
	begun = make(chan struct{})
	leave()
	<-gone
	s.get("/", "answer 3", "MISS")
	s.get("/", "answer 3", "HIT")
}

// An empty answer is one.
func TestA72Empty(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{}, func(http.ResponseWriter, *http.Request, int) {})
	s.get("/", "", "MISS")
	s.get("/", "", "HIT").want(t, "Content-Length", "0", "Etag", tagOf(""))
}

// Which requests pass by the cache.
func TestA73Passed(t *testing.T) {
	t.Parallel()
	cache := open(t)
	s := serve(t, cache, httpcache.Options{Bypass: func(r *http.Request) bool { return r.Header.Get("X-Editor") != "" }}, counted)
	s.get("/", "answer 1", "MISS")
	calls := 1
	for _, headers := range [][]string{
		{"Authorization", "Basic x"}, {"Cookie", "a=b"}, {"Range", "bytes=0-1"}, {"If-Range", `"x"`}, {"If-Match", `"x"`},
		{"If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"}, {"Connection", "upgrade", "Upgrade", "websocket"}, {"X-Editor", "yes"},
	} {
		calls++
		r := s.get("/", fmt.Sprint("answer ", calls), "BYPASS", headers...)
		r.want(t, "Etag", "", "Cache-Control", "")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		r, err := s.ask(method, "/")
		no(t, err)
		r.want(t, "X-Cache", "BYPASS")
	}
	request, err := http.NewRequest("GET", s.URL, strings.NewReader("a question"))
	no(t, err)
	answered, err := s.Client().Do(request)
	no(t, err)
	answered.Body.Close()
	if got := answered.Header.Get("X-Cache"); got != "BYPASS" {
		t.Error(got)
	}
	// What a client wishes decides nothing.
	s.get("/", "answer 1", "HIT", "Cache-Control", "no-cache", "Pragma", "no-cache", "Cache-Control", "no-store")

	both := []string{"Authorization", "Basic x", "Cookie", "a=b"}
	public := serve(t, cache, httpcache.Options{Namespace: "public", Public: true}, counted)
	public.get("/", "answer 1", "MISS", both...)
	public.get("/", "answer 1", "HIT", "Authorization", "Basic y")
	one := serve(t, cache, httpcache.Options{Namespace: "one", Vary: []string{"Cookie"}}, counted)
	one.get("/", "answer 1", "BYPASS", both...)
	one.get("/", "answer 2", "MISS", "Cookie", "a=b")
	one.get("/", "answer 2", "HIT", "Cookie", "a=b")
	one.get("/", "answer 3", "MISS", "Cookie", "a=c")
}

// What the server has refreshed is not read, and stored.
func TestA73Refresh(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{Key: func(r *http.Request) string { return "k" },
		Refresh: func(r *http.Request) bool { return r.Header.Get("X-Refresh") != "" }}, counted)
	s.get("/", "answer 1", "MISS")
	eventually(t, "a copy in the near cache", func() bool {
		s.get("/", "answer 1", "HIT")
		_, err := s.cache.Peek("k")
		return err == nil
	})
	s.get("/", "answer 2", "MISS", "X-Refresh", "1")
	s.get("/", "answer 2", "HIT")
	r, err := s.ask("HEAD", "/", "X-Refresh", "1")
	no(t, err)
	r.want(t, "X-Cache", "MISS")
	s.get("/", "answer 2", "HIT")
}

// A HEAD fills nothing.
func TestHead(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, call int) {
		w.Header().Set("X-Method", r.Method)
		counted(w, r, call)
	})
	r, err := s.ask("HEAD", "/")
	no(t, err)
	r.want(t, "X-Cache", "MISS", "X-Method", "HEAD")
	s.get("/", "answer 2", "MISS").want(t, "X-Method", "GET")
	r, err = s.ask("HEAD", "/")
	no(t, err)
	r.want(t, "X-Cache", "HIT", "X-Method", "GET")
}

// If-None-Match is answered with 304, from the cache and by the handler; the handler gives all of its answer.
func TestConditions(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{Vary: []string{"Accept"}}, func(w http.ResponseWriter, r *http.Request, call int) {
		if len(r.Header.Values("If-None-Match"))+len(r.Header.Values("If-Modified-Since")) > 0 {
			w.WriteHeader(304)
			return
		}
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		switch r.URL.Path {
		case "/own":
			w.Header().Set("ETag", `W/"a,b"`)
		case "/kept":
			w.Header().Set("Cache-Control", "max-age=7")
		}
		io.WriteString(w, "body")
	})
	whole := tagOf("body")
	for _, try := range []struct {
		path   string
		status int
		header []string
	}{
		{"/new", 304, []string{"If-None-Match", whole}}, // a miss
		{"/", 200, []string{"If-None-Match", `"other"`, "If-Modified-Since", "Mon, 02 Jan 2026 15:04:05 GMT"}},
		{"/", 304, []string{"If-None-Match", whole}},
		{"/", 304, []string{"If-None-Match", "W/" + whole}},
		{"/", 304, []string{"If-None-Match", `"other", ,W/"a",` + whole + ` , "c"`}},
		{"/", 304, []string{"If-None-Match", `"other"`, "If-None-Match", whole}},
		{"/", 304, []string{"If-None-Match", "*"}},
		{"/", 200, []string{"If-None-Match", `W/"other"`}},
		{"/", 200, []string{"If-None-Match", strings.Trim(whole, `"`)}},
		{"/", 200, []string{"If-None-Match", `"` + whole}},
		{"/", 200, []string{"If-None-Match", ""}},
		{"/own", 200, []string{"If-None-Match", whole}},
		{"/own", 304, []string{"If-None-Match", `"a,b"`}},
		{"/own", 304, []string{"If-None-Match", `W/"a,b"`}},
		{"/own", 200, []string{"If-None-Match", `"a", "b"`}},
		{"/kept", 304, []string{"If-None-Match", whole}},
	} {
		r, err := s.ask("GET", try.path, try.header...)
		no(t, err)
		if r.status != try.status || (r.body == "") != (try.status == 304) {
			t.Errorf("%s %q: %d %q", try.path, try.header, r.status, r.body)
		}
		tag, control, modified := whole, "no-cache", "Mon, 02 Jan 2006 15:04:05 GMT"
		if try.path == "/own" {
			tag = `W/"a,b"`
		}
		if try.path == "/kept" {
			control = "max-age=7"
		}
		if try.status == 304 {
			modified = ""
		}
		r.want(t, "Etag", tag, "Cache-Control", control, "Vary", "Accept", "Last-Modified", modified)
	}
	r, err := s.ask("HEAD", "/", "If-None-Match", whole)
	no(t, err)
	if r.status != 304 {
		t.Error(r)
	}
}

// What is invalidated is not answered any more, also by another handle of the cache.
func TestInvalidation(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{Tags: func(r *http.Request) []string { return []string{"page:" + r.URL.Path[1:], "pages"} }}, counted)
	s.get("/7", "answer 1", "MISS")
	s.get("/8", "answer 2", "MISS")
	no(t, s.cache.Invalidate(ctx, pgcache.Tags("page:7")))
	s.get("/7", "answer 3", "MISS")
	s.get("/8", "answer 2", "HIT")
	no(t, s.cache.Invalidate(ctx, pgcache.Tags("pages")))
	s.get("/8", "answer 4", "MISS")
}

// What is invalidated while the handler runs is not stored.
func TestInvalidationMeanwhile(t *testing.T) {
	t.Parallel()
	cache := open(t)
	s := serve(t, cache, httpcache.Options{MaxAge: time.Hour, Tags: func(*http.Request) []string { return []string{"t"} }},
		func(w http.ResponseWriter, r *http.Request, call int) {
			if call == 1 {
				no(t, cache.Invalidate(ctx, pgcache.Tags("t")))
			}
			counted(w, r, call)
		})
	s.get("/", "answer 1", "MISS").want(t, "Cache-Control", "no-cache")
	s.get("/", "answer 2", "MISS").want(t, "Cache-Control", "max-age=300")
}

// Something stale is given at once and refreshed by one handler, and stays while that fails.
func TestStale(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var alive int32
	s := serve(t, open(t), httpcache.Options{TTL: 100 * time.Millisecond, Stale: time.Minute, MaxAge: time.Hour},
		func(w http.ResponseWriter, r *http.Request, call int) {
			switch call {
			case 2:
				panic("the refresh fails")
			case 3:
				http.Error(w, "the refresh fails", http.StatusServiceUnavailable)
				return
			case 4:
				await(r, release)
				time.Sleep(10 * time.Millisecond) // its client has its answer by now
				if r.Context().Err() == nil && r.Context().Value(http.ServerContextKey) != nil {
					atomic.AddInt32(&alive, 1)
				}
			}
			counted(w, r, call)
		})
	s.get("/", "answer 1", "MISS")
	refreshed := func(call int) { // asks until the handler is called once more
		t.Helper()
		eventually(t, "a refresh", func() bool {
			r, err := s.ask("GET", "/")
			no(t, err)
			if r.body != "answer 1" {
				t.Fatal(r.body)
			}
			return int(atomic.LoadInt32(&s.calls)) == call
		})
	}
	for call := 2; call <= 4; call++ {
		refreshed(call)
	}
	for i := 0; i < 5; i++ {
		s.get("/", "answer 1", "STALE").want(t, "Cache-Control", "no-cache")
	}
	close(release)
	eventually(t, "the refreshed answer", func() bool {
		r, err := s.ask("GET", "/")
		no(t, err)
		return r.body != "answer 1"
	})
	if alive != 1 || strings.Count(s.log.String(), "the refresh fails") != 1 {
		t.Error(alive, s.log.String())
	}
}

// What a stale answer's handler says is gone is gone.
func TestStaleThatIsGone(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{TTL: time.Millisecond, Stale: time.Minute}, func(w http.ResponseWriter, r *http.Request, call int) {
		if call > 1 {
			w.WriteHeader(404)
		}
		counted(w, r, call)
	})
	s.get("/", "answer 1", "MISS")
	eventually(t, "it is gone", func() bool {
		r, err := s.ask("GET", "/")
		no(t, err)
		return r.status == 404
	})
}

// Clients may use an answer as long as MaxAge says, and never longer than it is in the cache.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	cache := open(t)
	long := serve(t, cache, httpcache.Options{TTL: time.Hour, MaxAge: time.Minute}, counted)
	long.get("/", "answer 1", "MISS").want(t, "Cache-Control", "max-age=60")
	long.get("/", "answer 1", "HIT").want(t, "Cache-Control", "max-age=60")
	short := serve(t, cache, httpcache.Options{TTL: 5500 * time.Millisecond, MaxAge: time.Minute}, counted)
	short.get("/", "answer 1", "MISS").want(t, "Cache-Control", "max-age=5")
	time.Sleep(time.Second)
	if got := short.get("/", "answer 1", "HIT").header.Get("Cache-Control"); got != "max-age=4" && got != "max-age=3" {
		t.Error(got)
	}
}

// The cache being down is no failure of the server's: the handler answers, within the cache's deadline.
func TestA72CacheDown(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	no(t, err)
	defer silent.Close()
	_, port, _ := net.SplitHostPort(silent.Addr().String())
	refused := "host=127.0.0.1 port=1 user=nobody dbname=none"
	for name, where := range map[string]string{"refused": refused, "silent": "host=127.0.0.1 user=nobody dbname=none port=" + port} {
		for _, onError := range []string{"miss", "error"} {
			cache, err := pgcache.Open(where, pgcache.Setting("on_error", onError), pgcache.Setting("timeout_ms", 300), pgcache.JanitorEvery(0))
			no(t, err)
			s := serve(t, cache, httpcache.Options{Refresh: func(r *http.Request) bool { return r.URL.Path == "/refresh" }}, counted)
			for call, path := range []string{"/", "/", "/refresh"} {
				began := time.Now()
				s.get(path, fmt.Sprint("answer ", call+1), "ERROR").want(t, "Etag", tagOf(fmt.Sprint("answer ", call+1)), "Cache-Control", "no-cache")
				if took := time.Since(began); took > 1500*time.Millisecond {
					t.Errorf("%s, %s: %v", name, onError, took)
				}
			}
			if counters := cache.Counters(); onError == "miss" && counters.ReadsFailed == 0 {
				t.Error("nothing was counted")
			}
			no(t, cache.Close())
			s.get("/closed", "answer 4", "ERROR")
		}
	}
}

// Waiting for somebody else's answer and storing one's own together take no longer than the deadline.
func TestA72OneDeadline(t *testing.T) {
	t.Parallel()
	const deadline = 2 * time.Second
	cache := open(t, pgcache.Setting("timeout_ms", deadline))
	begun := make(chan struct{})
	s := serve(t, cache, httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, call int) {
		if call == 1 {
			close(begun)
			time.Sleep(deadline / 2)
			panic(http.ErrAbortHandler)
		}
		if err := lock(t, cache); err != nil {
			t.Error(err)
		}
		counted(w, r, call)
	})
	go func() { _, _ = s.ask("GET", "/") }() // its answer never comes
	<-begun
	began := time.Now()
	s.get("/", "answer 2", "ERROR")
	if took := time.Since(began); took < deadline*3/4 || took > deadline*7/5 {
		t.Error(took)
	}
}

// lock has nobody write to the cache until the test ends.
func lock(t testing.TB, cache *pgcache.Cache) error {
	psql := exec.Command(filepath.Join(os.Getenv("PGCACHE_TEST_BINDIR"), "psql"), "-X", "-q", "-d", address, "-v", "ON_ERROR_STOP=1",
		"-c", "BEGIN", "-c", `LOCK TABLE "`+cache.Setting("schema")+`".entries`, "-c", `\warn locked`, "-c", "SELECT pg_sleep(60)")
	said, err := psql.StderrPipe()
	if err == nil {
		err = psql.Start()
	}
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		_ = psql.Process.Kill()
		_ = psql.Wait()
	})
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || line != "locked\n" {
		return fmt.Errorf("%q, %v", line, err)
	}
	return nil
}

// A cache that is switched off misses.
func TestNull(t *testing.T) {
	t.Parallel()
	cache, err := pgcache.Open("null:")
	no(t, err)
	defer cache.Close()
	s := serve(t, cache, httpcache.Options{}, counted)
	s.get("/", "answer 1", "MISS")
	s.get("/", "answer 2", "MISS")
}

// What is not ours stays: clients choose hosts and paths, and so keys.
func TestOtherEntries(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{Stale: time.Minute, Key: func(r *http.Request) string { return "k" }}, counted)
	calls := 0
	stays := func(value []byte) {
		t.Helper()
		for _, method := range []string{"GET", "GET", "HEAD"} {
			calls++
			r, err := s.ask(method, "/")
			no(t, err)
			if r.header.Get("X-Cache") != "ERROR" || method == "GET" && r.body != fmt.Sprint("answer ", calls) {
				t.Errorf("%q, %s: %+v", value, method, r)
			}
		}
		if found, err := s.cache.Get(ctx, "k", pgcache.FromStore()); err != nil || string(found) != string(value) {
			t.Errorf("%q: %q, %v", value, found, err)
		}
	}
	for _, value := range []string{"", "text", "HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 200 OK\r\nno header\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nX: y", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nno tag"} {
		_, err := s.cache.Put(ctx, "k", []byte(value))
		no(t, err)
		stays([]byte(value))
	}
	_, err := pgcache.NewTyped[string](s.cache).Put(ctx, "k", "HTTP/1.1 200 OK\r\n\r\n")
	no(t, err)
	stays([]byte(`"HTTP/1.1 200 OK\r\n\r\n"`))
	// Nor is the load of something stale that others are to refresh kept from them.
	_, err = s.cache.Remove(ctx, "k")
	no(t, err)
	_, load, err := s.cache.Begin(ctx, "k", pgcache.TTL(time.Millisecond), pgcache.Stale(time.Minute))
	no(t, err)
	_, err = load.Fill(ctx, []byte("old"))
	no(t, err)
	time.Sleep(10 * time.Millisecond)
	calls++
	s.get("/", fmt.Sprint("answer ", calls), "ERROR")
	entry, load, err := s.cache.Begin(ctx, "k", pgcache.Stale(time.Minute))
	if err != nil || load == nil || entry == nil || string(entry.Value) != "old" {
		t.Fatal(entry, load, err)
	}
	no(t, load.Close())
	_, err = s.cache.Put(ctx, "limits/1.2.3.4", []byte("7")) // as applications have
	no(t, err)
	plain := serve(t, s.cache, httpcache.Options{}, counted)
	request, err := http.NewRequest("GET", plain.URL+"/1.2.3.4", nil)
	no(t, err)
	request.Host = "limits"
	answered, err := plain.Client().Do(request)
	no(t, err)
	no(t, answered.Body.Close())
	if value, err := s.cache.Get(ctx, "limits/1.2.3.4"); err != nil || string(value) != "7" {
		t.Errorf("a client has replaced it: %q, %v", value, err)
	}
}

// A mistake of the program's is seen in the header, and the client has its answer.
func TestWrongTags(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{Tags: func(*http.Request) []string { return []string{""} }}, counted)
	s.get("/", "answer 1", "ERROR")
	s.get("/", "answer 2", "ERROR")
}

// Around this middleware others may stand: what they add to each answer is theirs.
func TestOtherMiddleware(t *testing.T) {
	t.Parallel()
	cache := open(t)
	request := 0
	inner := httpcache.New(cache, httpcache.Options{Public: true})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w.Header().Get("X-Nonce") == "" {
			t.Error("the handler does not see it")
		}
		w.Header().Add("Vary", "Origin")
		w.Header().Set("X-Own", "own")
		io.WriteString(w, "body")
		w.Header().Set("X-Late", "too late")
	}))
	s := &site{t: t, cache: cache, Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request++
		w.Header().Set("Vary", "Origin")
		w.Header().Set("X-Nonce", fmt.Sprint(request))
		http.SetCookie(w, &http.Cookie{Name: "session", Value: fmt.Sprint(request)})
		inner.ServeHTTP(w, r)
	}))}
	defer s.Close()
	s.get("/", "body", "MISS").want(t, "X-Nonce", "1", "Set-Cookie", "session=1", "X-Own", "own", "X-Late", "")
	s.get("/", "body", "HIT").want(t, "X-Nonce", "2", "Set-Cookie", "session=2", "X-Own", "own", "X-Late", "")
	stored, err := cache.Get(ctx, strings.TrimPrefix(s.URL, "http://")+" /")
	if err != nil || strings.Contains(string(stored), "Nonce") || strings.Contains(string(stored), "session") {
		t.Errorf("%q, %v", stored, err)
	}
}

// What others have set for this client alone, or made of its headers, the handler may have written into its answer, as a form's token.
func TestA72OtherMiddlewareKnowsTheClient(t *testing.T) {
	t.Parallel()
	cache := open(t)
	for name, try := range map[string]struct {
		options httpcache.Options
		others  func(header http.Header)
		own     func(header http.Header)
		second  string // X-Cache
	}{
		"a cookie":         {others: func(h http.Header) { h.Set("Set-Cookie", "csrf=1") }, second: "BYPASS"},
		"Vary: Cookie":     {others: func(h http.Header) { h.Set("Vary", "Cookie") }, second: "BYPASS"},
		"a language":       {others: func(h http.Header) { h.Set("Vary", "Accept-Language") }, second: "BYPASS"},
		"not public":       {httpcache.Options{Public: true}, func(h http.Header) { h.Set("Vary", "Accept-Language") }, nil, "BYPASS"},
		"a key of the own": {httpcache.Options{Key: func(*http.Request) string { return "7" }}, func(h http.Header) { h.Set("Vary", "Cookie") }, nil, "HIT"},
		"in the key":       {httpcache.Options{Vary: []string{"Accept-Language"}}, func(h http.Header) { h.Set("Vary", "Accept-Language") }, nil, "HIT"},
		"it compresses":    {others: func(h http.Header) { h.Set("Vary", "Origin, Accept-Encoding") }, second: "HIT"},
		"so does the handler": {
			others: func(h http.Header) { h.Set("Vary", "Accept-Encoding") },
			own:    func(h http.Header) { h.Set("Content-Encoding", "br") }, second: "BYPASS",
		},
	} {
		inner := httpcache.New(cache, try.options)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if try.own != nil {
				try.own(w.Header())
			}
			io.WriteString(w, "body")
		}))
		for _, state := range []string{"MISS", try.second} {
			w := httptest.NewRecorder()
			try.others(w.Header())
			inner.ServeHTTP(w, httptest.NewRequest("GET", "/"+url.PathEscape(name), nil))
			if got := w.Header().Get("X-Cache"); got != state {
				t.Errorf("%s: %s instead of %s", name, got, state)
			}
		}
	}
}

// Handlers that see the same path may be asked for something else, and write addresses that clients say were forwarded into their answers.
func TestA71Addresses(t *testing.T) {
	t.Parallel()
	cached := httpcache.New(open(t), httpcache.Options{Vary: []string{"Accept-Language"}})
	mux := http.NewServeMux()
	for _, name := range []string{"orders", "users"} {
		name := name
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, cached(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			scheme := map[bool]string{true: "https"}[r.TLS != nil]
			fmt.Fprint(w, name, scheme, r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("Forwarded"),
				r.Header.Get("Accept-Language"))
		}))))
	}
	ask := func(target, body, state string, headers ...string) {
		t.Helper()
		request := httptest.NewRequest("GET", target, nil)
		request.RequestURI = request.URL.RequestURI() // as clients send it
		for i := 0; i < len(headers); i += 2 {
			request.Header.Add(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, request)
		if got := w.Header().Get("X-Cache"); w.Body.String() != body || got != state {
			t.Errorf("%s %q: %s %q instead of %s %q", target, headers, got, w.Body, state, body)
		}
	}
	for _, state := range []string{"MISS", "HIT"} {
		ask("/orders/1", "orders", state)
		ask("/users/1", "users", state)
		ask("https://example.com/orders/1", "ordershttps", state)
		ask("/orders/1", "ordersevil.test", state, "X-Forwarded-Host", "evil.test")
		ask("/orders/1", "ordershttps", state, "X-Forwarded-Proto", "https")
		ask("/orders/1", "ordersFor=1;Host=evil.test", state, "Forwarded", "For=1;Host=evil.test")
		ask("/orders/1", "ordersde", state, "Accept-Language", "de", "Accept-Language", "en")
		ask("/orders/1", "ordersde, en", state, "Accept-Language", "de, en")
	}
	ask("/users/1", "users", "HIT", "Forwarded", "for=1.2.3.4;by=_x", "X-Forwarded-For", "1.2.3.4")
	ask("/orders/1", "ordersFor=1;Host=evil.test", "HIT", "Forwarded", "for=2, for=1;Host=evil.test")
}

// Vary is part of a key of the server's own, too.
func TestA71OwnKeyAndVary(t *testing.T) {
	t.Parallel()
	key := "page"
	s := serve(t, open(t), httpcache.Options{Vary: []string{"Accept"}, Key: func(*http.Request) string { return key }}, counted)
	s.get("/", "answer 1", "MISS", "Accept", "text/html")
	s.get("/", "answer 2", "MISS", "Accept", "text/plain")
	s.get("/", "answer 1", "HIT", "Accept", "text/html")
	key = ""
	s.get("/", "answer 3", "ERROR") // nobody's key is not everybody's
}

// What a handler's router writes into its request does not decide what the answer depends on: with If-None-Match it has another one.
func TestTagsAreOfTheRequestAsItCame(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{Tags: func(r *http.Request) []string { return []string{"page:" + r.Header.Get("X-Route")} }},
		func(w http.ResponseWriter, r *http.Request, call int) {
			r.Header.Set("X-Route", "7")
			counted(w, r, call)
		})
	s.get("/plain", "answer 1", "MISS")
	s.get("/asked", "answer 2", "MISS", "If-None-Match", `"x"`)
	no(t, s.cache.Invalidate(ctx, pgcache.Tags("page:")))
	s.get("/plain", "answer 3", "MISS")
	s.get("/asked", "answer 4", "MISS")
}

// What the cache's own setting does not let in is not waited for, either.
func TestA72TooLargeForTheCache(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t, pgcache.Setting("max_value_bytes", 2000)), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, _ int) {
		io.WriteString(w, strings.Repeat("x", 2000))
	})
	s.get("/", strings.Repeat("x", 2000), "MISS")
	s.get("/", strings.Repeat("x", 2000), "BYPASS")
}

func BenchmarkHit(b *testing.B) {
	cache := open(b)
	handler := httpcache.New(cache, httpcache.Options{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 1000))
	}))
	request := httptest.NewRequest("GET", "/page", nil)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}
}
