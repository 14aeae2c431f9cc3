// SPDX-License-Identifier: MIT

//go:build go1.23

package pgcache_test

import (
	"strings"
	"testing"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

func TestAll(t *testing.T) {
	c := open(t)
	_, err := c.PutMany(ctx, []pgcache.Item{{Key: "a"}, {Key: "b"}, {Key: "c"}})
	no(t, err)
	var found []string
	for key, err := range c.Keys(ctx, "").All() {
		no(t, err)
		found = append(found, key.Key)
		if key.Key == "b" {
			break
		}
	}
	same(t, strings.Join(found, ""), "ab")
	count := 0
	for _, err := range c.Keys(ctx, "", pgcache.Namespace("two words")).All() {
		want(t, err, pgcache.ErrInvalid)
		count++
	}
	same(t, count, 1)
}
