// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

var ctx = context.Background()

// operations are those of the table, each as one call of the face.
var operations map[string]func(*call) error

func init() {
	operations = map[string]func(*call) error{
		"get": (*call).get, "get_entry": (*call).get, "peek": (*call).peek, "exists": (*call).exists,
		"put": (*call).put, "add": (*call).add, "replace": (*call).replace, "compare_and_swap": (*call).compareAndSwap,
		"remove": (*call).remove, "touch": (*call).touch, "increment": (*call).increment, "decrement": (*call).decrement,
		"get_many": (*call).getMany, "put_many": (*call).putMany, "remove_many": (*call).removeMany,
		"invalidate": (*call).invalidate, "dependents": (*call).dependents, "fence": (*call).fence, "init": (*call).init,
		"flush": (*call).flush, "cleanup": (*call).cleanup, "stats": (*call).stats, "keys": (*call).listKeys,
		"sample": (*call).sample, "open": (*call).open, "janitor_start": (*call).janitorStart,
		"janitor_stop": (*call).janitorStop, "sleep": (*call).sleep,
		"load_begin": (*call).loadBegin, "load_fill": (*call).loadFill, "load_fill_absent": (*call).loadFillAbsent,
		"load_fail": (*call).loadFail, "load_abandon": (*call).loadAbandon, "load_extend": (*call).loadExtend,
		"get_or_load": (*call).getOrLoad,
	}
}

// found says ok or miss of calls that say so with a bool.
func (c *call) found(there bool, err error) error {
	if err == nil && !there {
		return pgcache.ErrMiss
	}
	return err
}

func (c *call) get() error {
	entry, err := c.typed.GetEntry(ctx, string(c.Key), c.opts()...)
	c.value, c.format, c.version, c.ttl = entry.Value, entry.Format, entry.Version, entry.TTL
	return err
}

// show takes over an entry whose value has not gone through the face's codec.
func (c *call) show(entry *pgcache.Entry) {
	if entry == nil {
		return
	}
	c.value, c.format, c.version, c.ttl, c.stale = entry.Value, entry.Format, entry.Version, entry.TTL, entry.Stale
	if entry.Format == pgcache.FormatJSON {
		c.value, _ = document(entry.Value)
	}
}

func (c *call) peek() error {
	entry, err := c.cache.Peek(string(c.Key), c.opts()...)
	c.show(entry)
	return err
}

func (c *call) exists() error { return c.found(c.cache.Exists(ctx, string(c.Key), c.opts()...)) }

func (c *call) put() (err error) {
	c.version, err = c.typed.Put(ctx, string(c.Key), c.given(), c.opts()...)
	return err
}

func (c *call) add() (err error) {
	c.version, err = c.typed.Add(ctx, string(c.Key), c.given(), c.opts()...)
	return err
}

func (c *call) replace() (err error) {
	c.version, err = c.typed.Replace(ctx, string(c.Key), c.given(), c.opts()...)
	return err
}

func (c *call) compareAndSwap() (err error) {
	c.version, err = c.typed.CompareAndSwap(ctx, string(c.Key), c.given(), c.scene.version(c.Expected), c.opts()...)
	return err
}

func (c *call) remove() error { return c.found(c.cache.Remove(ctx, string(c.Key), c.opts()...)) }

func (c *call) touch() (err error) {
	c.version, err = c.cache.Touch(ctx, string(c.Key), c.opts()...)
	return err
}

func (c *call) delta() int64 {
	if c.Delta == nil {
		return 1
	}
	return *c.Delta
}

func (c *call) increment() (err error) {
	c.number, err = c.cache.Increment(ctx, string(c.Key), c.delta(), c.opts()...)
	return err
}

func (c *call) decrement() (err error) {
	c.number, err = c.cache.Decrement(ctx, string(c.Key), c.delta(), c.opts()...)
	return err
}

// ---- Many keys -----------------------------------------------------------------------------------------------------------

// numbers of the keys of a step that numbers them.
func (c *call) numbers() []int {
	numbers := make([]int, *c.Numbered)
	for i := range numbers {
		numbers[i] = i
		if c.reversed {
			numbers[i] = len(numbers) - 1 - i
		}
	}
	return numbers
}

func (c *call) manyKeys() []string {
	if c.Numbered == nil {
		return texts(c.Keys)
	}
	var keys []string
	for _, n := range c.numbers() {
		keys = append(keys, "k"+strconv.Itoa(n))
	}
	return keys
}

func (c *call) getMany() error {
	keys := c.manyKeys()
	values, err := c.typed.GetMany(ctx, keys, c.opts()...)
	for i, key := range keys {
		value, there := values[key]
		wanted := "null"
		if c.Numbered != nil {
			wanted = strconv.Quote("v" + key[1:])
		} else if c.Gives.Values != nil {
			wanted = string(c.Gives.Values[i])
		} else {
			continue
		}
		if err == nil && c.why == "" && !same(value, there, wanted) {
			c.why = "value " + strconv.Itoa(i) + " is another one"
		}
	}
	return err
}

// same compares with BYTES, {"json": ...} or null for a miss.
func same(value any, there bool, wanted string) bool {
	if wanted == "null" {
		return !there
	}
	var as content
	if decodeInto([]byte(wanted), &as) == nil && as.JSON != nil {
		return there && as.differs(value, pgcache.FormatJSON) == ""
	}
	var bytes octets
	if bytes.UnmarshalJSON([]byte(wanted)) != nil {
		return false
	}
	as = content{Value: &bytes}
	return there && as.differs(value, pgcache.FormatBytes) == ""
}

func (c *call) putMany() error {
	var items []pgcache.TypedItem[any]
	if c.Numbered != nil {
		for _, n := range c.numbers() {
			items = append(items, pgcache.TypedItem[any]{Key: "k" + strconv.Itoa(n), Value: []byte("v" + strconv.Itoa(n))})
		}
	}
	for i := range c.Items {
		items = append(items, pgcache.TypedItem[any]{Key: string(c.Items[i].Key), Value: c.Items[i].given()})
	}
	_, err := c.typed.PutMany(ctx, items, c.opts()...)
	return err
}

func (c *call) removeMany() error {
	removed, err := c.cache.RemoveMany(ctx, c.manyKeys(), c.opts()...)
	c.number = int64(removed)
	return err
}

// ---- The cache as a whole ---------------------------------------------------------------------------------------------------

func (c *call) invalidate() error { return c.cache.Invalidate(ctx, c.opts()...) }

func (c *call) dependents() error {
	report, err := c.cache.Dependents(ctx, c.opts()...)
	if err == nil {
		c.entries = report.Entries
	}
	return err
}

func (c *call) fence() error { return c.cache.Fence(ctx, c.opts()...) }

func (c *call) init() error {
	made, err := c.cache.Init(ctx, c.opts()...)
	if err == nil && !made {
		return pgcache.ErrExists
	}
	return err
}

func (c *call) flush() (err error) {
	if c.Scope == "all" {
		c.number, err = c.cache.FlushAll(ctx, c.opts()...)
	} else {
		c.number, err = c.cache.Flush(ctx, c.opts()...)
	}
	return err
}

func (c *call) cleanup() (err error) {
	c.number, err = c.cache.Cleanup(ctx, c.opts()...)
	return err
}

func (c *call) stats() error {
	stats, err := c.cache.Stats(ctx, c.opts()...)
	c.entries, c.expired = stats.Entries, stats.Expired
	return err
}

func (c *call) listKeys() error {
	c.keys = []string{}
	keys := c.cache.Keys(ctx, string(c.Prefix), c.opts()...)
	for keys.Next() {
		c.keys = append(c.keys, keys.Value().Key)
	}
	return keys.Err()
}

func (c *call) sample() error {
	snapshot, err := c.cache.Snapshot()
	if err != nil {
		return err
	}
	there := false
	for _, sample := range snapshot.Samples() {
		matching := 0
		for _, label := range sample.Labels {
			if value, asked := c.Labels[label.Name]; asked && value == label.Value {
				matching++
			}
		}
		if sample.Name == c.Name && matching == len(c.Labels) {
			there = true
			c.number += int64(sample.Value)
		}
	}
	return c.found(there, nil)
}

func (c *call) open() error {
	cache, err := open(c.Settings)
	if err == nil {
		cache.Close()
	}
	return err
}

func (c *call) janitorStart() (err error) {
	c.handle.janitor, err = c.cache.StartJanitor(c.Interval.Duration)
	return err
}

func (c *call) janitorStop() error {
	timeout := 5 * time.Second
	if c.Timeout != nil {
		timeout = c.Timeout.Duration
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.handle.janitor.Stop(ctx)
}

func (c *call) sleep() error {
	time.Sleep(c.Sleep.Duration)
	return nil
}

// ---- Loads -------------------------------------------------------------------------------------------------------------------

func (c *call) loadBegin() error {
	entry, load, err := c.cache.Begin(ctx, string(c.Key), c.opts()...)
	c.scene.keep(c.Load, load)
	c.show(entry)
	c.lease = load != nil
	switch {
	case entry == nil:
		c.outcome = "lease"
	case entry.Stale:
		c.outcome = "stale"
	}
	return err
}

func (c *call) loadFill() (err error) {
	data, format := encoded(&c.content)
	c.version, err = c.scene.load(c.Load).Fill(ctx, data, append(c.opts(), pgcache.Format(format))...)
	return err
}

// encoded is what Typed does by itself.
func encoded(c *content) ([]byte, pgcache.ValueFormat) {
	if c.Value != nil {
		return []byte(*c.Value), pgcache.FormatBytes
	}
	data, err := pgcache.JSON.Encode(c.given())
	if err != nil {
		panic(err)
	}
	return data, pgcache.FormatJSON
}

func (c *call) loadFillAbsent() error { return c.scene.load(c.Load).FillAbsent(ctx, c.opts()...) }

func (c *call) loadFail() error {
	entry, err := c.scene.load(c.Load).Fail(ctx, c.opts()...)
	c.show(entry)
	c.outcome = "stale"
	return err
}

func (c *call) loadAbandon() error { return c.scene.load(c.Load).Abandon(ctx, c.opts()...) }

func (c *call) loadExtend() error {
	return c.scene.load(c.Load).Extend(ctx, c.Lease.Duration)
}

func (c *call) getOrLoad() error {
	value, err := c.typed.GetOrLoad(ctx, string(c.Key), func(context.Context) (any, error) {
		atomic.AddInt64(c.loads, 1)
		l := c.Loader
		time.Sleep(l.Sleep.Duration)
		for i := range l.Steps {
			if why := l.Steps[i].do(c.scene, new(int64)); why != "" {
				return nil, errors.New("in the loader: " + why)
			}
		}
		switch {
		case l.Fails:
			return nil, errLoader
		case l.Absent:
			return nil, pgcache.ErrMiss
		}
		return l.given(), nil
	}, c.opts()...)
	c.value, c.format = value, pgcache.FormatJSON
	if _, ok := value.([]byte); ok {
		c.format = pgcache.FormatBytes
	}
	return err
}
