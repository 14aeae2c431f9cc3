// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// A call is one caller's step: what it says, and what came of it.
type call struct {
	*step
	scene    *scene
	handle   *handle
	cache    *pgcache.Cache
	typed    *pgcache.Typed[any]
	loads    *int64 // how often the step's loader ran
	reversed bool   // numbered keys in reverse order

	// what came of it:
	outcome string // "": that of the error
	value   any
	format  pgcache.ValueFormat
	ttl     time.Duration
	stale   bool
	version int64
	lease   bool
	number  int64
	entries any
	expired int64
	keys    []string
	why     string
}

// do does a step, as often and by as many callers as it says. "": all is as it has to be.
func (s *step) do(scene *scene, loads *int64) string {
	until := time.Now().Add(s.Within.Duration)
	for {
		why := s.attempt(scene, loads)
		if why == "" || !time.Now().Before(until) {
			return why
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *step) attempt(scene *scene, loads *int64) string {
	callers := s.Callers
	if callers == 0 {
		callers = 1
	}
	results := make([]string, callers)
	var all sync.WaitGroup
	for i := range results {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			results[i] = s.once(scene, loads, i%2 == 1)
		}()
	}
	all.Wait()
	for _, why := range results {
		if why != "" {
			return why
		}
	}
	return ""
}

func (s *step) once(scene *scene, loads *int64, reversed bool) string {
	h := scene.handle(s.By)
	c := &call{step: s, scene: scene, handle: h, cache: h.cache, typed: pgcache.NewTyped[any](h.cache), loads: loads,
		reversed: reversed}
	perform, ok := operations[s.Do]
	if !ok {
		return "no such operation: " + s.Do
	}
	c.compare(perform(c))
	if c.why == "" && s.Save != "" {
		scene.save(s.Save, c.version)
	}
	return c.why
}

// opts are the options that a step's members stand for.
func (c *call) opts() []pgcache.Option {
	var list []pgcache.Option
	add := func(option func(time.Duration) pgcache.Option, s *span) {
		if s != nil && !s.byDefault {
			list = append(list, option(s.Duration))
		}
	}
	add(pgcache.TTL, c.TTL)
	add(pgcache.Stale, c.Stale)
	add(pgcache.FailSafe, c.FailSafe)
	add(pgcache.Throttle, c.Throttle)
	add(pgcache.AbsentTTL, c.AbsentTTL)
	add(pgcache.Wait, c.Wait)
	add(pgcache.Lease, c.Lease)
	add(pgcache.Timeout, c.Deadline)
	if c.Namespace != nil {
		list = append(list, pgcache.Namespace(string(*c.Namespace)))
	}
	if c.Read == "store" {
		list = append(list, pgcache.FromStore())
	}
	keys := c.DependsOn
	if c.Do == "invalidate" || c.Do == "dependents" {
		keys = c.Keys
	}
	return append(list, pgcache.Span(string(c.SpanName)), pgcache.Tags(texts(c.Tags)...), pgcache.Keys(texts(keys)...),
		pgcache.Initial(c.Initial), pgcache.Jitter(c.Jitter), pgcache.Early(c.Early))
}

var errLoader = errors.New("the loader of the case fails")

func wordOf(err error) string {
	var failure *pgcache.Error
	var status pgcache.Status
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errLoader):
		return "failed"
	case errors.As(err, &failure):
		status = failure.Status
	case !errors.As(err, &status):
		return "?"
	}
	return strings.ToLower(strings.TrimPrefix(status.Name(), "PGCACHE_"))
}

func (c *call) compare(err error) {
	expected := c.Expect
	if expected == "" {
		expected = "ok"
	}
	outcome := c.outcome
	if outcome == "" || err != nil {
		outcome = wordOf(err)
	}
	switch g := &c.Gives; {
	case c.why != "":
	case outcome != expected:
		c.why = fmt.Sprintf("gave %s, not %s: %v", outcome, expected, err)
	case c.Newer != "" && c.version <= c.scene.version(c.Newer):
		c.why = "the version is not higher than " + c.Newer
	case g.Version != "" && c.version != c.scene.version(g.Version):
		c.why = "the version is not " + g.Version
	case g.TTL != nil && !c.lives(g.TTL):
		c.why = fmt.Sprint("it lives for ", c.ttl)
	case g.Stale != nil && *g.Stale != c.stale:
		c.why = fmt.Sprint("it is stale: ", c.stale)
	case g.Lease != nil && *g.Lease != c.lease:
		c.why = fmt.Sprint("it came with a lease: ", c.lease)
	case g.Loads != nil && !c.scene.serving && atomic.LoadInt64(c.loads) != *g.Loads:
		c.why = fmt.Sprintf("the loader ran %d times", atomic.LoadInt64(c.loads))
	case g.Number != nil && *g.Number != c.number:
		c.why = fmt.Sprint("the number is ", c.number)
	case g.Expired != nil && *g.Expired != c.expired:
		c.why = fmt.Sprint("expired are ", c.expired)
	case g.Entries != nil && !sameJSON(c.entries, g.Entries):
		c.why = fmt.Sprint("entries are ", c.entries)
	case g.Keys != nil && !reflect.DeepEqual(c.keys, texts(*g.Keys)):
		c.why = fmt.Sprintf("the keys are %q", c.keys)
	default:
		c.why = g.differs(c.value, c.format)
	}
}

func (c *call) lives(wanted json.RawMessage) bool {
	if wanted[0] == '"' {
		return c.ttl == pgcache.Forever
	}
	var bounds [2]int64
	err := json.Unmarshal(wanted, &bounds)
	ms := c.ttl.Milliseconds()
	return err == nil && c.ttl != pgcache.Forever && bounds[0] <= ms && ms <= bounds[1]
}

func sameJSON(found any, wanted json.RawMessage) bool {
	text, err := json.Marshal(found)
	a, one := document(text)
	b, other := document(wanted)
	return err == nil && one && other && equal(a, b)
}
