// SPDX-License-Identifier: MIT

// The Go clients of `make bench ONLY=bindings`: one client in one process, see bindings/bench/run for the protocol.
//
// Usage: go CLIENT    "raw, into a buffer", "face, into a buffer", face, redis
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/pgcache/pgcache/bindings/go"
	"github.com/pgcache/pgcache/bindings/go/internal/raw"
	"github.com/redis/go-redis/v9"
)

const (
	number = 1000
	ttl    = time.Hour

	staleness = "60000" // so that a busy machine measures hits, too
)

var (
	ctx   = context.Background()
	keys  [number]string
	small = []byte(strings.Repeat("x", 100))
	large = []byte(strings.Repeat("x", 1024))
)

// A client does one operation on one key; near is nil where it has no memory of its own.
type client struct {
	near, get, put func(key string) error
}

// ours is a namespace of this process: what another client writes would end our copies.
func ours(name string) string { return fmt.Sprintf("%s-%d", name, os.Getpid()) }

// face is pgcache as applications use it.
func face(read func(*pgcache.Cache, string) error) (*client, error) {
	near, err := pgcache.Open("", pgcache.Setting("namespace", ours("near")), pgcache.Setting("near_staleness_ms", staleness), pgcache.JanitorEvery(0))
	if err != nil {
		return nil, err
	}
	store, err := pgcache.Open("", pgcache.Setting("namespace", ours("store")), pgcache.Setting("near_max_bytes", 0), pgcache.JanitorEvery(0))
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if _, err := near.Put(ctx, key, small, pgcache.TTL(ttl)); err != nil {
			return nil, err
		}
	}
	return &client{
		near: func(key string) error { return read(near, key) },
		get:  func(key string) error { return read(store, key) },
		put: func(key string) error {
			_, err := store.Put(ctx, key, large, pgcache.TTL(ttl))
			return err
		},
	}, nil
}

func get(cache *pgcache.Cache, key string) error {
	_, err := cache.Get(ctx, key)
	return err
}

var buffer [2048]byte

func appendGet(cache *pgcache.Cache, key string) error {
	_, err := cache.AppendGet(ctx, buffer[:0], key)
	return err
}

// rawLayer is the compiled layer below the face: what a hit costs with nothing around it.
func rawLayer() (*client, error) {
	near, err := rawHandle("near", "67108864")
	if err != nil {
		return nil, err
	}
	store, err := rawHandle("store", "0")
	if err != nil {
		return nil, err
	}
	put := func(handle *raw.Cache, key string, value []byte) error {
		return failed(raw.Put(handle, nil, key, string(value), 0, ttl.Milliseconds(), nil, nil))
	}
	for _, key := range keys {
		if err := put(near, key, small); err != nil {
			return nil, err
		}
	}
	return &client{
		near: func(key string) error {
			var size uint64
			return failed(raw.Get_into(near, buffer[:], &size, key, nil, nil))
		},
		get: func(key string) error {
			var size uint64
			return failed(raw.Get_into(store, buffer[:], &size, key, nil, nil))
		},
		put: func(key string) error { return put(store, key, large) },
	}, nil
}

func rawHandle(namespace, nearMaxBytes string) (handle *raw.Cache, err error) {
	var config *raw.Config
	status := raw.Config_new(&config, nil)
	for _, set := range []func() int32{
		func() int32 { return raw.Config_load_environment(config, nil) },
		func() int32 { return raw.Config_set(config, "namespace", ours(namespace), nil) },
		func() int32 { return raw.Config_set(config, "near_max_bytes", nearMaxBytes, nil) },
		func() int32 { return raw.Config_set(config, "near_staleness_ms", staleness, nil) },
		func() int32 { return raw.New(&handle, config, nil) },
	} {
		if status == raw.OK {
			status = set()
		}
	}
	return handle, failed(status)
}

func failed(status int32) error {
	if status != raw.OK {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

func redisClient() (*client, error) {
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: os.Getenv("REDIS_SOCKET")})
	return &client{
		get: func(key string) error { return rdb.Get(ctx, key).Err() },
		put: func(key string) error { return rdb.Set(ctx, key, large, ttl).Err() },
	}, nil
}

// measure gives nanoseconds of one operation: of a near hit on a processor, of the others by the clock.
func measure(one func(string) error, near bool, seconds float64) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	atOnce, count, next := 20, 0, 0
	if near {
		atOnce = number
	}
	began, worked := time.Now(), processorTime()
	ends := began.Add(time.Duration(seconds * float64(time.Second)))
	for time.Now().Before(ends) {
		for _, key := range keys[next : next+atOnce] {
			if err := one(key); err != nil {
				return 0, err
			}
		}
		next = (next + atOnce) % number
		count += atOnce
	}
	took := time.Since(began)
	if near {
		took = processorTime() - worked
	}
	return float64(took) / float64(count), nil
}

func processorTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var usage syscall.Rusage
	if err := syscall.Getrusage(thread, &usage); err != nil {
		die(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func open(name string) (*client, error) {
	switch name {
	case "raw, into a buffer":
		return rawLayer()
	case "face, into a buffer":
		return face(appendGet)
	case "face":
		return face(get)
	case "redis":
		return redisClient()
	}
	return nil, fmt.Errorf("no client %q", name)
}

func main() {
	for i := range keys {
		keys[i] = fmt.Sprintf("key:%06d", i*7919%number)
	}
	client, err := open(os.Args[1])
	if err != nil {
		die(err)
	}
	operations := map[string]func(string) error{"near": client.near, "get": client.get, "put": client.put}
	ready := "ready get put"
	for _, key := range keys {
		if err := client.put(key); err != nil {
			die(err)
		}
	}
	if client.near != nil {
		ready += " near"
		if _, err := measure(client.near, true, 0.05); err != nil {
			die(err)
		}
	}
	fmt.Println(ready)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var operation string
		var seconds float64
		if _, err := fmt.Sscan(lines.Text(), &operation, &seconds); err != nil {
			die(err)
		}
		nanoseconds, err := measure(operations[operation], operation == "near", seconds)
		if err != nil {
			die(err)
		}
		fmt.Printf("%.1f\n", nanoseconds)
	}
}
