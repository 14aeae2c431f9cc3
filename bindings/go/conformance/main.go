// SPDX-License-Identifier: MIT

// Conformance is Go's runner of tests/conformance, whose README says what it does. It uses the public face alone.
//
// Usage: conformance run|write|serve CASES, or conformance read CASES LANGUAGE...
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

const language = "go"

var passed, failed int

func tell(prefix, name, why string) {
	if why == "" {
		passed++
		fmt.Printf("ok %s%s\n", prefix, name)
	} else {
		failed++
		fmt.Printf("not ok %s%s: %s\n", prefix, name, strings.ReplaceAll(why, "\n", " "))
	}
}

func skips(prefix, name string, without map[string]string) bool {
	why, skipped := without[language]
	if skipped {
		fmt.Printf("skipped %s%s: %s\n", prefix, name, why)
	}
	return skipped
}

func decodeInto(text []byte, into any) error { return json.Unmarshal(text, into) }

func main() {
	if err := work(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func work(words []string) error {
	if len(words) < 2 {
		return errors.New("usage: conformance run|write|serve CASES, or read CASES and languages")
	}
	t, err := readTable(words[1])
	if err != nil {
		return err
	}
	cache, err := open(t.Settings)
	if err != nil {
		return err
	}
	defer cache.Close()
	if _, err := cache.Init(ctx); err != nil {
		return err
	}
	switch words[0] {
	case "run":
		err = run(t, cache)
	case "write":
		return write(t, cache)
	case "read":
		read(t, cache, words[2:])
	case "serve":
		return serve(t)
	default:
		return errors.New("no such work: " + words[0])
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	return err
}

func run(t *table, cache *pgcache.Cache) error {
	for i := range t.Cases {
		one := &t.Cases[i]
		if skips("", one.Name, one.Without) {
			continue
		}
		if _, err := cache.FlushAll(ctx); err != nil {
			return err
		}
		s, why := newScene(t, one), ""
		for n := range one.Steps {
			if why = one.Steps[n].do(s, new(int64)); why != "" {
				why = fmt.Sprintf("step %d, %s: %s", n, one.Steps[n].Do, why)
				break
			}
		}
		tell("", one.Name, why)
		s.close()
	}
	return nil
}

// ---- Vectors -----------------------------------------------------------------------------------------------------------------

func (v *vector) isFrom(language string) bool {
	_, without := v.Without[language]
	from := v.From == nil
	for _, one := range v.From {
		from = from || one == language
	}
	return from && !without
}

func write(t *table, cache *pgcache.Cache) error {
	typed := pgcache.NewTyped[any](cache, pgcache.TTL(pgcache.Forever))
	for i := range t.Values {
		if v := &t.Values[i]; v.isFrom(language) {
			if _, err := typed.Put(ctx, string(v.Key), v.given(), pgcache.Namespace(language)); err != nil {
				return fmt.Errorf("%s: %w", v.Name, err)
			}
		}
	}
	for _, d := range t.Digests {
		_, err := typed.Put(ctx, string(d.Key), []byte(language), pgcache.Namespace(string(d.Namespace)))
		if err != nil {
			return err
		}
	}
	return nil
}

func read(t *table, cache *pgcache.Cache, languages []string) {
	for _, from := range languages {
		prefix := "from " + from + ": "
		typed := pgcache.NewTyped[any](cache, pgcache.Namespace(from))
		for i := range t.Values {
			if v := &t.Values[i]; v.isFrom(from) && !skips(prefix, v.Name, v.Without) {
				entry, err := typed.GetEntry(ctx, string(v.Key))
				tell(prefix, v.Name, v.judge(entry, err))
			}
		}
	}
}

// judge says what is wrong with what a reader got.
func (v *vector) judge(entry pgcache.TypedEntry[any], err error) string {
	odd := v.Format != nil && *v.Format > int32(pgcache.FormatJSON)
	switch {
	case !v.Unreadable && !odd && err == nil:
		wanted := v.content
		if wanted.JSON != nil {
			wanted.Value = nil
		}
		return wanted.differs(entry.Value, entry.Format)
	case !v.Unreadable && !odd:
		return err.Error()
	case !errors.Is(err, pgcache.ErrFormat):
		return fmt.Sprint("no error of its format, but ", err)
	case odd && !strings.Contains(err.Error(), strconv.Itoa(int(*v.Format))):
		return "the error does not name the format: " + err.Error()
	}
	return ""
}

// ---- Single steps ---------------------------------------------------------------------------------------------------------------

func serve(t *table) error {
	var s *scene
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		var which, number int
		var err error
		if len(words) >= 2 {
			which, err = strconv.Atoi(words[1])
		}
		switch {
		case err == nil && len(words) == 2 && words[0] == "begin":
			if s != nil {
				s.close()
			}
			s = newScene(t, &t.Cases[which])
			s.serving = true
			fmt.Println("ok")
		case err == nil && len(words) >= 3 && words[0] == "step" && s != nil:
			if number, err = strconv.Atoi(words[2]); err != nil {
				return err
			}
			if err = s.takeSaved(words[3:]); err != nil {
				return err
			}
			fmt.Println(answer(s, &t.Cases[which].Steps[number]))
		default:
			return errors.New("cannot understand: " + lines.Text())
		}
	}
	if s != nil {
		s.close()
	}
	return lines.Err()
}

func (s *scene) takeSaved(words []string) error {
	for _, word := range words {
		name, text, _ := strings.Cut(word, "=")
		version, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		s.save(name, version)
	}
	return nil
}

func answer(s *scene, one *step) string {
	loads := new(int64)
	if why := one.do(s, loads); why != "" {
		return "not ok: " + strings.ReplaceAll(why, "\n", " ")
	}
	line := "ok"
	if one.Save != "" {
		line += fmt.Sprintf(" %s=%d", one.Save, s.version(one.Save))
	}
	if one.Loader != nil {
		line += fmt.Sprintf(" loads=%d", atomic.LoadInt64(loads))
	}
	return line
}
