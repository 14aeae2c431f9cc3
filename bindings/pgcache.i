/*
 * pgcache.i - what the raw layers of all languages have in common: which functions of the public header there are, under which
 * names, which arguments are bytes, and which calls may wait for the server.
 *
 * The raw layer is private: people use the face that is written by hand over it. It has one function for each of the header, and
 * nothing is called back from C: requests end in completions that are taken, loads in leases that are filled.
 *
 * Must never hide a fault of the header by declaring something again. How a language passes bytes, errors and results is said in
 * its own file, LANGUAGE/LANGUAGE.i, which has to define, before anything of the header is read:
 *   typemaps for (const void *key, size_t key_len)        a byte string of the language, NUL bytes included
 *   typemaps for pgcache_error *error                     not an argument there: a negative status becomes the language's error
 *   %may_wait(FUNCTION)                                   a macro: FUNCTION can wait for the server or for other threads, so that
 *                                                         other threads of the interpreter must be able to run meanwhile
 *
 * SPDX-License-Identifier: MIT
 */
%module raw

%{
#include "pgcache.h"
%}

/* 451: a setter of a `const char *` member leaks the text set before; options are filled in C only.
   801: Ruby's classes begin with a capital, and SWIG does as much. */
#pragma SWIG nowarn=451,801

#if defined(SWIGPYTHON)
%include "python/python.i"
#elif defined(SWIGGO)
%include "go/go.i"
#elif defined(SWIGRUBY)
%include "ruby/ruby.i"
#endif

/* The language has modules or packages; the prefix is C's. */
%rename("%(regex:/^(?:pgcache_|PGCACHE_)(.*)$/\\1/)s") "";

/* Byte strings, all passed alike. */
%apply (const void *key, size_t key_len) {
  (const void *value, size_t value_len),
  (const void *prefix, size_t prefix_len),
  (const void *after, size_t after_len)
};

/* For C and C++ alone: requests are taken as completions instead. */
%ignore pgcache_options::callback;
%ignore pgcache_dispatch;

/* What asks the server, or waits for it or for other threads. Not here, and so cheap: peek, submit_*, take, the counters, the
   snapshot and all that only reads what was given. */
%may_wait(pgcache_new)
%may_wait(pgcache_free)
%may_wait(pgcache_shutdown)
%may_wait(pgcache_init)
%may_wait(pgcache_upgrade)
%may_wait(pgcache_get)
%may_wait(pgcache_get_into)
%may_wait(pgcache_put)
%may_wait(pgcache_add)
%may_wait(pgcache_replace)
%may_wait(pgcache_compare_and_swap)
%may_wait(pgcache_remove)
%may_wait(pgcache_touch)
%may_wait(pgcache_exists)
%may_wait(pgcache_fence)
%may_wait(pgcache_increment)
%may_wait(pgcache_get_many)
%may_wait(pgcache_put_many)
%may_wait(pgcache_remove_many)
%may_wait(pgcache_load_begin)
%may_wait(pgcache_load_fill)
%may_wait(pgcache_load_fill_absent)
%may_wait(pgcache_load_fail)
%may_wait(pgcache_load_abandon)
%may_wait(pgcache_load_extend)
%may_wait(pgcache_load_free)
%may_wait(pgcache_invalidate)
%may_wait(pgcache_dependents)
%may_wait(pgcache_flush)
%may_wait(pgcache_cleanup)
%may_wait(pgcache_cleanup_some)
%may_wait(pgcache_janitor_stop)
%may_wait(pgcache_janitor_free)
%may_wait(pgcache_set_limits)
%may_wait(pgcache_read_usage)
%may_wait(pgcache_stats)
%may_wait(pgcache_doctor)
%may_wait(pgcache_keys)
%may_wait(pgcache_read_published)
%may_wait(pgcache_observer_next)
%may_wait(pgcache_wait)
%may_wait(pgcache_completion_free) /* abandons a load that nobody asked for */

%include "pgcache.h"
