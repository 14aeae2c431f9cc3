// SPDX-License-Identifier: MIT

//go:build !race

package pgcache_test

// underRace says whether the race detector is at work.
const underRace = false
