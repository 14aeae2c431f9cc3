/*
 * go.i - how the raw layer of Go passes what the header has; included by pgcache.i.
 *
 * Go's rule is that memory given to C holds no pointers to Go's memory. So keys and values are carried as string headers, by value;
 * what holds pointers (options, items, dependencies) is put together in C, from what glue.h says. Handles are pointers to types
 * without content, out-parameters are pointers to variables, and structs without pointers are given as they are: the face knows
 * their layout, and its tests compare it with the sizes below.
 *
 * SPDX-License-Identifier: MIT
 */

%include <stdint.i>

%{
#include "glue.h"
%}

/* Goroutines that call C may always wait: the scheduler sees to the others. */
%define %may_wait(FUNCTION)
%enddef

/* ---- Bytes --------------------------------------------------------------------------------------------------------------- */

%typemap(gotype) (const void *key, size_t key_len), (const void *packed, size_t packed_len) "string"
%typemap(imtype) (const void *key, size_t key_len), (const void *packed, size_t packed_len) "string"
%typemap(in) (const void *key, size_t key_len), (const void *packed, size_t packed_len) { $1 = $input.p; $2 = (size_t)$input.n; }
%apply (const void *key, size_t key_len) { (const void *value, size_t value_len) }

/* A buffer that C writes to goes the same way: a slice's header begins with a string's. */
%typemap(gotype) (void *buffer, size_t buffer_len) "[]byte"
%typemap(imtype) (void *buffer, size_t buffer_len) "string"
%typemap(goin) (void *buffer, size_t buffer_len) "$result = *(*string)(unsafe.Pointer(&$input))"
%typemap(in) (void *buffer, size_t buffer_len) { $1 = $input.p; $2 = (size_t)$input.n; }

/* Memory of C's that is read where it is. */
%typemap(gotype) const char *, const void * "*byte"
%typemap(imtype) const char *, const void * "*byte"
%typemap(goout) const char *, const void * "$result = $1"
%typemap(out) const char *, const void * "$result = (void *)$1;"

/* Text for C: SWIG's own typemap copies it and ends it with NUL. */
%define %terminated(NAME)
%typemap(gotype) const char *NAME "string"
%typemap(imtype) const char *NAME "string"
%enddef
%terminated(name)
%terminated(value)
%terminated(after)
/* Empty: from the beginning, which is NULL in C. */
%typemap(check) const char *after "if (*$1 == '\\0') { free($1); $1 = NULL; }"

/* ---- Handles and structs ----------------------------------------------------------------------------------------------------- */

/* The types are in handles.go. */
%define %handle(TYPE, GO)
%typemap(gotype) TYPE *, const TYPE * "*GO"
%typemap(gotype) TYPE ** "**GO"
%enddef
%handle(pgcache, Cache)
%handle(pgcache_config, Config)
%handle(pgcache_value, Value)
%handle(pgcache_load, Load)
%handle(pgcache_janitor, Janitor)
%handle(pgcache_snapshot, Snapshot)
%handle(pgcache_observer, Observer)
%handle(pgcache_completion, Completion)
%handle(pgcache_go_items, Items)
%handle(pgcache_go_dependencies, Dependencies)

/* Structs whose layout the face knows. */
%define %layout(TYPE)
%ignore TYPE;
%typemap(gotype) TYPE *, const TYPE * "unsafe.Pointer"
%constant int SIZE_##TYPE = sizeof(TYPE);
%enddef
%layout(pgcache_error)
%layout(pgcache_load_options)
%layout(pgcache_setting)
%layout(pgcache_cleanup_progress)
%layout(pgcache_usage)
%layout(pgcache_store_stats)
%layout(pgcache_counters)
%layout(pgcache_event)
%layout(pgcache_item)
%layout(pgcache_go_options)
%layout(pgcache_go_found)
%layout(pgcache_go_done)
%layout(pgcache_go_head)
%typemap(gotype) pgcache_event ** "*unsafe.Pointer"

/* Those with pointers inside. */
%ignore pgcache_options;
%ignore pgcache_dependency;
%ignore pgcache_go_dependencies;
%ignore pgcache_go_items;
%typemap(gotype) pgcache_options *, const pgcache_options *options "unsafe.Pointer"
%typemap(in) const pgcache_options *options (pgcache_options given) { $1 = (pgcache_options *)pgcache_go_options_of(&given, (void *)$input); }
%typemap(gotype) (pgcache_item *items, size_t count), (const pgcache_item *items, size_t count) "*Items"
%typemap(in) (pgcache_item *items, size_t count), (const pgcache_item *items, size_t count) {
  pgcache_go_items *given = (void *)$input;
  $1 = given == NULL ? NULL : given->items;
  $2 = given == NULL ? 0 : given->count;
}
%typemap(gotype) (const pgcache_dependency *what, size_t count) "*Dependencies"
%typemap(in) (const pgcache_dependency *what, size_t count) {
  pgcache_go_dependencies *given = (void *)$input;
  $1 = given == NULL ? NULL : given->array;
  $2 = given == NULL ? 0 : given->count;
}

%typemap(gotype) int64_t *, const int64_t * "*int64"
%typemap(gotype) uint64_t * "*uint64"
%typemap(gotype) size_t * "*uint64"
%typemap(gotype) int *fd "*int32"
%typemap(gotype) pgcache_status, enum SWIGTYPE "int32"

/* For C alone. */
%ignore PGCACHE_VERSION_STRING;

%rename("%(regex:/^(?:pgcache_|PGCACHE_)(.*)$/\\1/)s") ""; /* pgcache.i says so too late for these */
%include "internal/raw/glue.h"
