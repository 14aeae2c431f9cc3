// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// The examples open the cache that PGCACHE_URL names, as programs do that are told their database by the environment.
func openCache() *pgcache.Cache {
	cache, err := pgcache.Open("")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cache.Init(context.Background()); err != nil { // mostly done once, by `pgcache init`
		log.Fatal(err)
	}
	return cache
}

func Example() {
	cache := openCache()
	defer cache.Close()
	ctx := context.Background()

	if _, err := cache.Put(ctx, "greeting", []byte("hello"), pgcache.TTL(time.Minute)); err != nil {
		log.Fatal(err)
	}
	value, err := cache.Get(ctx, "greeting")
	fmt.Println(string(value), err)

	_, err = cache.Get(ctx, "farewell")
	fmt.Println(errors.Is(err, pgcache.ErrMiss))
	// Output:
	// hello <nil>
	// true
}

// Values of a type, read by programs in other languages and by SQL as JSON.
func ExampleTyped() {
	cache := openCache()
	defer cache.Close()
	ctx := context.Background()
	type customer struct {
		Name string `json:"name"`
	}

	customers := pgcache.NewTyped[customer](cache, pgcache.Namespace("customers"), pgcache.TTL(time.Hour))
	if _, err := customers.Put(ctx, "42", customer{Name: "Ada"}); err != nil {
		log.Fatal(err)
	}
	ada, err := customers.Get(ctx, "42")
	fmt.Println(ada.Name, err)
	stored, _ := cache.Get(ctx, "42", pgcache.Namespace("customers"))
	fmt.Println(string(stored))
	// Output:
	// Ada <nil>
	// {"name":"Ada"}
}

// One caller in all processes computes; what is invalidated is computed anew.
func ExampleTyped_GetOrLoad() {
	cache := openCache()
	defer cache.Close()
	ctx := context.Background()
	orders := 3
	count := func() int {
		n, err := pgcache.NewTyped[int](cache).GetOrLoad(ctx, "count:7",
			func(context.Context) (int, error) { return orders, nil }, // your own query
			pgcache.TTL(time.Minute), pgcache.Tags("customer:7"))
		if err != nil {
			log.Fatal(err)
		}
		return n
	}

	fmt.Println(count())
	orders = 4
	fmt.Println(count())
	if err := cache.Invalidate(ctx, pgcache.Tags("customer:7")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(count())
	// Output:
	// 3
	// 3
	// 4
}

// A load as an object, for whoever needs more than a function.
func ExampleCache_Begin() {
	cache := openCache()
	defer cache.Close()
	ctx := context.Background()

	entry, load, err := cache.Begin(ctx, "report", pgcache.TTL(time.Minute), pgcache.Lease(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	if load != nil { // it is ours to compute
		defer load.Close() // gives the lease back if we do not come to the end
		if _, err := load.Fill(ctx, []byte("forty pages"), pgcache.Tags("orders")); err != nil {
			log.Fatal(err)
		}
	} else {
		fmt.Println(string(entry.Value))
	}
	value, err := cache.Get(ctx, "report")
	fmt.Println(string(value), err)
	// Output: forty pages <nil>
}

// What changes in a transaction of the application ends with its commit what depends on it.
func ExampleCache_Invalidation() {
	cache, err := pgcache.Open("", pgcache.Setting("schema", "pgcache"))
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	query, args := cache.Invalidation(pgcache.Tags("orders", "customer:7"))
	// _, err := tx.ExecContext(ctx, query, args...)
	fmt.Println(query)
	fmt.Println(args...)
	// Output:
	// SELECT "pgcache".invalidate(tags => $1::text[], keys => $2::text[], namespace => $3::text)
	// {"orders","customer:7"} {} default
}

// A counter that all processes share.
func ExampleCache_Increment() {
	cache := openCache()
	defer cache.Close()
	ctx := context.Background()

	for i := 0; i < 3; i++ {
		if n, err := cache.Increment(ctx, "visits", 1, pgcache.TTL(time.Hour)); err == nil {
			fmt.Println(n)
		}
	}
	// Output:
	// 1
	// 2
	// 3
}

// Any Go walks over keys like this; from 1.23 on All is for range.
func ExampleCache_Keys() {
	cache := openCache()
	defer cache.Close()
	ctx := context.Background()
	items := []pgcache.Item{{Key: "fruit:apple"}, {Key: "fruit:pear"}, {Key: "tree:oak"}}
	if _, err := cache.PutMany(ctx, items); err != nil {
		log.Fatal(err)
	}

	keys := cache.Keys(ctx, "fruit:")
	for keys.Next() {
		fmt.Println(keys.Value().Key)
	}
	if err := keys.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// fruit:apple
	// fruit:pear
}
