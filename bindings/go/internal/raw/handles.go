// SPDX-License-Identifier: MIT

package raw

// Handles: of C's memory, never looked into.
type (
	// Cache is a pgcache.
	Cache struct{ _ [0]byte }
	// Config is a pgcache_config.
	Config struct{ _ [0]byte }
	// Value is a pgcache_value.
	Value struct{ _ [0]byte }
	// Load is a pgcache_load.
	Load struct{ _ [0]byte }
	// Janitor is a pgcache_janitor.
	Janitor struct{ _ [0]byte }
	// Snapshot is a pgcache_snapshot.
	Snapshot struct{ _ [0]byte }
	// Observer is a pgcache_observer.
	Observer struct{ _ [0]byte }
	// Completion is a pgcache_completion.
	Completion struct{ _ [0]byte }
	// Items is a pgcache_go_items.
	Items struct{ _ [0]byte }
	// Dependencies is a pgcache_go_dependencies.
	Dependencies struct{ _ [0]byte }
)
