// SPDX-License-Identifier: MIT

// Package raw is the C library as it is, one function for each of abi/pgcache.h, and those of glue.h, whose names begin with Go.
//
// raw.go and raw_wrap.c are written by SWIG from bindings/pgcache.i and committed, so that nobody who uses the module needs SWIG;
// "make generate-golang" writes them anew. The package is private: use pgcache.
package raw
