/*
 * convert.h - what Python objects are in C, and the other way round, for the typemaps of python.i.
 *
 * Owns the rules that keep memory safe: a pointer of the library lives in an Owned object, which frees it when nobody can use it any
 * more, and so never while a call on it is under way. What else the library gives is copied into Python's own objects and freed at once.
 * Nothing here calls Python code but to make an exception, and nothing asks the server.
 *
 * Functions that give a PyObject give a new reference, or NULL with an exception set; those that read one give 0 and an exception.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_PYTHON_CONVERT_H
#define PGCACHE_PYTHON_CONVERT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pgcache.h>

/* ---- Pointers that have an owner ---- */

/* What an Owned object owns. */
typedef struct py_kind {
  const char *name;
  void (*free)(void *);
} py_kind;

extern const py_kind py_handle, py_config, py_load, py_janitor, py_snapshot, py_observer, py_completion;

/* Takes the pointer, also when it fails. NULL gives None. parent: what must not be freed before, or NULL. */
PyObject *py_own(const py_kind *kind, void *pointer, PyObject *parent);
int py_read_owned(PyObject *object, const py_kind *kind, void **out);
/* What py_own() was given; borrowed. */
PyObject *py_parent(PyObject *owned);

/* ---- Results ---- */

/* The result of a call so far, with one more output: a status becomes a tuple. Takes both. */
PyObject *py_append(PyObject *result, PyObject *output);

/* Raises what a call failed with. outputs, which it takes, is what the call gave all the same. */
void py_raise(const pgcache_error *error, PyObject *outputs);
/* The function that makes exceptions: (status, message, sqlstate, outputs) -> exception. */
PyObject *py_raise_with(PyObject *module, PyObject *function);

/* (data, format, version, ttl_ms, stale); None for NULL. */
PyObject *py_value(const pgcache_value *value);
/* The same, and the value is freed. */
PyObject *py_take_value(pgcache_value *value);
PyObject *py_take_values(pgcache_value **values, size_t count);
PyObject *py_text(const char *text);
PyObject *py_setting(const pgcache_setting *from);
PyObject *py_stats(const pgcache_store_stats *from);
PyObject *py_counters(const pgcache_counters *from);
PyObject *py_progress(const pgcache_cleanup_progress *from);
PyObject *py_usage(const pgcache_usage *from);
PyObject *py_usages(const pgcache_usage *from, size_t count);
PyObject *py_take_event(pgcache_event *event);
PyObject *py_take_snapshots(pgcache_snapshot **snapshots, size_t count);
/* (status, version, value) */
PyObject *py_item(const pgcache_item *item);
PyObject *py_items(const pgcache_item *items, size_t count);

/* ---- Arguments ---- */

/* Bytes of a bytes, a str (as UTF-8) or anything with a buffer; view keeps that one, and is to be released if it has an obj. */
int py_read_bytes(PyObject *object, Py_buffer *view, const void **data, size_t *len);
/* A text without NUL; None gives NULL. */
int py_read_text(PyObject *object, const char **out);
/* What does not fit is an invalid argument. */
int py_read_int64(PyObject *object, int64_t *out);
int py_read_int32(PyObject *object, int32_t *out);
/* (deadline_ms, namespace, span_name, read_mode, token, dependencies). dependencies is to be freed with PyMem_Free(). */
int py_read_options(PyObject *object, pgcache_options *out, pgcache_dependency **dependencies);
/* (ttl_ms, stale_ms, fail_safe_ms, throttle_ms, absent_ttl_ms, lease_ms, wait_ms, jitter_percent, early_percent) */
int py_read_load_options(PyObject *object, pgcache_load_options *out);
/* A tuple of (kind, name); *out is to be freed with PyMem_Free(). */
int py_read_dependencies(PyObject *object, pgcache_dependency **out, size_t *count);
/* (restart, removed, evicted) */
int py_read_progress(PyObject *object, pgcache_cleanup_progress *out);

/* A sequence of keys, or of (key, value, ttl_ms, format). */
typedef struct py_batch {
  PyObject *sequence; /* keeps what the items point to */
  pgcache_item *items;
  size_t count;
} py_batch;

int py_read_batch(PyObject *object, py_batch *out);
/* Frees also what was found. */
void py_free_batch(py_batch *batch);

/* Room for a page of results, elements of so many bytes; the library refuses what is out of range. In a page of structs each begins with
   its size. */
void *py_page(PyObject *number, size_t element, int is_struct, size_t *len);

/* ---- The near cache ---- */

/* near(handle, key, options): a peek that gives the bytes alone, or (bytes, format) if they are not PGCACHE_FORMAT_BYTES, or None. */
PyObject *py_near(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

/* Adds what is written by hand to the module. 0, or -1 and an exception. */
int py_add_to(PyObject *module);

#endif
