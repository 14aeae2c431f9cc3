// SPDX-License-Identifier: MIT

package httpcache

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// An answer is a response of status 200. Entries hold it as it looks on the wire, in the form message/http.
type answer struct {
	header http.Header
	body   []byte
	state  string        // X-Cache
	left   time.Duration // how long it is still fresh
}

const opening = "HTTP/1.1 200 OK\r\n"

func (a *answer) bytes() []byte {
	var b bytes.Buffer
	b.WriteString(opening)
	_ = a.header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	b.Write(a.body)
	return b.Bytes()
}

// answerOf reads an entry; nil: it holds something else.
func answerOf(entry *pgcache.Entry) *answer {
	value := entry.Value
	end := bytes.Index(value, []byte("\r\n\r\n"))
	if entry.Format != pgcache.FormatBytes || end < 0 || !bytes.HasPrefix(value, []byte(opening)) {
		return nil
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(value[len(opening) : end+4]))).ReadMIMEHeader()
	if err != nil || header.Get("Etag") == "" {
		return nil
	}
	a := &answer{header: http.Header(header), body: value[end+4:], state: hit, left: entry.TTL}
	if entry.Stale {
		a.state, a.left = stale, 0
	}
	return a
}

// What is said of one connection or message, or is set anew each time, is not stored.
var perMessage = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authentication-Info": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Content-Length": true, "Date": true, "X-Cache": true,
}

// stored gives the headers that were set since another state of them.
func stored(header, before http.Header) http.Header {
	own := http.Header{}
	for name, values := range header {
		if !perMessage[name] && !contains(list(header["Connection"]), name) && !equal(values, before[name]) {
			own[name] = values
		}
	}
	return own
}

// mayStore is RFC 9111's sections 3 and 4.1, as far as they concern a response of status 200.
func (h *handler) mayStore(header, before http.Header) bool {
	for _, directive := range list(header["Cache-Control"]) {
		name := strings.TrimSpace(strings.SplitN(directive, "=", 2)[0])
		if strings.EqualFold(name, "no-store") || strings.EqualFold(name, "private") {
			return false
		}
	}
	others := h.others(header, before)
	for _, name := range list(header["Vary"]) { // a * is none of those
		if !contains(h.Vary, name) && !contains(others, name) {
			return false
		}
	}
	// A cookie that was set already may be what the body was made for, as a form's token is.
	cookies := header["Set-Cookie"]
	return (len(cookies) == 0 || h.knowsWho() && equal(cookies, before["Set-Cookie"])) && len(header["Trailer"]) == 0
}

// others gives what middleware around this one has said to vary, before the handler was called, that the handler's answer does not depend
// on: it compresses, or allows origins, anew for each client. Of other headers it may have told the handler.
func (h *handler) others(header, before http.Header) []string {
	var names []string
	for _, name := range list(before["Vary"]) {
		switch {
		case strings.EqualFold(name, "Origin"),
			strings.EqualFold(name, "Accept-Encoding") && equal(header["Content-Encoding"], before["Content-Encoding"]),
			contains(credentials, name) && h.knowsWho():
			names = append(names, name)
		}
	}
	return names
}

// answerTo makes an answer of what a handler has written, with what an answer has in any case.
func answerTo(header, before http.Header, body []byte) *answer {
	a := &answer{header: stored(header, before), body: body}
	contentType, known := header["Content-Type"]
	if !known && len(body) > 0 && header.Get("Content-Encoding") == "" {
		contentType = []string{http.DetectContentType(body)} // as the server does; a HEAD has no body to guess from
	}
	if len(contentType) > 0 {
		a.header["Content-Type"] = contentType
	}
	etag := header.Get("Etag")
	if etag == "" {
		sum := sha256.Sum256(body)
		etag = `"` + hex.EncodeToString(sum[:16]) + `"`
	}
	a.header.Set("Etag", etag)
	return a
}

// matches says whether one of the tags of If-None-Match is this one, by weak comparison.
func matches(header []string, etag string) bool {
	rest, etag := strings.Join(header, ","), strings.TrimPrefix(etag, "W/")
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if strings.HasPrefix(rest, "*") {
			return true
		}
		rest = strings.TrimPrefix(rest, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return false
		}
		end := strings.IndexByte(rest[1:], '"') + 2
		if end < 2 {
			return false
		}
		if rest[:end] == etag {
			return true
		}
		rest = rest[end:]
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ---- Headers -----------------------------------------------------------------------------------------------------------------

// list gives the elements of a header that is a list.
func list(values []string) []string {
	var elements []string
	for _, value := range values {
		for _, element := range strings.Split(value, ",") {
			if element = strings.TrimSpace(element); element != "" {
				elements = append(elements, element)
			}
		}
	}
	return elements
}

// addVary adds the names that are missing.
func addVary(header http.Header, names []string) {
	for _, name := range list(names) {
		if !contains(list(header["Vary"]), name) {
			header.Add("Vary", name)
		}
	}
}

func contains(names []string, name string) bool {
	for _, one := range names {
		if strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}

func equal(left, right []string) bool {
	if len(left) != len(right) {
		return false
	}
	for i := range left {
		if left[i] != right[i] {
			return false
		}
	}
	return true
}
