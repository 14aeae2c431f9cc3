// SPDX-License-Identifier: MIT

package pgcache_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

type customer struct {
	ID   int64    `json:"id"`
	Name string   `json:"name"`
	Tags []string `json:"tags,omitempty"`
}

func TestTyped(t *testing.T) {
	t.Parallel()
	c := open(t)
	customers := pgcache.NewTyped[customer](c, pgcache.Namespace("customers"), pgcache.TTL(time.Hour))
	ada := customer{ID: 1<<53 + 1, Name: "Ada <&> \u2028 漢", Tags: []string{"new"}}
	version, err := customers.Put(ctx, "ada", ada)
	no(t, err)
	entry, err := customers.GetEntry(ctx, "ada")
	no(t, err)
	if !reflect.DeepEqual(entry.Value, ada) || entry.Version != version || entry.Format != pgcache.FormatJSON ||
		entry.TTL > time.Hour || entry.TTL < 59*time.Minute {
		t.Fatalf("%+v", entry)
	}
	stored := get(t, c, "ada", pgcache.Namespace("customers"))
	if !strings.Contains(stored, "<&>") || strings.HasSuffix(stored, "\n") {
		t.Fatal("as stored: ", stored)
	}
	_, err = customers.Add(ctx, "ada", ada)
	want(t, err, pgcache.ErrExists)
	_, err = customers.Replace(ctx, "none", ada)
	want(t, err, pgcache.ErrMiss)
	_, err = customers.CompareAndSwap(ctx, "ada", customer{Name: "Bob"}, version)
	no(t, err)
	_, err = customers.PutMany(ctx, []pgcache.TypedItem[customer]{{Key: "c", Value: ada}, {Key: "d", TTL: time.Minute}})
	no(t, err)
	many, err := customers.GetMany(ctx, []string{"ada", "c", "d", "none"})
	no(t, err)
	same(t, len(many), 3)
	same(t, many["ada"].Name+many["c"].Tags[0]+many["d"].Name, "Bobnew")
	removed, err := customers.Remove(ctx, "ada")
	no(t, err)
	same(t, removed, true)
	_, err = customers.Get(ctx, "ada")
	want(t, err, pgcache.ErrMiss)
}

// What is loaded is the same type and value after a miss as after a hit [A74].
func TestTypedGetOrLoad(t *testing.T) {
	t.Parallel()
	c := open(t)
	counts := pgcache.NewTyped[any](c)
	for i := 0; i < 2; i++ {
		count, err := counts.GetOrLoad(ctx, "count", func(context.Context) (any, error) { return 7, nil })
		no(t, err)
		same(t, count.(json.Number), "7")
	}
	_, err := counts.GetOrLoad(ctx, "none", func(context.Context) (any, error) { return nil, pgcache.ErrMiss })
	want(t, err, pgcache.ErrMiss)
	_, err = counts.GetOrLoad(ctx, "odd", func(context.Context) (any, error) { return math.NaN(), nil })
	want(t, err, pgcache.ErrFormat)
	misses(t, c, "odd")
	raw := pgcache.NewTyped[[]byte](c)
	value, err := raw.GetOrLoad(ctx, "bytes", func(context.Context) ([]byte, error) { return []byte{0, 255}, nil })
	no(t, err)
	same(t, string(value), "\x00\xff")
	entry, err := c.GetEntry(ctx, "bytes")
	no(t, err)
	same(t, entry.Format, pgcache.FormatBytes)
}

func TestFormats(t *testing.T) {
	t.Parallel()
	c := open(t)
	put(t, c, "bytes", "\xff")
	put(t, c, "json", `{"n": 9007199254740993, "f": 1e-7}`, pgcache.Format(pgcache.FormatJSON))
	put(t, c, "odd", "secret", pgcache.Format(4242))
	put(t, c, "torn", `{"secret`, pgcache.Format(pgcache.FormatJSON))
	put(t, c, "two", `1 "secret"`, pgcache.Format(pgcache.FormatJSON))
	put(t, c, "utf", "\"secret\xff\"", pgcache.Format(pgcache.FormatJSON))
	anything := pgcache.NewTyped[any](c)
	value, err := anything.Get(ctx, "bytes")
	no(t, err)
	same(t, string(value.([]byte)), "\xff")
	value, err = anything.Get(ctx, "json")
	no(t, err)
	same(t, value.(map[string]any)["n"].(json.Number), "9007199254740993")
	for _, key := range []string{"odd", "torn", "two", "utf"} {
		_, err = anything.Get(ctx, key)
		want(t, err, pgcache.ErrFormat)
		if strings.Contains(err.Error(), "secret") {
			t.Fatal("the value is told: ", err)
		}
		if key == "odd" && !strings.Contains(err.Error(), "4242") {
			t.Fatal("the format is not told: ", err)
		}
	}
	_, err = pgcache.NewTyped[[]byte](c).Get(ctx, "json")
	want(t, err, pgcache.ErrFormat)
	_, err = pgcache.NewTyped[int](c).Get(ctx, "bytes")
	want(t, err, pgcache.ErrFormat)
	_, err = pgcache.NewTyped[int](c).GetMany(ctx, []string{"json", "none"})
	want(t, err, pgcache.ErrFormat)
	for _, value := range []any{math.NaN(), math.Inf(1), make(chan int)} {
		_, err = anything.Put(ctx, "k", value)
		want(t, err, pgcache.ErrFormat)
	}
	_, err = anything.PutMany(ctx, []pgcache.TypedItem[any]{{Key: "a", Value: 1}, {Key: "b", Value: math.NaN()}})
	want(t, err, pgcache.ErrFormat)
	misses(t, c, "a")
}

// The caller's array of options stays his: two goroutines may share it.
func TestOptionsStayTheCallers(t *testing.T) {
	t.Parallel()
	c := open(t)
	shared := append(make([]pgcache.Option, 0, 2), pgcache.TTL(time.Minute))
	_, err := pgcache.NewTyped[string](c).Put(ctx, "k", "text", shared...)
	no(t, err)
	if shared[:2][1] != nil {
		t.Error("an option was written behind the caller's")
	}
}

// What is bytes is stored as such, whatever the options say.
func TestTypedPutManySetsTheFormat(t *testing.T) {
	t.Parallel()
	c := open(t)
	_, err := pgcache.NewTyped[[]byte](c, pgcache.Format(pgcache.FormatJSON)).PutMany(ctx,
		[]pgcache.TypedItem[[]byte]{{Key: "k", Value: []byte("\xff")}})
	no(t, err)
	entry, err := c.GetEntry(ctx, "k")
	no(t, err)
	same(t, entry.Format, pgcache.FormatBytes)
}

func TestTypedBesideValues(t *testing.T) {
	t.Parallel()
	c := open(t)
	view := pgcache.NewTyped[map[string]int](c, pgcache.Namespace("view"))
	_, err := view.Put(ctx, "k", map[string]int{"a": 1})
	no(t, err)
	there, err := view.Exists(ctx, "k")
	no(t, err)
	same(t, there, true)
	_, err = view.Touch(ctx, "k", pgcache.TTL(time.Minute))
	no(t, err)
	entry, err := view.GetEntry(ctx, "k", pgcache.FromStore())
	no(t, err)
	if entry.TTL > time.Minute {
		t.Fatal(entry.TTL)
	}
	removed, err := view.RemoveMany(ctx, []string{"k", "none"})
	no(t, err)
	same(t, removed, 1)
	put(t, c, "half", `{"a": 1, "b": "no number"}`, pgcache.Format(pgcache.FormatJSON), pgcache.Namespace("view"))
	half, err := view.Get(ctx, "half")
	want(t, err, pgcache.ErrFormat)
	if half != nil {
		t.Fatal("half a value: ", half)
	}
}

// upper is a codec of the application's.
type upper struct{}

func (upper) Format() pgcache.ValueFormat      { return 100 }
func (upper) Encode(value any) ([]byte, error) { return []byte(strings.ToUpper(value.(string))), nil }
func (upper) Decode(data []byte, to any) error {
	switch to := to.(type) {
	case *string:
		*to = string(data)
		return nil
	}
	return fmt.Errorf("%s into a %T", data, to)
}

func TestCodec(t *testing.T) {
	t.Parallel()
	c := open(t)
	texts := pgcache.NewTyped[string](c)
	_, err := texts.Put(ctx, "as JSON", "text")
	no(t, err)
	shouting := texts.WithCodec(upper{})
	_, err = shouting.Put(ctx, "k", "text")
	no(t, err)
	value, err := shouting.Get(ctx, "k")
	no(t, err)
	same(t, value, "TEXT")
	value, err = shouting.Get(ctx, "as JSON")
	no(t, err)
	same(t, value, "text")
	_, err = texts.Get(ctx, "k")
	want(t, err, pgcache.ErrFormat)
	_, err = pgcache.NewTyped[int](c).WithCodec(upper{}).Get(ctx, "k")
	want(t, err, pgcache.ErrFormat)
	if strings.Contains(err.Error(), "TEXT") {
		t.Fatal("the value is told: ", err)
	}
}
