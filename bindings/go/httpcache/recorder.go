// SPDX-License-Identifier: MIT

package httpcache

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// A recorder is the writer that a handler gets for an answer that may be stored. It keeps what is written, until it turns out that it may
// not be stored: then all goes on to the client at once, and others are told to wait no longer.
type recorder struct {
	w       http.ResponseWriter
	handler *handler
	request *http.Request
	load    *pgcache.Load // nil: the cache has failed, or is busy
	left    time.Duration // for the cache's part of the rest
	alone   bool          // nobody waits for the answer
	tags    []string
	state   string      // X-Cache
	before  http.Header // what others had set

	status  int
	header  http.Header // as it was when the status was written
	body    []byte
	passing bool
}

func (rec *recorder) Header() http.Header { return rec.w.Header() }

func (rec *recorder) WriteHeader(status int) {
	switch {
	case rec.passing:
		rec.w.WriteHeader(status)
	case rec.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols): // others are not the last word
		rec.status, rec.header = status, rec.Header().Clone()
		declared, _ := strconv.Atoi(rec.header.Get("Content-Length"))
		if status != http.StatusOK || declared > rec.handler.MaxBody || !rec.handler.mayStore(rec.header, rec.before) {
			rec.pass()
		}
	}
}

func (rec *recorder) Write(data []byte) (int, error) {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if !rec.passing && len(rec.body)+len(data) > rec.handler.MaxBody {
		rec.pass()
	}
	if rec.passing {
		return rec.w.Write(data)
	}
	rec.body = append(rec.body, data...)
	return len(data), nil
}

// Flush is for streams, which are not stored.
func (rec *recorder) Flush() {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if !rec.passing {
		rec.pass()
	}
	if w, ok := rec.w.(http.Flusher); ok {
		w.Flush()
	}
}

// Hijack is for whoever answers in another way.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w, ok := rec.w.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("httpcache: the connection cannot be taken over")
	}
	rec.passing = true
	rec.giveUp()
	return w.Hijack()
}

// Unwrap is for http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.w }

// pass sends what was kept, and from now on all.
func (rec *recorder) pass() {
	rec.passing = true
	rec.giveUp()
	rec.restore()
	rec.Header().Set("X-Cache", rec.state)
	rec.w.WriteHeader(rec.status)
	if len(rec.body) > 0 {
		_, _ = rec.w.Write(rec.body) // the next write fails, too
		rec.body = nil
	}
}

// giveUp leaves a note instead of an answer. What is stale is not given up for what a handler that fails says.
func (rec *recorder) giveUp() {
	if rec.load == nil || rec.request.Context().Err() != nil { // the client has gone, and that is why: the next one loads
		return
	}
	ctx := detached{rec.request.Context()}
	if rec.alone && rec.status >= 500 {
		_, _ = rec.load.Fail(ctx, rec.handler.within(rec.left)...)
	} else {
		_ = rec.load.FillAbsent(ctx, rec.handler.within(rec.left)...)
	}
}

// restore takes back what was done to the header too late.
func (rec *recorder) restore() {
	header := rec.Header()
	for name := range header {
		if _, known := rec.header[name]; !known && !strings.HasPrefix(name, http.TrailerPrefix) {
			delete(header, name)
		}
	}
	for name, values := range rec.header {
		header[name] = values
	}
}

// end stores the answer and gives it, unless it has gone to the client already.
func (rec *recorder) end() *answer {
	if rec.status == 0 && !rec.passing {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.passing {
		return nil
	}
	for name := range rec.Header() {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			rec.pass()
			return nil
		}
	}
	if declared := rec.header.Get("Content-Length"); declared != "" && declared != strconv.Itoa(len(rec.body)) {
		rec.pass() // it is not whole
		return nil
	}
	rec.restore()
	made := answerTo(rec.header, rec.before, rec.body)
	made.state = rec.state
	if rec.load != nil && rec.request.Context().Err() == nil { // else it may not be whole
		rec.store(made)
	}
	return made
}

func (rec *recorder) store(made *answer) {
	how := append(rec.handler.within(rec.left), pgcache.Tags(rec.tags...))
	version, err := rec.load.Fill(detached{rec.request.Context()}, made.bytes(), how...)
	switch {
	case err == pgcache.ErrRefused: // it was invalidated meanwhile, and is this client's alone
	case errors.Is(err, pgcache.ErrTooLarge): // for the cache's setting max_value_bytes
		rec.giveUp()
	case err != nil, version == 0 && !rec.handler.null: // by the setting on_error there is a load for oneself when the cache fails
		made.state = failed
	case version > 0:
		made.left = rec.handler.TTL
	}
}

// nobody is the writer of an answer that nobody waits for.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header { return n.header }
func (nobody) WriteHeader(int)       {}
func (nobody) Write([]byte) (int, error) {
	return 0, errors.New("httpcache: nobody waits for this answer")
}
