// model.go - what a key of the cache may do: its entry, or none, and what each operation finds and leaves.
//
// Owns the rules and nothing else. Must never be stricter than the public header: what cannot be known is allowed.
//
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// What is asked of a key.
type input struct {
	kind     string
	value    int64 // put, add, replace, cas: what is stored; incr: what is added
	expected int64 // cas: the version; incr: the number to begin with
}

// What came back. A write whose status is UNKNOWN may have happened, may happen at any later time, or never.
type output struct {
	status  string
	value   int64 // get: the value; incr: the counter
	version int64
}

// version: of the entry; if it is not known, because the write's answer never came, it is above that number.
type state struct {
	present bool
	known   bool
	value   int64
	version int64
}

var none = state{}

// The entry after a write that was answered: none if its version is not above the one before it.
func written(before state, value int64, out output) []interface{} {
	if before.present && out.version <= before.version {
		return nil
	}
	return []interface{}{state{present: true, known: true, value: value, version: out.version}}
}

// The entry after a write that took effect without an answer.
func unanswered(before state, value int64) []interface{} {
	return []interface{}{state{present: true, value: value, version: before.version}}
}

func stays(now state) []interface{} { return []interface{}{now} }

func when(condition bool, now state) []interface{} {
	if condition {
		return stays(now)
	}
	return nil
}

// Whether the entry has, or can have, this version.
func mayHave(now state, version int64) bool {
	return now.present && (now.known && now.version == version || !now.known && now.version < version)
}

// All states that the operation may leave; none: it cannot have happened in this one.
func step(before, in, out interface{}) []interface{} {
	now, asked, got := before.(state), in.(input), out.(output)
	unknown := got.status == "UNKNOWN"
	switch asked.kind {
	case "get":
		if got.status == "MISS" {
			return when(!now.present, now)
		}
		if !mayHave(now, got.version) || now.value != got.value {
			return nil
		}
		return stays(state{present: true, known: true, value: now.value, version: got.version})
	case "exists":
		return when(now.present == (got.status == "OK"), now)
	case "put":
		if unknown {
			return unanswered(now, asked.value)
		}
		return written(now, asked.value, got)
	case "add":
		if unknown && !now.present {
			return unanswered(now, asked.value)
		}
		if unknown || got.status == "EXISTS" {
			return when(unknown || now.present, now)
		}
		if now.present {
			return nil
		}
		return written(now, asked.value, got)
	case "replace":
		if unknown && now.present {
			return unanswered(now, asked.value)
		}
		if unknown || got.status == "MISS" {
			return when(unknown || !now.present, now)
		}
		if !now.present {
			return nil
		}
		return written(now, asked.value, got)
	case "cas":
		return compareAndSwap(now, asked, got)
	case "remove":
		if unknown {
			return stays(none)
		}
		if now.present != (got.status == "OK") {
			return nil
		}
		return stays(none)
	case "touch":
		if unknown && now.present {
			return unanswered(now, now.value)
		}
		if unknown || got.status == "MISS" {
			return when(unknown || !now.present, now)
		}
		if !now.present {
			return nil
		}
		return written(now, now.value, got)
	case "incr":
		sum := asked.expected + asked.value
		if now.present {
			sum = now.value + asked.value
		}
		if unknown {
			return unanswered(now, sum)
		}
		if got.value != sum {
			return nil
		}
		return written(now, sum, got)
	case "wipe":
		return stays(none)
	}
	panic("no operation is called " + asked.kind)
}

func compareAndSwap(now state, asked input, got output) []interface{} {
	switch got.status {
	case "OK":
		if !mayHave(now, asked.expected) || got.version <= asked.expected {
			return nil
		}
		return written(now, asked.value, got)
	case "MISS":
		return when(!now.present, now)
	case "EXISTS":
		return when(now.present && !(now.known && now.version == asked.expected), now)
	}
	var after []interface{}
	if !now.known || now.version != asked.expected {
		after = append(after, now)
	}
	if mayHave(now, asked.expected) {
		after = append(after, state{present: true, value: asked.value, version: asked.expected})
	}
	return after
}

func describe(in, out interface{}) string {
	asked, got := in.(input), out.(output)
	return fmt.Sprintf("%s(%d, %d) %s %d version %d", asked.kind, asked.value, asked.expected, got.status, got.value,
		got.version)
}

func model() porcupine.Model {
	whole := porcupine.NondeterministicModel{
		Init:              func() []interface{} { return []interface{}{none} },
		Step:              step,
		Equal:             func(a, b interface{}) bool { return a == b },
		DescribeOperation: describe,
	}
	return whole.ToModel()
}
