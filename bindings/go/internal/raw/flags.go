// SPDX-License-Identifier: MIT

package raw

// How to compile and link with the library: a file of its own, so that what SWIG writes need not know it.

// #cgo pkg-config: pgcache
import "C"
