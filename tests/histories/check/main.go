// main.go - reads histories of operations on the cache and says whether each key's is linearizable, with Porcupine.
//
// A history is a file of lines "key kind value expected call return status value version", with times in nanoseconds; a
// return of 0 is never. The key * stands for all keys.
//
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

type history map[string][]porcupine.Operation

func read(path string) (history, int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	keys := history{}
	var all []porcupine.Operation // of every key
	count := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if lines.Text() == "" || lines.Text()[0] == '#' {
			continue
		}
		var key string
		var in input
		var out output
		var call, back int64
		if _, err := fmt.Sscan(lines.Text(), &key, &in.kind, &in.value, &in.expected, &call, &back, &out.status, &out.value,
			&out.version); err != nil {
			return nil, 0, fmt.Errorf("%s: %q: %v", path, lines.Text(), err)
		}
		if back == 0 {
			back = math.MaxInt64
		}
		operation := porcupine.Operation{Input: in, Output: out, Call: call, Return: back}
		if key == "*" {
			all = append(all, operation)
		} else {
			keys[key] = append(keys[key], operation)
			count++
		}
	}
	for key, operations := range keys {
		first, last := int64(math.MaxInt64), int64(0)
		for _, operation := range operations {
			if operation.Call < first {
				first = operation.Call
			}
			if operation.Return < math.MaxInt64 && operation.Return > last {
				last = operation.Return
			}
		}
		for _, operation := range all {
			if operation.Call <= last && operation.Return >= first {
				keys[key] = append(keys[key], operation)
			}
		}
	}
	return keys, count, nil
}

// A version that two answered writes of a key were given; 0: none. It never repeats.
func repeated(operations []porcupine.Operation) int64 {
	seen := map[int64]bool{}
	for _, operation := range operations {
		kind, out := operation.Input.(input).kind, operation.Output.(output)
		if kind == "get" || out.version == 0 {
			continue
		}
		if seen[out.version] {
			return out.version
		}
		seen[out.version] = true
	}
	return 0
}

func show(key string, operations []porcupine.Operation) {
	sort.Slice(operations, func(a, b int) bool { return operations[a].Call < operations[b].Call })
	fmt.Printf("  WRONG: no order of these operations on %s explains what they gave:\n", key)
	first := operations[0].Call
	for _, operation := range operations {
		back := "never"
		if operation.Return < math.MaxInt64 {
			back = fmt.Sprintf("%.3f", float64(operation.Return-first)/1e6)
		}
		fmt.Printf("    %.3f to %s ms: %s\n", float64(operation.Call-first)/1e6, back,
			describe(operation.Input, operation.Output))
	}
}

type verdict struct {
	keys, operations, unanswered, wrong, open int
}

func check(keys history, limit time.Duration, verbose bool) verdict {
	found := verdict{keys: len(keys)}
	names := make(chan string)
	var lock sync.Mutex
	var workers sync.WaitGroup
	for i := 0; i < runtime.GOMAXPROCS(0); i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			rules := model()
			for key := range names {
				operations := keys[key]
				result := porcupine.CheckOperationsTimeout(rules, operations, limit)
				lock.Lock()
				for _, operation := range operations {
					if operation.Return == math.MaxInt64 {
						found.unanswered++
					}
				}
				if twice := repeated(operations); twice != 0 || result == porcupine.Illegal {
					found.wrong++
					if verbose && found.wrong <= 3 {
						show(key, operations)
						if twice != 0 {
							fmt.Printf("    two writes were given the version %d\n", twice)
						}
					}
				} else if result == porcupine.Unknown {
					found.open++
				}
				lock.Unlock()
			}
		}()
	}
	for key := range keys {
		names <- key
	}
	close(names)
	workers.Wait()
	return found
}

func main() {
	limit := flag.Duration("limit", 10*time.Second, "how long to try for each key; then it is inconclusive")
	planted := flag.Bool("planted", false, "each file holds a violation, which must be found")
	flag.Parse()
	failed := false
	for _, path := range flag.Args() {
		began := time.Now()
		keys, count, err := read(path)
		if err != nil || count == 0 {
			fmt.Printf("  WRONG: %s holds no history: %v\n", path, err)
			os.Exit(2)
		}
		found := check(keys, *limit, !*planted)
		found.operations = count
		tooOpen := found.open*100 > found.keys
		bad := found.wrong > 0 || tooOpen
		if *planted {
			bad = found.wrong == 0
		}
		failed = failed || bad
		word := "linearizable"
		switch {
		case *planted && bad:
			word = "WRONG: the planted violation was not found"
		case *planted:
			word = "the planted violation was found"
		case found.wrong > 0:
			word = "WRONG: not linearizable"
		case tooOpen:
			word = "WRONG: too many inconclusive"
		}
		fmt.Printf("%s: %d operations on %d keys, %d without an answer, %d keys wrong, %d inconclusive, %.1f s: %s\n", path,
			found.operations, found.keys, found.unanswered, found.wrong, found.open, time.Since(began).Seconds(), word)
	}
	if failed {
		os.Exit(1)
	}
}
