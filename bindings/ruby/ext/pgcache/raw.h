/*
 * raw.h - what the raw layer is made of beside what SWIG generates: errors, objects of C in Ruby, and calls that wait without the
 * lock of the interpreter.
 *
 * Must never: free a handle while anything of it is in use, let an exception of Ruby leave a call that has begun, or hold C++
 * objects with destructors where one may be raised.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGCACHE_RUBY_RAW_H
#define PGCACHE_RUBY_RAW_H

#include <vector>

#include <ruby.h>
#include <ruby/thread.h>

#include "pgcache.h"

namespace raw {

/* ---- Errors ---- */

[[noreturn]] inline void fail(pgcache_status status, const char *sqlstate, const char *message) {
  VALUE error = rb_funcall(rb_path2class("PGCache::Error"), rb_intern("of"), 3, INT2NUM(status),
                           rb_utf8_str_new_cstr(sqlstate), rb_utf8_str_new_cstr(message));
  rb_exc_raise(error);
}

inline void check(const pgcache_error *error, pgcache_status status) {
  if (status < 0)
    fail(status, error->sqlstate, error->message);
}

/* ---- Objects ----
   The garbage collector takes objects in any order, a handle before its loads. So a handle is counted: its object, all that has
   to be freed before it, and calls that are under way hold it. All of this is done with the interpreter's lock. */

struct Handle {
  pgcache *cache;
  long holders;
  std::vector<uint64_t> dropped; /* requests of drop_load() whose completions nobody has taken yet */
};

struct Kind {
  const char *name;
  void (*free)(void *pointer, Handle *handle);
  rb_data_type_t type;
  VALUE klass;
};

struct Object {
  void *pointer; /* NULL: freed */
  Handle *handle;
  const Kind *kind;
  int busy;  /* calls that use it without the lock */
  bool gone; /* to be freed by the last of them */
};

/* Freeing a handle waits for threads of the library: others of Ruby run meanwhile, unless this is the garbage collector. */
enum By { CALLER, COLLECTOR };

template <typename Function> void *run(void *function) {
  (*static_cast<Function *>(function))();
  return nullptr;
}

/* False: an interrupt was there, and function() was not called. */
template <typename Function> bool without_lock(Function &function) {
  bool begun = false;
  auto call = [&] {
    begun = true;
    function();
  };
  rb_thread_call_without_gvl2(run<decltype(call)>, &call, nullptr, nullptr);
  return begun;
}

inline void let_go(Handle *handle, By by) {
  if (handle == nullptr || --handle->holders > 0)
    return;
  auto end = [=] { pgcache_free(handle->cache); };
  if (by == COLLECTOR || !without_lock(end))
    end();
  delete handle;
}

inline void free_now(Object *self, By by) {
  void *pointer = self->pointer;
  Handle *handle = self->handle;
  self->pointer = nullptr;
  self->handle = nullptr;
  if (pointer != nullptr)
    self->kind->free(pointer, handle);
  let_go(handle, by);
}

inline void collected(void *data) {
  Object *self = static_cast<Object *>(data);
  free_now(self, COLLECTOR);
  delete self;
}

inline Object *object_of(VALUE object) {
  return static_cast<Object *>(RTYPEDDATA_DATA(object));
}

inline VALUE wrap(void *pointer, const Kind &kind, Handle *handle) {
  if (pointer == nullptr)
    return Qnil;
  if (handle != nullptr)
    handle->holders++;
  return TypedData_Wrap_Struct(kind.klass, &kind.type, (new Object{pointer, handle, &kind, 0, false}));
}

inline void *pointer_of(VALUE object, const Kind &kind) {
  bool right = RB_TYPE_P(object, T_DATA) && RTYPEDDATA_P(object) && RTYPEDDATA_TYPE(object) == &kind.type;
  Object *self = right ? object_of(object) : static_cast<Object *>(rb_check_typeddata(object, &kind.type));
  if (self->pointer == nullptr)
    fail(PGCACHE_CLOSED, "", "it was closed");
  return self->pointer;
}

/* ---- Waiting ---- */

/* Of a call on an object: it keeps the object, and its handle, from being freed. */
template <typename Function> struct Call {
  Object *object;
  Handle *handle;
  Function *function;

  static VALUE begin(VALUE argument) {
    (*reinterpret_cast<Call *>(argument)->function)();
    return Qnil;
  }
  static VALUE end(VALUE argument) {
    Call *self = reinterpret_cast<Call *>(argument);
    if (--self->object->busy == 0 && self->object->gone)
      free_now(self->object, CALLER);
    let_go(self->handle, CALLER);
    return Qnil;
  }
};

/* What function() does with the object may raise, or be interrupted. */
template <typename Function> void holding(VALUE object, Function function) {
  Object *self = object_of(object);
  Call<Function> call = {self, self->handle, &function};
  self->busy++;
  if (self->handle != nullptr)
    self->handle->holders++;
  rb_ensure(call.begin, reinterpret_cast<VALUE>(&call), call.end, reinterpret_cast<VALUE>(&call));
  RB_GC_GUARD(object);
}

/* Other threads of Ruby run meanwhile. An interrupt (Thread#kill, Timeout, a signal) that is there already is raised before the
   call begins, and one that comes later when its results are safe in objects: nothing that the call gave may be lost. */
template <typename Function> void waiting(VALUE object, Function function) {
  holding(object, [&] {
    do
      rb_thread_check_ints();
    while (!without_lock(function));
  });
}

/* Raises an interrupt as whatever blocks does, which Thread.handle_interrupt tells apart. */
inline void check_interrupts() {
  auto nothing = [] {};
  rb_thread_call_without_gvl(run<decltype(nothing)>, &nothing, nullptr, nullptr);
}

/* Frees an object before the garbage collector does; twice does no harm. */
inline VALUE release(int argc, VALUE *argv, const Kind &kind) {
  rb_check_arity(argc, 1, 1);
  if (NIL_P(argv[0]))
    return Qnil;
  Object *self = static_cast<Object *>(rb_check_typeddata(argv[0], &kind.type));
  self->gone = true;
  if (self->busy == 0 && self->pointer != nullptr)
    free_now(self, CALLER);
  return Qnil;
}

/* ---- Results ---- */

/* The status alone, or an array of the status and what came with it. */
inline VALUE append(VALUE result, VALUE more) {
  return RB_TYPE_P(result, T_ARRAY) ? rb_ary_push(result, more) : rb_ary_new_from_args(2, result, more);
}

inline VALUE string(const void *data, size_t size) {
  return data != nullptr ? rb_str_new(static_cast<const char *>(data), static_cast<long>(size)) : Qnil;
}

} // namespace raw

#endif
