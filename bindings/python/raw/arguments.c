/*
 * arguments.c - see convert.h. What Python gives, as arguments of the library. Nothing is copied: what is pointed to is kept by the
 * arguments of the call, which do not change: bytes, texts and tuples.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "convert.h"

#include <string.h>

static int fail(const char *message) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  error.status = PGCACHE_INVALID;
  PyOS_snprintf(error.message, sizeof error.message, "%s", message);
  py_raise(&error, NULL);
  return 0;
}

/* ---- Bytes and texts ---- */

/* Without a buffer to release: a bytes or a str. */
static int read_plain(PyObject *object, const void **data, size_t *len) {
  Py_ssize_t size;
  if (PyBytes_Check(object)) {
    *data = PyBytes_AS_STRING(object);
    size = PyBytes_GET_SIZE(object);
  } else if (PyUnicode_Check(object)) {
    *data = PyUnicode_AsUTF8AndSize(object, &size); /* the str keeps it */
    if (*data == NULL)
      return 0;
  } else {
    PyErr_Format(PyExc_TypeError, "bytes or str is needed, not %.200s", Py_TYPE(object)->tp_name);
    return 0;
  }
  *len = (size_t)size;
  return 1;
}

int py_read_bytes(PyObject *object, Py_buffer *view, const void **data, size_t *len) {
  if (PyBytes_Check(object) || PyUnicode_Check(object) || !PyObject_CheckBuffer(object))
    return read_plain(object, data, len);
  if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
    return 0;
  *data = view->buf;
  *len = (size_t)view->len;
  return 1;
}

int py_read_text(PyObject *object, const char **out) {
  const void *data;
  size_t len;
  *out = NULL;
  if (object == Py_None)
    return 1;
  if (!read_plain(object, &data, &len))
    return 0;
  if (strlen(data) != len)
    return fail("a name or setting holds a NUL byte, which is not allowed");
  *out = data;
  return 1;
}

/* ---- Numbers ---- */

int py_read_int64(PyObject *object, int64_t *out) {
  long long number = PyLong_AsLongLong(object);
  if (number == -1 && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError))
      return 0;
    PyErr_Clear();
    return fail("a number does not fit 64 bits");
  }
  *out = number;
  return 1;
}

int py_read_int32(PyObject *object, int32_t *out) {
  int64_t number = 0;
  if (!py_read_int64(object, &number))
    return 0;
  if (number < INT32_MIN || number > INT32_MAX)
    return fail("a number does not fit 32 bits");
  *out = (int32_t)number;
  return 1;
}

/* The elements of a tuple of just so many. */
static PyObject *const *elements(PyObject *object, Py_ssize_t count, const char *what) {
  if (PyTuple_Check(object) && PyTuple_GET_SIZE(object) == count)
    return ((PyTupleObject *)object)->ob_item;
  PyErr_Format(PyExc_TypeError, "%s is a tuple of %zd", what, count);
  return NULL;
}

/* ---- Structs ---- */

int py_read_dependencies(PyObject *object, pgcache_dependency **out, size_t *count) {
  *out = NULL;
  *count = 0;
  if (!PyTuple_Check(object)) {
    PyErr_SetString(PyExc_TypeError, "dependencies are a tuple of (kind, name)");
    return 0;
  }
  Py_ssize_t size = PyTuple_GET_SIZE(object);
  if (size == 0)
    return 1;
  pgcache_dependency *made = PyMem_Calloc((size_t)size, sizeof *made);
  if (made == NULL) {
    PyErr_NoMemory();
    return 0;
  }
  for (Py_ssize_t i = 0; i < size; i++) {
    PyObject *const *pair = elements(PyTuple_GET_ITEM(object, i), 2, "a dependency");
    int32_t kind = 0;
    if (pair == NULL || !py_read_int32(pair[0], &kind) || !read_plain(pair[1], &made[i].name, &made[i].name_len)) {
      PyMem_Free(made);
      return 0;
    }
    made[i].struct_size = sizeof *made;
    made[i].kind = (pgcache_dependency_kind)kind;
  }
  *out = made;
  *count = (size_t)size;
  return 1;
}

int py_read_options(PyObject *object, pgcache_options *out, pgcache_dependency **dependencies) {
  *out = (pgcache_options)PGCACHE_OPTIONS_INIT;
  PyObject *const *from = elements(object, 6, "options");
  int32_t read_mode = 0;
  int64_t token = 0;
  if (from == NULL || !py_read_int64(from[0], &out->deadline_ms) || !py_read_text(from[1], &out->namespace_name) ||
      !py_read_text(from[2], &out->span_name) || !py_read_int32(from[3], &read_mode) ||
      !py_read_int64(from[4], &token) || !py_read_dependencies(from[5], dependencies, &out->dependency_count))
    return 0;
  out->read_mode = (pgcache_read_mode)read_mode;
  out->token = (uint64_t)token;
  out->dependencies = *dependencies;
  return 1;
}

int py_read_load_options(PyObject *object, pgcache_load_options *out) {
  *out = (pgcache_load_options)PGCACHE_LOAD_OPTIONS_INIT;
  PyObject *const *from = elements(object, 9, "load options");
  return from != NULL && py_read_int64(from[0], &out->ttl_ms) && py_read_int64(from[1], &out->stale_ms) &&
         py_read_int64(from[2], &out->fail_safe_ms) && py_read_int64(from[3], &out->throttle_ms) &&
         py_read_int64(from[4], &out->absent_ttl_ms) && py_read_int64(from[5], &out->lease_ms) &&
         py_read_int64(from[6], &out->wait_ms) && py_read_int32(from[7], &out->jitter_percent) &&
         py_read_int32(from[8], &out->early_percent);
}

int py_read_progress(PyObject *object, pgcache_cleanup_progress *out) {
  *out = (pgcache_cleanup_progress)PGCACHE_CLEANUP_PROGRESS_INIT;
  PyObject *const *from = elements(object, 3, "progress");
  return from != NULL && py_read_int32(from[0], &out->restart) && py_read_int64(from[1], &out->removed) &&
         py_read_int64(from[2], &out->evicted);
}

/* ---- Many keys ---- */

static int read_item(PyObject *object, pgcache_item *out) {
  *out = (pgcache_item)PGCACHE_ITEM_INIT;
  if (!PyTuple_Check(object))
    return read_plain(object, &out->key, &out->key_len);
  PyObject *const *from = elements(object, 4, "an item");
  return from != NULL && read_plain(from[0], &out->key, &out->key_len) &&
         read_plain(from[1], &out->value, &out->value_len) && py_read_int64(from[2], &out->ttl_ms) &&
         py_read_int32(from[3], &out->format);
}

int py_read_batch(PyObject *object, py_batch *out) {
  out->sequence = PySequence_Tuple(object); /* nobody else can change this one */
  if (out->sequence == NULL)
    return 0;
  size_t count = (size_t)PyTuple_GET_SIZE(out->sequence);
  out->items = PyMem_Calloc(count > 0 ? count : 1, sizeof *out->items);
  if (out->items == NULL) {
    PyErr_NoMemory();
    return 0;
  }
  for (; out->count < count; out->count++)
    if (!read_item(PyTuple_GET_ITEM(out->sequence, (Py_ssize_t)out->count), &out->items[out->count]))
      return 0;
  return 1;
}

void py_free_batch(py_batch *batch) {
  for (size_t i = 0; i < batch->count; i++)
    pgcache_value_free(batch->items[i].result);
  PyMem_Free(batch->items);
  Py_XDECREF(batch->sequence);
}

void *py_page(PyObject *number, size_t element, int is_struct, size_t *len) {
  int64_t wanted = 0;
  if (!py_read_int64(number, &wanted))
    return NULL;
  *len = wanted >= 0 ? (size_t)wanted : SIZE_MAX;
  char *page = PyMem_Calloc(PGCACHE_BATCH_MAX, element);
  if (page == NULL)
    PyErr_NoMemory();
  for (size_t i = 0; is_struct && page != NULL && i < PGCACHE_BATCH_MAX; i++)
    memcpy(page + i * element, &element, sizeof element);
  return page;
}
