/*
 * python.i - the raw layer of Python, `pgcache._pgcache`: private; people use the package pgcache.
 *
 * A function gives its status, or a tuple of the status and its outputs in the header's order. A negative status raises an exception,
 * which holds the outputs. Arguments are those of the header without outputs and the error:
 *   bytes              bytes, str (as UTF-8) or anything with a buffer
 *   options            None, or (deadline_ms, namespace, span_name, read_mode, token, dependencies)
 *   how                None, or (ttl_ms, stale_ms, fail_safe_ms, throttle_ms, absent_ttl_ms, lease_ms, wait_ms, jitter_percent, early_percent)
 *   dependencies, what a tuple of (kind, name)
 *   items              a sequence of keys, or of (key, value, ttl_ms, format)
 *   a page             how many there may be; gives a list
 *   progress           (restart, removed, evicted)
 * A value is (data, format, version, ttl_ms, stale), a struct a dictionary, a handle and the like an Owned object, which frees
 * itself. Only functions that may wait give other threads the interpreter meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */

%begin %{
#define PY_SSIZE_T_CLEAN
%}

%{
#include "convert.h"
%}

%include <stdint.i>

%nothread;
%define %may_wait(FUNCTION)
%thread FUNCTION;
%enddef

/* What fails leaves its exception, which the import raises: what this stands in returns one thing or another, by SWIG's version. */
%init %{
  (void)py_add_to(m);
%}

/* ---- What Python needs no function for: structs are filled in C, values are tuples, and what is owned frees itself ---- */

%ignore pgcache_error;
%ignore pgcache_error_init;
%ignore pgcache_options;
%ignore pgcache_options_init;
%ignore pgcache_load_options;
%ignore pgcache_load_options_init;
%ignore pgcache_dependency;
%ignore pgcache_setting;
%ignore pgcache_item;
%ignore pgcache_cleanup_progress;
%ignore pgcache_usage;
%ignore pgcache_store_stats;
%ignore pgcache_counters;
%ignore pgcache_event;
%ignore pgcache_value_data;
%ignore pgcache_value_size;
%ignore pgcache_value_version;
%ignore pgcache_value_format;
%ignore pgcache_value_ttl_ms;
%ignore pgcache_value_is_stale;
%ignore pgcache_value_retain;
%ignore pgcache_value_free;
%ignore pgcache_config_free;
%ignore pgcache_free;
%ignore pgcache_load_free;
%ignore pgcache_janitor_free;
%ignore pgcache_snapshot_free;
%ignore pgcache_observer_free;
%ignore pgcache_event_free;
%ignore pgcache_completion_free;

/* ---- Statuses and errors ---- */

%typemap(out) pgcache_status "$result = PyLong_FromLong($1);"

/* The last argument, and so the last to be looked at: all outputs are in the result already. */
%typemap(in, numinputs=0) pgcache_error *error (pgcache_error failure) {
  failure = (pgcache_error)PGCACHE_ERROR_INIT;
  $1 = &failure;
}
%typemap(argout) pgcache_error *error {
  if (result < 0) {
    $1->status = result;
    py_raise($1, $result);
    SWIG_fail;
  }
  if ($result == NULL) SWIG_fail;
}

/* ---- Bytes and texts ---- */

%typemap(in) (const void *key, size_t key_len) (Py_buffer view) {
  view.obj = NULL;
  if (!py_read_bytes($input, &view, (const void **)&$1, &$2)) SWIG_fail;
}
%typemap(arginit) (const void *key, size_t key_len) "view$argnum.obj = NULL;"
%typemap(freearg) (const void *key, size_t key_len) {
  if (view$argnum.obj != NULL) PyBuffer_Release(&view$argnum);
}

%typemap(in) (void *buffer, size_t buffer_len) (Py_buffer room) {
  if (PyObject_GetBuffer($input, &room, PyBUF_WRITABLE) < 0) SWIG_fail;
  $1 = room.buf;
  $2 = (size_t)room.len;
}
%typemap(arginit) (void *buffer, size_t buffer_len) "room$argnum.obj = NULL;"
%typemap(freearg) (void *buffer, size_t buffer_len) {
  if (room$argnum.obj != NULL) PyBuffer_Release(&room$argnum);
}

%typemap(in) const char * {
  if (!py_read_text($input, (const char **)&$1)) SWIG_fail;
}
%typemap(freearg) const char * ""
%typemap(out) const char * "$result = py_text($1);"

/* ---- What is owned ---- */

%define %owned(KIND, TYPE, PARENT)
%typemap(in) TYPE * (PyObject *owner) {
  void *pointer;
  if (!py_read_owned($input, &KIND, &pointer)) SWIG_fail;
  $1 = pointer;
  owner = $input;
  (void)owner;
}
%typemap(in, numinputs=0) TYPE ** (TYPE *made) {
  made = NULL;
  $1 = &made;
}
%typemap(argout) TYPE ** "$result = py_append($result, py_own(&KIND, *$1, PARENT));"
%apply TYPE * { const TYPE * };
%enddef

%owned(py_handle, pgcache, NULL)
%owned(py_config, pgcache_config, NULL)
%owned(py_janitor, pgcache_janitor, NULL)
%owned(py_snapshot, pgcache_snapshot, NULL)
/* These have to be freed before their handle, which is the first argument of what makes them; or, of a completion, its parent. */
%owned(py_load, pgcache_load, owner1)
%owned(py_observer, pgcache_observer, owner1)
%owned(py_completion, pgcache_completion, owner1)
%typemap(out) pgcache_load * "$result = py_own(&py_load, $1, py_parent(owner1));"

/* ---- Inputs ---- */

%typemap(in) int64_t "if (!py_read_int64($input, &$1)) SWIG_fail;"
%typemap(in) int32_t "if (!py_read_int32($input, &$1)) SWIG_fail;"

%typemap(in) const pgcache_options *options (pgcache_options options, pgcache_dependency *names) {
  $1 = NULL;
  if ($input != Py_None) {
    if (!py_read_options($input, &options, &names)) SWIG_fail;
    $1 = &options;
  }
}
%typemap(arginit) const pgcache_options *options "names$argnum = NULL;"
%typemap(freearg) const pgcache_options *options "PyMem_Free(names$argnum);"

%typemap(in) const pgcache_load_options *how (pgcache_load_options plan) {
  $1 = NULL;
  if ($input != Py_None) {
    if (!py_read_load_options($input, &plan)) SWIG_fail;
    $1 = &plan;
  }
}

%typemap(in) (const pgcache_dependency *what, size_t count) (pgcache_dependency *names) {
  if (!py_read_dependencies($input, &names, &$2)) SWIG_fail;
  $1 = names;
}
%typemap(arginit) (const pgcache_dependency *what, size_t count) "names$argnum = NULL;"
%typemap(freearg) (const pgcache_dependency *what, size_t count) "PyMem_Free(names$argnum);"

%typemap(in) (const pgcache_item *items, size_t count) (py_batch batch) {
  if (!py_read_batch($input, &batch)) SWIG_fail;
  $1 = batch.items;
  $2 = batch.count;
}
%typemap(arginit) (const pgcache_item *items, size_t count) "memset(&batch$argnum, 0, sizeof batch$argnum);"
%typemap(freearg) (const pgcache_item *items, size_t count) "py_free_batch(&batch$argnum);"
%apply (const pgcache_item *items, size_t count) { (pgcache_item *items, size_t count) };
%typemap(argout) (pgcache_item *items, size_t count) "$result = py_append($result, py_items($1, $2));"

%typemap(in) pgcache_cleanup_progress *progress (pgcache_cleanup_progress progress) {
  if (!py_read_progress($input, &progress)) SWIG_fail;
  $1 = &progress;
}
%apply pgcache_cleanup_progress *progress { const pgcache_cleanup_progress *progress };
%typemap(argout) pgcache_cleanup_progress *progress "$result = py_append($result, py_progress($1));"
%typemap(argout) const pgcache_cleanup_progress *progress ""

/* ---- Outputs ---- */

%define %number_out(TYPE, NAME, MAKE)
%typemap(in, numinputs=0) TYPE *NAME (TYPE number) {
  number = 0;
  $1 = &number;
}
%typemap(argout) TYPE *NAME "$result = py_append($result, MAKE(*$1));"
%enddef
%number_out(int64_t, version, PyLong_FromLongLong)
%number_out(int64_t, counter, PyLong_FromLongLong)
%number_out(int64_t, removed, PyLong_FromLongLong)
%number_out(uint64_t, id, PyLong_FromUnsignedLongLong)
%number_out(size_t, value_size, PyLong_FromSize_t)
%number_out(int, fd, PyLong_FromLong)

%typemap(in, numinputs=0) pgcache_value ** (pgcache_value *found) {
  found = NULL;
  $1 = &found;
}
%typemap(argout) pgcache_value ** "$result = py_append($result, py_take_value(*$1));"
%typemap(out) pgcache_value * "$result = py_value($1);"

%define %struct_out(TYPE, INIT, MAKE)
%typemap(in, numinputs=0) TYPE *out (TYPE made) {
  made = (TYPE)INIT;
  $1 = &made;
}
%typemap(argout) TYPE *out "$result = py_append($result, MAKE($1));"
%typemap(out) const TYPE * "$result = MAKE($1);"
%enddef
%struct_out(pgcache_setting, PGCACHE_SETTING_INIT, py_setting)
%struct_out(pgcache_store_stats, PGCACHE_STORE_STATS_INIT, py_stats)
%struct_out(pgcache_counters, PGCACHE_COUNTERS_INIT, py_counters)
%typemap(out) const pgcache_usage * "$result = py_usage($1);"
%typemap(out) const pgcache_cleanup_progress * "$result = py_progress($1);"
%typemap(out) const pgcache_item * "$result = py_item($1);"

%typemap(in, numinputs=0) pgcache_event ** (pgcache_event *event) {
  event = NULL;
  $1 = &event;
}
%typemap(argout) pgcache_event ** {
  $result = py_append($result, *$1 != NULL ? py_take_event(*$1) : Py_NewRef(Py_None));
}

/* Pages: the library sets the first *count elements. */
%define %page_out(ARGUMENTS, ELEMENT, IS_STRUCT, MAKE)
%typemap(in) ARGUMENTS (void *page, size_t count) {
  count = 0;
  page = py_page($input, sizeof(ELEMENT), IS_STRUCT, &$2);
  if (page == NULL) SWIG_fail;
  $1 = page;
  $3 = &count;
}
%typemap(arginit) ARGUMENTS "page$argnum = NULL;"
%typemap(freearg) ARGUMENTS "PyMem_Free(page$argnum);"
%typemap(argout) ARGUMENTS "$result = py_append($result, MAKE($1, *$3));"
%enddef
%page_out(%arg((pgcache_value **keys, size_t keys_len, size_t *count)), pgcache_value *, 0, py_take_values)
%page_out(%arg((pgcache_usage *out, size_t out_len, size_t *count)), pgcache_usage, 1, py_usages)
%page_out(%arg((pgcache_snapshot **out, size_t room, size_t *count)), pgcache_snapshot *, 0, py_take_snapshots)
