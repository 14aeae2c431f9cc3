// SPDX-License-Identifier: MIT

package main

import (
	"sync"

	pgcache "github.com/pgcache/pgcache/bindings/go"
)

// A scene is what the steps of one case have in common: handles, loads, saved versions.
type scene struct {
	settings []map[string]string // of the file, of the case
	serving  bool                // other runners take part

	mutex   sync.Mutex
	handles map[string]*handle
	loads   map[string]*pgcache.Load
	saved   map[string]int64
}

type handle struct {
	cache   *pgcache.Cache
	janitor *pgcache.Janitor
}

func newScene(t *table, of *scenario) *scene {
	return &scene{settings: []map[string]string{t.Settings, of.Settings}, handles: map[string]*handle{},
		loads: map[string]*pgcache.Load{}, saved: map[string]int64{}}
}

// open makes a cache as the environment and these settings say.
func open(settings ...map[string]string) (*pgcache.Cache, error) {
	options := []pgcache.OpenOption{pgcache.JanitorEvery(0)}
	for _, some := range settings {
		for name, value := range some {
			options = append(options, pgcache.Setting(name, value))
		}
	}
	return pgcache.Open("", options...)
}

func (s *scene) handle(name string) *handle {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if name == "" {
		name = "a"
	}
	if s.handles[name] == nil {
		cache, err := open(s.settings...)
		if err != nil {
			panic(err)
		}
		s.handles[name] = &handle{cache: cache}
	}
	return s.handles[name]
}

func (s *scene) load(name string) *pgcache.Load {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.loads[name]
}

// keep puts a load in the place of that of an attempt before.
func (s *scene) keep(name string, load *pgcache.Load) {
	s.mutex.Lock()
	before := s.loads[name]
	s.loads[name] = load
	s.mutex.Unlock()
	if before != nil {
		before.Close()
	}
}

func (s *scene) save(name string, version int64) {
	s.mutex.Lock()
	s.saved[name] = version
	s.mutex.Unlock()
}

func (s *scene) version(name string) int64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	version, ok := s.saved[name]
	if !ok {
		panic("no version was saved as " + name)
	}
	return version
}

func (s *scene) close() {
	for _, load := range s.loads {
		if load != nil {
			load.Close()
		}
	}
	for _, h := range s.handles {
		h.cache.Close()
	}
}
