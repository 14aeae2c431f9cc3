// SPDX-License-Identifier: MIT

//go:build go1.20

package httpcache_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/pgcache/pgcache/bindings/go/httpcache"
)

// What http.ResponseController does for a handler it does through the middleware, too.
func TestResponseController(t *testing.T) {
	t.Parallel()
	s := serve(t, open(t), httpcache.Options{}, func(w http.ResponseWriter, r *http.Request, _ int) {
		controller := http.NewResponseController(w)
		no(t, controller.SetWriteDeadline(time.Now().Add(time.Minute)))
		if r.URL.Path == "/stream" {
			no(t, controller.Flush())
		}
		io.WriteString(w, "body")
	})
	s.get("/", "body", "MISS")
	s.get("/", "body", "HIT")
	s.get("/stream", "body", "MISS")
	s.get("/stream", "body", "BYPASS")
}
