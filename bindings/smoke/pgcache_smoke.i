/*
 * pgcache_smoke.i - the smallest SWIG interface over the public header: shows that a raw layer for Python, Go and Ruby
 * can be generated from it as it is.
 *
 * Owns the typemaps that any binding needs at least; is no binding for users, and must never hide a fault of the header
 * by declaring something again.
 *
 * SPDX-License-Identifier: MIT
 */
%module pgcache_smoke

%begin %{
/* Python: bytes, not text, on both sides. */
#define SWIG_PYTHON_STRICT_BYTE_CHAR
#define PY_SSIZE_T_CLEAN
%}

%{
#include "pgcache.h"
%}

/* 451: a setter of a `const char *` member leaks the text set before; these are set once, or by the library.
   801: Ruby's classes begin with a capital, and SWIG does as much. */
#pragma SWIG nowarn=451,801

%include <stdint.i>
%include <cpointer.i>
%include <cdata.i>

/* Keys, values and prefixes are byte strings of the language, NUL bytes included. */
%apply (char *STRING, size_t LENGTH) {
  (const void *key, size_t key_len),
  (const void *value, size_t value_len),
  (const void *prefix, size_t prefix_len),
  (const void *after, size_t after_len)
};

/* Room for results: new_value_out() is a `pgcache_value **`, value_out_value() what it points to. */
%pointer_functions(pgcache *, handle_out)
%pointer_functions(pgcache_config *, config_out)
%pointer_functions(pgcache_value *, value_out)
%pointer_functions(int64_t, int64_out)

/* The INIT macros are for C alone; the init functions want the size. */
%constant size_t PGCACHE_ERROR_SIZE = sizeof(pgcache_error);
%constant size_t PGCACHE_OPTIONS_SIZE = sizeof(pgcache_options);

%include "pgcache.h"
