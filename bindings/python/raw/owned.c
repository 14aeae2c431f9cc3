/*
 * owned.c - see convert.h. Objects that own a pointer of the library.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "convert.h"

typedef struct owned {
  PyObject_HEAD const py_kind *kind;
  void *pointer;
  PyObject *parent;
} owned;

#define FREES(NAME, TYPE)                                                                                              \
  static void free_##NAME(void *pointer) {                                                                             \
    TYPE##_free(pointer);                                                                                              \
  }                                                                                                                    \
  const py_kind py_##NAME = {#TYPE, free_##NAME};

FREES(handle, pgcache)
FREES(config, pgcache_config)
FREES(load, pgcache_load)
FREES(janitor, pgcache_janitor)
FREES(snapshot, pgcache_snapshot)
FREES(observer, pgcache_observer)
FREES(completion, pgcache_completion)

/* Several of them wait: for threads that end, or for the server that is told that a load was given up. */
static void owned_dealloc(PyObject *object) {
  owned *self = (owned *)object;
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  Py_BEGIN_ALLOW_THREADS self->kind->free(self->pointer);
  Py_END_ALLOW_THREADS PyErr_Restore(type, value, traceback);
  Py_XDECREF(self->parent); /* last: a load goes before its handle */
  Py_TYPE(object)->tp_free(object);
}

static PyObject *owned_repr(PyObject *object) {
  return PyUnicode_FromFormat("<%s>", ((owned *)object)->kind->name);
}

static PyTypeObject owned_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pgcache._pgcache.Owned",
    .tp_basicsize = sizeof(owned),
    .tp_dealloc = owned_dealloc,
    .tp_repr = owned_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Owns something of the library, and frees it when nobody refers to it any more.",
};

PyObject *py_own(const py_kind *kind, void *pointer, PyObject *parent) {
  if (pointer == NULL)
    Py_RETURN_NONE;
  owned *self = PyObject_New(owned, &owned_type);
  if (self == NULL) {
    kind->free(pointer);
    return NULL;
  }
  self->kind = kind;
  self->pointer = pointer;
  Py_XINCREF(parent);
  self->parent = parent;
  return (PyObject *)self;
}

int py_read_owned(PyObject *object, const py_kind *kind, void **out) {
  if (Py_TYPE(object) == &owned_type && ((owned *)object)->kind == kind) {
    *out = ((owned *)object)->pointer;
    return 1;
  }
  PyErr_Format(PyExc_TypeError, "a %s is needed, not %R", kind->name, object);
  return 0;
}

PyObject *py_parent(PyObject *owned_object) {
  return ((owned *)owned_object)->parent;
}

/* ---- The near cache ---- */

PyObject *py_near(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  pgcache *self;
  Py_buffer view = {0};
  const void *key;
  size_t key_len;
  pgcache_options options, *given = NULL;
  pgcache_dependency *dependencies = NULL;
  pgcache_value *value = NULL;
  if (count != 3) {
    PyErr_SetString(PyExc_TypeError, "near() takes a handle, a key and options");
    return NULL;
  }
  if (!py_read_owned(arguments[0], &py_handle, (void **)&self) || !py_read_bytes(arguments[1], &view, &key, &key_len))
    return NULL;
  PyObject *result = NULL;
  if (arguments[2] != Py_None) {
    if (!py_read_options(arguments[2], &options, &dependencies))
      goto end;
    given = &options;
  }
  pgcache_status status = pgcache_peek(self, &value, key, key_len, given, NULL);
  if (status == PGCACHE_OK) {
    result = PyBytes_FromStringAndSize(pgcache_value_data(value), (Py_ssize_t)pgcache_value_size(value));
    int32_t format = pgcache_value_format(value);
    if (format != PGCACHE_FORMAT_BYTES && result != NULL)
      result = Py_BuildValue("(Ni)", result, (int)format);
    pgcache_value_free(value);
  } else if (status > 0) {
    result = Py_NewRef(Py_None);
  } else { /* once more, for the message */
    pgcache_error error = PGCACHE_ERROR_INIT;
    error.status = status;
    pgcache_value_free(pgcache_peek(self, &value, key, key_len, given, &error) == PGCACHE_OK ? value : NULL);
    py_raise(&error, NULL);
  }
end:
  PyMem_Free(dependencies);
  if (view.obj != NULL)
    PyBuffer_Release(&view);
  return result;
}

int py_add_to(PyObject *module) {
  static PyMethodDef methods[] = {
      {"near", (PyCFunction)(void (*)(void))py_near, METH_FASTCALL,
       "near(handle, key, options): what the near cache holds, without waiting: the bytes, or (bytes, format), or "
       "None"},
      {"raise_with", py_raise_with, METH_O,
       "raise_with(function): function(status, message, sqlstate, outputs) makes exceptions"},
      {NULL, NULL, 0, NULL},
  };
  if (PyType_Ready(&owned_type) < 0)
    return -1;
  Py_INCREF(&owned_type);
  if (PyModule_AddObject(module, "Owned", (PyObject *)&owned_type) < 0) {
    Py_DECREF(&owned_type);
    return -1;
  }
  return PyModule_AddFunctions(module, methods);
}
