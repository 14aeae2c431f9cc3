// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
	"time"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// What tests/conformance/cases.json says, see the README beside it. A member that is not here is refused.
type table struct {
	Settings map[string]string `json:"settings"`
	Cases    []scenario        `json:"cases"`
	Values   []vector          `json:"values"`
	Digests  []struct {
		Namespace octets `json:"namespace"`
		Key       octets `json:"key"`
		Digest    string `json:"digest"`
	} `json:"digests"`
}

type scenario struct {
	Name     string              `json:"name"`
	Steps    []step              `json:"steps"`
	Settings map[string]string   `json:"settings"`
	Without  map[string]string   `json:"without"`
	Alone    string              `json:"alone"`
	Roles    map[string][]string `json:"roles"`
}

// content is a value to write or to compare: bytes, or a document.
type content struct {
	Value  *octets         `json:"value"`
	JSON   json.RawMessage `json:"json"`
	Format *int32          `json:"format"`
}

type vector struct {
	content
	Name       string            `json:"name"`
	Key        octets            `json:"key"`
	From       []string          `json:"from"`
	Without    map[string]string `json:"without"`
	Unreadable bool              `json:"unreadable"`
}

type item struct {
	content
	Key octets `json:"key"`
}

type step struct {
	content
	Do        string            `json:"do"`
	By        string            `json:"by"`
	Key       octets            `json:"key"`
	Keys      []octets          `json:"keys"`
	Namespace *octets           `json:"namespace"`
	TTL       *span             `json:"ttl_ms"`
	Tags      []octets          `json:"tags"`
	DependsOn []octets          `json:"depends_on"`
	Deadline  *span             `json:"deadline_ms"`
	Read      string            `json:"read"`
	SpanName  octets            `json:"span_name"`
	Expect    string            `json:"expect"`
	SQLState  string            `json:"sqlstate"`
	Gives     gives             `json:"gives"`
	Save      string            `json:"save"`
	Newer     string            `json:"newer"`
	Within    span              `json:"within_ms"`
	Callers   int               `json:"callers"`
	Expected  string            `json:"expected"`
	Delta     *int64            `json:"delta"`
	Initial   int64             `json:"initial"`
	Items     []item            `json:"items"`
	Numbered  *int              `json:"numbered"`
	Scope     string            `json:"scope"`
	Prefix    octets            `json:"prefix"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	Settings  map[string]string `json:"settings"`
	Interval  span              `json:"interval_ms"`
	Timeout   *span             `json:"timeout_ms"`
	Load      string            `json:"load"`
	Stale     *span             `json:"stale_ms"`
	FailSafe  *span             `json:"fail_safe_ms"`
	Throttle  *span             `json:"throttle_ms"`
	AbsentTTL *span             `json:"absent_ttl_ms"`
	Lease     *span             `json:"lease_ms"`
	Wait      *span             `json:"wait_ms"`
	Jitter    int               `json:"jitter_percent"`
	Early     int               `json:"early_percent"`
	Loader    *loader           `json:"loader"`
	Sleep     span              `json:"ms"`
}

type loader struct {
	content
	Absent bool   `json:"absent"`
	Fails  bool   `json:"fails"`
	Sleep  span   `json:"sleep_ms"`
	Steps  []step `json:"steps"`
}

type gives struct {
	content
	Version string            `json:"version"`
	TTL     json.RawMessage   `json:"ttl_ms"`
	Stale   *bool             `json:"stale"`
	Lease   *bool             `json:"lease"`
	Loads   *int64            `json:"loads"`
	Values  []json.RawMessage `json:"values"`
	Number  *int64            `json:"number"`
	Entries json.RawMessage   `json:"entries"`
	Expired *int64            `json:"expired"`
	Keys    *[]octets         `json:"keys"`
}

func readTable(path string) (*table, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	t := new(table)
	return t, decoder.Decode(t)
}

// octets is a byte string: text, or {"hex": "00ff", "times": 2}.
type octets string

func (o *octets) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, (*string)(o))
	}
	var written struct {
		Hex   string `json:"hex"`
		Times *int   `json:"times"`
	}
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	once, err := hex.DecodeString(written.Hex)
	times := 1
	if written.Times != nil {
		times = *written.Times
	}
	*o = octets(strings.Repeat(string(once), times))
	return err
}

func texts(list []octets) []string {
	strings := make([]string, len(list))
	for i, one := range list {
		strings[i] = string(one)
	}
	return strings
}

// span is a number of milliseconds, or "never", or "default", which is as if it were not there; what is no number is 0.
type span struct {
	time.Duration
	byDefault bool
}

func (s *span) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case `"never"`:
		s.Duration = pgcache.Forever
	case `"default"`:
		s.byDefault = true
	case `"nan"`, `"infinity"`:
	default:
		var ms int64
		if err := json.Unmarshal(text, &ms); err != nil {
			return err
		}
		s.Duration = time.Duration(ms) * time.Millisecond
	}
	return nil
}

// document reads JSON with exact numbers; nil, false: it is none.
func document(text []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var read any
	if decoder.Decode(&read) != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return read, err == io.EOF
}

// given is what the face is handed: a []byte, or a document.
func (c *content) given() any {
	if c.Value != nil {
		return []byte(*c.Value)
	}
	read, ok := document(c.JSON)
	if !ok {
		panic("the table has neither a value nor a document to write")
	}
	return read
}

// differs says why what the face gave is not what is wanted; "" if it is.
func (c *content) differs(found any, format pgcache.ValueFormat) string {
	switch {
	case c.Value == nil && c.JSON == nil:
		return ""
	case c.JSON == nil:
		bytes, ok := found.([]byte)
		if !ok || string(bytes) != string(*c.Value) {
			return fmt.Sprintf("other bytes: a %T", found)
		}
	default:
		if wanted, _ := document(c.JSON); !equal(found, wanted) {
			return fmt.Sprintf("another document: %v", found)
		}
	}
	wanted := pgcache.FormatJSON
	if c.Format != nil {
		wanted = pgcache.ValueFormat(*c.Format)
	} else if c.JSON == nil {
		wanted = pgcache.FormatBytes
	}
	if format != wanted {
		return fmt.Sprintf("the format is %d, not %d", format, wanted)
	}
	return ""
}

// equal compares documents; numbers exactly, however they are written.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		other, ok := b.(json.Number)
		x, good := new(big.Rat).SetString(string(a))
		y, too := new(big.Rat).SetString(string(other))
		return ok && good && too && x.Cmp(y) == 0
	case []any:
		other, ok := b.([]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for i := range a {
			if !equal(a[i], other[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for name, value := range a {
			if twin, there := other[name]; !there || !equal(value, twin) {
				return false
			}
		}
		return true
	case []byte:
		return false
	}
	_, isBytes := b.([]byte)
	return !isBytes && a == b
}
