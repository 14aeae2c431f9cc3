// SPDX-License-Identifier: MIT

// Package httpcache keeps answers to GET requests in a cache. It is middleware for net/http:
//
//	cached := httpcache.New(cache, httpcache.Options{
//		TTL:  time.Minute,
//		Tags: func(*http.Request) []string { return []string{"orders"} },
//	})
//	mux.Handle("/report", cached(report))
//
// One handler of all processes answers those who ask for the same at the same time, and what is invalidated in the cache is answered
// anew. GET and HEAD are answered from what GET has stored: answers of status 200 without a cookie, no-store, private, trailers, or a
// Vary that Options does not name, which were neither flushed meanwhile nor are longer than MaxBody. What may not be stored reaches its
// client as it is written, and for some seconds nobody waits for it. Requests with Authorization or Cookie pass, unless Options says what
// they mean; so do those that have a body, ask for a part, or make another condition than If-None-Match and If-Modified-Since. The
// Cache-Control of a client decides nothing. Who may not see an answer has to be refused before this middleware, which does not ask the
// handler each time; and what else of a request the answer depends on, such as a language, or what middleware around this one found out,
// has to be in Vary or Key. Middleware that begins a transaction for the handler has to be inside of this one: what was invalidated
// between the two would be read as it was before, and stored.
//
// Answers have a header X-Cache:
//
//	HIT     from the cache
//	STALE   the same, past its time; a handler refreshes it
//	MISS    the handler's, which was not in the cache, or may not be stored
//	BYPASS  the handler's: neither looked up nor stored
//	ERROR   the handler's, because the cache failed; that took no longer than its setting timeout_ms
//
// They have an ETag, by which clients that have the same already are answered with 304, and a Cache-Control: the handler's, or no-cache,
// with which clients keep an answer and ask each time whether it still holds, or what the option MaxAge says.
package httpcache

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// Options say what is kept, and how. The zero value keeps what does not depend on who asks.
type Options struct {
	// TTL is how long an answer is fresh; 0: the cache's setting default_ttl_ms.
	TTL time.Duration
	// Stale is for how much longer it is given at once, while a handler refreshes it. That one runs when its request was answered, with
	// a copy of it whose context has the values and does not end with it: what a router lends for the time of a request, as chi
	// does, it must not use, so that the middleware has to be around the router then.
	Stale time.Duration
	// Namespace is the part of the cache that answers are in; "": that of the cache's setting.
	Namespace string
	// Tags names what the answer to a request depends on, for [pgcache.Cache.Invalidate]; at most 16. It sees the request before the
	// handler does.
	Tags func(*http.Request) []string
	// Key is what tells requests apart, beside Vary, and so stands for all else of a request that the answer depends on, credentials, too.
	// If it is nil, the key is scheme, host, path and query, with what a proxy says of these (Forwarded, X-Forwarded-Host and the like),
	// and what the client asked for before http.StripPrefix.
	Key func(*http.Request) string
	// Vary are the headers of requests that the answer depends on: their values are part of the key, in any case, and their names of the
	// answer's Vary.
	Vary []string
	// Public says that answers do not depend on the request's Authorization and Cookie.
	Public bool
	// Bypass says which requests neither read nor store anything.
	Bypass func(*http.Request) bool
	// Refresh says which requests do not read what is there: it is loaded anew, and stored.
	Refresh func(*http.Request) bool
	// MaxAge lets clients and proxies use an answer for so long without asking, and never for longer than the entry has left; whole
	// seconds. What is invalidated they may show until then.
	MaxAge time.Duration
	// MaxBody is how many bytes the body of an answer that is stored may have; 0: 1 MiB.
	MaxBody int
}

// How long it is remembered that answers to a request are not to be stored, and how long a load may take before another one begins.
const (
	noteTTL = 5 * time.Second
	lease   = 10 * time.Second
)

// New makes middleware, which may be around any number of handlers that share no path.
func New(cache *pgcache.Cache, options Options) func(http.Handler) http.Handler {
	s := &server{Options: options, cache: cache, null: strings.HasPrefix(cache.Setting("url"), "null:")}
	if s.MaxBody == 0 {
		s.MaxBody = 1 << 20
	}
	milliseconds := func(setting string) time.Duration {
		number, _ := strconv.ParseInt(cache.Setting(setting), 10, 64)
		return time.Duration(number) * time.Millisecond
	}
	s.timeout = milliseconds("timeout_ms")
	if s.TTL == 0 {
		s.TTL = pgcache.Forever
		if cache.Setting("default_ttl_ms") != "never" {
			s.TTL = milliseconds("default_ttl_ms")
		}
	}
	s.how = []pgcache.Option{pgcache.TTL(s.TTL), pgcache.Stale(s.Stale), pgcache.AbsentTTL(noteTTL), pgcache.Lease(lease)}
	if s.Namespace != "" {
		s.how = append(s.how, pgcache.Namespace(s.Namespace))
	}
	return func(next http.Handler) http.Handler { return &handler{s, next} }
}

// A server is what its handlers have in common.
type server struct {
	Options
	cache   *pgcache.Cache
	how     []pgcache.Option
	timeout time.Duration
	null    bool // the cache is switched off, and stores nothing
}

type handler struct {
	*server
	next http.Handler
}

// The values of X-Cache.
const (
	hit    = "HIT"
	stale  = "STALE"
	miss   = "MISS"
	bypass = "BYPASS"
	failed = "ERROR"
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.mayServe(r) || h.Bypass != nil && h.Bypass(r) {
		h.pass(w, r, bypass)
		return
	}
	key, anew := h.keyOf(r), h.Refresh != nil && h.Refresh(r)
	if r.Method == http.MethodHead {
		h.head(w, r, key, anew)
		return
	}
	left := h.timeout
	found, load, err := h.begin(r, key, anew, &left)
	switch {
	case found != nil:
		if load != nil {
			go h.refresh(r.Clone(detached{r.Context()}), load)
		}
		h.give(w, r, found)
	case err == pgcache.ErrMiss: // by the note that answers are not to be stored
		h.pass(w, r, bypass)
	default:
		h.load(w, r, load, left, err)
	}
}

// pass has the handler answer by itself.
func (h *handler) pass(w http.ResponseWriter, r *http.Request, state string) {
	w.Header().Set("X-Cache", state)
	h.next.ServeHTTP(w, r)
}

// head answers with the headers of what a GET has stored.
func (h *handler) head(w http.ResponseWriter, r *http.Request, key string, anew bool) {
	state := miss
	if !anew {
		entry, err := h.cache.GetEntry(r.Context(), key, h.how...)
		if err == nil {
			if found := answerOf(entry); found != nil {
				h.give(w, r, found)
				return
			}
		}
		if err != pgcache.ErrMiss {
			state = failed
		}
	}
	h.pass(w, r, state)
}

// begin finds an answer, or gets the load of it; with an answer, too, if that is to be refreshed. It takes the time that is left.
func (h *handler) begin(r *http.Request, key string, anew bool, left *time.Duration) (*answer, *pgcache.Load, error) {
	if !anew {
		if entry, err := h.cache.Peek(key, h.how...); err == nil { // which many may do at once, without a thread
			if found := answerOf(entry); found != nil {
				return found, nil, nil
			}
		}
	}
	until := time.Now().Add(*left)
	defer func() { *left = time.Until(until) }()
	if anew { // a load that has begun will not be stored, either
		if _, err := h.cache.Remove(r.Context(), key, h.within(time.Until(until))...); err != nil {
			return nil, nil, err
		}
	}
	entry, load, err := h.cache.Begin(r.Context(), key, h.within(time.Until(until))...)
	if entry == nil {
		return nil, load, err
	}
	if found := answerOf(entry); found != nil {
		return found, load, nil
	}
	if load != nil {
		_ = load.Abandon(r.Context(), h.within(time.Until(until))...)
	}
	return nil, nil, errForeign
}

// Clients choose hosts and paths, and are not to replace what the application has stored by such a key.
var errForeign = errors.New("httpcache: there is something else by this key")

// within gives the options of a call that may take so long, and takes some time in any case.
func (h *handler) within(left time.Duration) []pgcache.Option {
	if left < time.Millisecond {
		left = time.Millisecond
	}
	return append(h.how[:len(h.how):len(h.how)], pgcache.Timeout(left))
}

// load has the handler answer, and stores that. Without a load it is answered all the same.
func (h *handler) load(w http.ResponseWriter, r *http.Request, load *pgcache.Load, left time.Duration, err error) {
	rec := &recorder{w: w, handler: h, request: r, load: load, left: left, tags: h.tagsOf(r), before: w.Header().Clone(), state: miss}
	if err != nil && err != pgcache.ErrBusy { // busy: somebody else takes longer than a call may
		rec.state = failed
	}
	if load != nil {
		defer load.Close() // after a panic the next who asks loads
	}
	h.next.ServeHTTP(rec, unconditional(r))
	if made := rec.end(); made != nil {
		h.give(w, r, made)
	}
}

// refresh loads when the client has something stale already. A panic ends no more than it does in any handler, and what is stale stays.
func (h *handler) refresh(r *http.Request, load *pgcache.Load) {
	ctx, cancel := context.WithTimeout(r.Context(), lease)
	defer cancel()
	r = r.WithContext(ctx)
	defer load.Close()
	defer func() {
		if panicked := recover(); panicked != nil {
			_, _ = load.Fail(detached{ctx}, h.within(h.timeout)...)
			if panicked != http.ErrAbortHandler {
				logf(r, "httpcache: panic when refreshing: %v\n%s", panicked, debug.Stack())
			}
		}
	}()
	r.Body = http.NoBody
	rec := &recorder{w: nobody{http.Header{}}, handler: h, request: r, load: load, left: h.timeout, tags: h.tagsOf(r), alone: true}
	h.next.ServeHTTP(rec, unconditional(r))
	rec.end()
}

// logf writes where the server writes of panics.
func logf(r *http.Request, format string, args ...any) {
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.ErrorLog != nil {
		server.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}

// give sends an answer, or says that the client has it.
func (h *handler) give(w http.ResponseWriter, r *http.Request, a *answer) {
	header := w.Header()
	for name, values := range a.header {
		if name != "Vary" {
			header[name] = values
		}
	}
	addVary(header, a.header.Values("Vary"))
	addVary(header, h.Vary)
	if header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", h.cacheControl(a.left))
	}
	header.Set("X-Cache", a.state)
	if matches(r.Header.Values("If-None-Match"), header.Get("Etag")) {
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Last-Modified"} {
			header.Del(name)
		}
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if _, known := header["Content-Type"]; !known {
		header["Content-Type"] = nil // as it was stored: the server is not to guess
	}
	header.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // an error is the client's
	}
}

func (h *handler) cacheControl(left time.Duration) string {
	if left > h.MaxAge {
		left = h.MaxAge
	}
	if left < time.Second {
		return "no-cache"
	}
	return "max-age=" + strconv.FormatInt(int64(left/time.Second), 10)
}

// ---- Requests ------------------------------------------------------------------------------------------------------------------

// mayServe tells requests that the cache may answer from others: those with a body ask for something by it, and with these headers for
// a part, a condition or another protocol.
func (h *handler) mayServe(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.ContentLength != 0 {
		return false
	}
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since", "Upgrade"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	for _, name := range credentials {
		if len(r.Header[name]) > 0 && !contains(h.Vary, name) && !h.knowsWho() {
			return false
		}
	}
	return true
}

var credentials = []string{"Authorization", "Cookie"}

// knowsWho says whether whoever asks is known by the key, or does not matter.
func (h *handler) knowsWho() bool { return h.Public || h.Key != nil }

// keyOf gives the key. Its parts are set apart by what no host and no path has, so that none can pass for another's; values of headers may
// be secret, and are not to be read in it.
func (h *handler) keyOf(r *http.Request) string {
	var key string
	var said []string
	if h.Key != nil {
		if key = h.Key(r); key == "" {
			return "" // which the cache refuses
		}
	} else {
		key = strings.ToLower(r.Host) + " " + r.URL.EscapedPath()
		if r.URL.RawQuery != "" {
			key += "?" + r.URL.RawQuery
		}
		if r.TLS != nil {
			key = "https " + key
		}
		said = addressOf(r)
	}
	for _, name := range h.Vary {
		said = append(said, fmt.Sprintf("%q", r.Header.Values(name))) // two values are not one with a comma for who reads the first
	}
	if len(said) > 0 {
		key += " " + digest(fmt.Sprintf("%q", said))
	}
	if len(key) > 1024 {
		return "sha256:" + digest(key)
	}
	return key
}

// addressOf gives what else handlers may make the server's own address of, which then stands in answers: what was asked for before
// http.StripPrefix or the like made something else of it, and what any client may say that it has been forwarded from.
func addressOf(r *http.Request) []string {
	var said []string
	if r.RequestURI != r.URL.RequestURI() {
		said = append(said, r.RequestURI)
	}
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Protocol",
		"X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Url-Scheme"} {
		if values := r.Header[name]; len(values) > 0 {
			said = append(said, fmt.Sprintf("%s: %q", name, values))
		}
	}
	for _, element := range list(r.Header["Forwarded"]) {
		for _, pair := range strings.Split(element, ";") {
			switch name := strings.ToLower(strings.SplitN(strings.TrimSpace(pair), "=", 2)[0]); name {
			case "for", "by": // who asks, which matters to nobody
			default:
				said = append(said, "Forwarded: "+pair)
			}
		}
	}
	return said
}

func (h *handler) tagsOf(r *http.Request) []string {
	if h.Tags == nil {
		return nil
	}
	return h.Tags(r)
}

// unconditional is the request as the handler is to see it: what is stored is the whole answer.
func unconditional(r *http.Request) *http.Request {
	if len(r.Header["If-None-Match"])+len(r.Header["If-Modified-Since"]) == 0 {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Del("If-None-Match")
	r.Header.Del("If-Modified-Since")
	return r
}

// detached is a context with the values of another one, which does not end with it.
type detached struct{ context.Context }

func (detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (detached) Done() <-chan struct{}       { return nil }
func (detached) Err() error                  { return nil }
