// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// go test -bench . shows what calls cost. A near hit into the caller's buffer is one call of C, and allocates nothing.
func BenchmarkNearHit(b *testing.B) {
	c := open(b)
	put(b, c, "k", string(make([]byte, 100)), pgcache.TTL(time.Hour))
	for entry, err := c.Peek("k"); err != nil; entry, err = c.Peek("k") {
		_, _ = c.Get(ctx, "k")
		_ = entry
	}
	typed := pgcache.NewTyped[[]byte](c)
	buffer := make([]byte, 0, 200)
	for _, one := range []struct {
		name string
		get  func() error
	}{
		{"AppendGet", func() error { _, err := c.AppendGet(ctx, buffer, "k"); return err }},
		{"Get", func() error { _, err := c.Get(ctx, "k"); return err }},
		{"GetEntry", func() error { _, err := c.GetEntry(ctx, "k"); return err }},
		{"Typed", func() error { _, err := typed.Get(ctx, "k"); return err }},
	} {
		b.Run(one.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				if err := one.get(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStore(b *testing.B) {
	c := open(b, pgcache.Setting("near_max_bytes", 0))
	put(b, c, "k", string(make([]byte, 1024)), pgcache.TTL(time.Hour))
	cancellable, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, goroutines := range []int{1, 8, 100, 1000} {
		b.Run(fmt.Sprint("get by ", goroutines), func(b *testing.B) {
			b.SetParallelism((goroutines + 1) / 2)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := c.Get(cancellable, "k"); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
