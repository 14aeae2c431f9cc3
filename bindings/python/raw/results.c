/*
 * results.c - see convert.h. What the library gives, as objects of Python.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "convert.h"

#include <string.h>

/* ---- Statuses, outputs, errors ---- */

PyObject *py_append(PyObject *result, PyObject *output) {
  if (result == NULL || output == NULL) {
    Py_XDECREF(result);
    Py_XDECREF(output);
    return NULL;
  }
  if (!PyTuple_Check(result)) {
    PyObject *pair = PyTuple_New(2);
    if (pair == NULL) {
      Py_DECREF(result);
      Py_DECREF(output);
      return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, result);
    PyTuple_SET_ITEM(pair, 1, output);
    return pair;
  }
  Py_ssize_t size = PyTuple_GET_SIZE(result);
  if (_PyTuple_Resize(&result, size + 1) < 0) {
    Py_DECREF(output);
    return NULL;
  }
  PyTuple_SET_ITEM(result, size, output);
  return result;
}

static PyObject *make_exception; /* of the face */

/* Every import of the package comes here. What is static here belongs to one interpreter. */
PyObject *py_raise_with(PyObject *module, PyObject *function) {
  (void)module;
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "pgcache works in the main interpreter of a process alone");
    return NULL;
  }
  Py_INCREF(function);
  Py_XSETREF(make_exception, function);
  Py_RETURN_NONE;
}

void py_raise(const pgcache_error *error, PyObject *outputs) {
  if (make_exception == NULL) {
    Py_XDECREF(outputs);
    PyErr_Format(PyExc_RuntimeError, "%s: %s", pgcache_status_name(error->status), error->message);
    return;
  }
  PyObject *message = py_text(error->message[0] != '\0' ? error->message : pgcache_status_text(error->status));
  PyObject *sqlstate = py_text(error->sqlstate);
  PyObject *exception = message == NULL || sqlstate == NULL
                            ? NULL
                            : PyObject_CallFunction(make_exception, "iOOO", (int)error->status, message, sqlstate,
                                                    outputs != NULL ? outputs : Py_None);
  if (exception != NULL)
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
  Py_XDECREF(exception);
  Py_XDECREF(message);
  Py_XDECREF(sqlstate);
  Py_XDECREF(outputs);
}

/* ---- Texts and values ---- */

/* Span names may be any bytes: what is no UTF-8 is shown with backslashes. */
PyObject *py_text(const char *text) {
  if (text == NULL)
    Py_RETURN_NONE;
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
}

static PyObject *bytes_of(const void *data, size_t size) {
  if (data == NULL)
    Py_RETURN_NONE;
  return PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

PyObject *py_value(const pgcache_value *value) {
  if (value == NULL)
    Py_RETURN_NONE;
  return Py_BuildValue("(NiLLO)", bytes_of(pgcache_value_data(value), pgcache_value_size(value)),
                       (int)pgcache_value_format(value), (long long)pgcache_value_version(value),
                       (long long)pgcache_value_ttl_ms(value), pgcache_value_is_stale(value) ? Py_True : Py_False);
}

PyObject *py_take_value(pgcache_value *value) {
  PyObject *made = py_value(value);
  pgcache_value_free(value);
  return made;
}

/* A list of what make() gives of each element. */
static PyObject *list_of(const void *elements, size_t count, size_t size, PyObject *(*make)(const void *element)) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list != NULL && i < count; i++) {
    PyObject *made = make((const char *)elements + i * size);
    if (made == NULL)
      Py_CLEAR(list);
    else
      PyList_SET_ITEM(list, (Py_ssize_t)i, made);
  }
  return list;
}

static PyObject *value_at(const void *element) {
  return py_value(*(pgcache_value *const *)element);
}

PyObject *py_take_values(pgcache_value **values, size_t count) {
  PyObject *list = list_of(values, count, sizeof *values, value_at);
  for (size_t i = 0; i < count; i++)
    pgcache_value_free(values[i]);
  return list;
}

PyObject *py_take_snapshots(pgcache_snapshot **snapshots, size_t count) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; i < count; i++) {
    PyObject *made = list != NULL ? py_own(&py_snapshot, snapshots[i], NULL) : NULL;
    if (list == NULL)
      pgcache_snapshot_free(snapshots[i]);
    else if (made == NULL)
      Py_CLEAR(list);
    else
      PyList_SET_ITEM(list, (Py_ssize_t)i, made);
  }
  return list;
}

static PyObject *item_at(const void *element) {
  return py_item(element);
}

PyObject *py_item(const pgcache_item *item) {
  if (item == NULL)
    Py_RETURN_NONE;
  return Py_BuildValue("(iLN)", (int)item->status, (long long)item->version, py_value(item->result));
}

PyObject *py_items(const pgcache_item *items, size_t count) {
  return list_of(items, count, sizeof *items, item_at);
}

/* ---- Structs, as dictionaries: by a table of their fields, which a test compares with the header ---- */

typedef enum field_kind { END, INT32, INT64, SIZE, TEXT, CHARS, KEY } field_kind;

typedef struct field {
  const char *name;
  size_t offset;
  field_kind kind;
} field;

static PyObject *field_of(const void *from, const field *self) {
  const char *at = (const char *)from + self->offset;
  switch (self->kind) {
  case INT32:
    return PyLong_FromLong(*(const int32_t *)(const void *)at);
  case INT64:
    return PyLong_FromLongLong(*(const int64_t *)(const void *)at);
  case SIZE:
    return PyLong_FromSize_t(*(const size_t *)(const void *)at);
  case TEXT:
    return py_text(*(const char *const *)(const void *)at);
  case CHARS:
    return py_text(at);
  default: {
    const pgcache_event *event = from;
    return bytes_of(event->key, event->key_len);
  }
  }
}

static PyObject *dictionary(const void *from, const field *fields) {
  if (from == NULL)
    Py_RETURN_NONE;
  PyObject *made = PyDict_New();
  for (; made != NULL && fields->kind != END; fields++) {
    PyObject *value = field_of(from, fields);
    if (value == NULL || PyDict_SetItemString(made, fields->name, value) < 0)
      Py_CLEAR(made);
    Py_XDECREF(value);
  }
  return made;
}

#define FIELD(NAME, KIND)                                                                                              \
  { #NAME, offsetof(STRUCT, NAME), KIND }

#define STRUCT pgcache_setting
PyObject *py_setting(const pgcache_setting *from) {
  static const field fields[] = {FIELD(name, TEXT),        FIELD(default_value, TEXT), FIELD(allowed, TEXT),
                                 FIELD(environment, TEXT), FIELD(description, TEXT),   {NULL, 0, END}};
  return dictionary(from, fields);
}

#undef STRUCT
#define STRUCT pgcache_store_stats
PyObject *py_stats(const pgcache_store_stats *from) {
  static const field fields[] = {FIELD(entries, INT64),
                                 FIELD(expired, INT64),
                                 FIELD(value_bytes, INT64),
                                 FIELD(relation_bytes, INT64),
                                 FIELD(schema_version, INT32),
                                 FIELD(epoch, INT32),
                                 FIELD(logged, INT32),
                                 FIELD(pool_open, INT32),
                                 FIELD(pool_idle, INT32),
                                 FIELD(server_version, INT32),
                                 {NULL, 0, END}};
  return dictionary(from, fields);
}

#undef STRUCT
#define STRUCT pgcache_cleanup_progress
PyObject *py_progress(const pgcache_cleanup_progress *from) {
  static const field fields[] = {FIELD(restart, INT32),     FIELD(busy, INT32),    FIELD(finished, INT32),
                                 FIELD(evicting, INT32),    FIELD(removed, INT64), FIELD(evicted, INT64),
                                 FIELD(blocks_done, INT64), FIELD(blocks, INT64),  {NULL, 0, END}};
  return dictionary(from, fields);
}

#undef STRUCT
#define STRUCT pgcache_usage
PyObject *py_usage(const pgcache_usage *from) {
  static const field fields[] = {
      FIELD(namespace_name, CHARS), FIELD(entries, INT64),   FIELD(bytes, INT64), FIELD(expired, INT64),
      FIELD(max_entries, INT64),    FIELD(max_bytes, INT64), {NULL, 0, END}};
  return dictionary(from, fields);
}

static PyObject *usage_at(const void *element) {
  return py_usage(element);
}

PyObject *py_usages(const pgcache_usage *from, size_t count) {
  return list_of(from, count, sizeof *from, usage_at);
}

#undef STRUCT
#define STRUCT pgcache_event
PyObject *py_take_event(pgcache_event *event) {
  static const field fields[] = {FIELD(kind, INT32),        FIELD(level, INT32),  FIELD(operation, TEXT),
                                 FIELD(outcome, TEXT),      FIELD(source, TEXT),  FIELD(namespace_name, TEXT),
                                 FIELD(span_name, TEXT),    FIELD(message, TEXT), FIELD(sqlstate, TEXT),
                                 FIELD(status, INT32),      FIELD(key, KEY),      FIELD(key_count, SIZE),
                                 FIELD(bytes, INT64),       FIELD(number, INT64), FIELD(began_us, INT64),
                                 FIELD(duration_ns, INT64), {NULL, 0, END}};
  PyObject *made = dictionary(event, fields);
  pgcache_event_free(event);
  return made;
}

/* Every field of the counters is an int64_t behind the size, and their names stand in the header. */
#undef STRUCT
#define STRUCT pgcache_counters
#define COUNT(NAME) FIELD(NAME, INT64)
PyObject *py_counters(const pgcache_counters *from) {
  static const field fields[] = {COUNT(connections_opened),
                                 COUNT(connections_lost),
                                 COUNT(breaker_opened),
                                 COUNT(breaker_refused),
                                 COUNT(reads_failed),
                                 COUNT(values_refused),
                                 COUNT(entries_touched),
                                 COUNT(entries_evicted),
                                 COUNT(cleanup_failures),
                                 COUNT(summaries_published),
                                 COUNT(publish_failures),
                                 COUNT(near_hits),
                                 COUNT(near_absent_hits),
                                 COUNT(near_misses),
                                 COUNT(near_fills),
                                 COUNT(near_fills_refused),
                                 COUNT(near_invalidations),
                                 COUNT(near_evictions),
                                 COUNT(near_lapses),
                                 COUNT(near_flushes),
                                 COUNT(near_flushes_start),
                                 COUNT(near_flushes_epoch),
                                 COUNT(near_flushes_gap),
                                 COUNT(near_flushes_stream),
                                 COUNT(near_entries),
                                 COUNT(near_bytes),
                                 COUNT(near_polls),
                                 COUNT(near_messages),
                                 COUNT(near_messages_refused),
                                 COUNT(near_gaps),
                                 COUNT(near_audited),
                                 COUNT(near_disagreements),
                                 COUNT(loads),
                                 COUNT(load_waits),
                                 COUNT(load_stale),
                                 COUNT(load_fills),
                                 COUNT(load_fills_refused),
                                 COUNT(load_failures),
                                 COUNT(invalidations),
                                 {NULL, 0, END}};
  return dictionary(from, fields);
}
