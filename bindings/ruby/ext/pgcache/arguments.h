/*
 * arguments.h - what calls read, from Strings, Arrays and Hashes of Ruby: options, dependencies, items.
 *
 * Must never let anything move or change while a call reads it, whatever other threads do to the objects that it came from.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGCACHE_RUBY_ARGUMENTS_H
#define PGCACHE_RUBY_ARGUMENTS_H

#include <cstring>
#include <vector>

#include <ruby.h>
#include <ruby/encoding.h>

#include "raw.h"

namespace raw {

/* Neither truncated nor shown: a message never holds what was given. */
inline VALUE integer(VALUE number) {
  if (!RB_INTEGER_TYPE_P(number))
    rb_raise(rb_eTypeError, "an Integer is expected, not %s", rb_obj_classname(number));
  return number;
}

/* Texts, arrays and structs that a call reads: kept, and kept in their place, until it has ended. */
struct Arguments {
  std::vector<VALUE> held;
  std::vector<pgcache_dependency> dependencies;
  std::vector<pgcache_item> items;
  std::vector<pgcache_usage> usages;
  std::vector<void *> pointers;
  pgcache_options options;
  pgcache_load_options how;
};

inline void mark_arguments(void *data) {
  Arguments *self = static_cast<Arguments *>(data);
  if (self != nullptr)
    for (VALUE held : self->held)
      rb_gc_mark(held); /* and keeps it in its place */
}
inline void forget_arguments(void *data) {
  delete static_cast<Arguments *>(data);
}
static const rb_data_type_t arguments_type = {"PGCache::Raw arguments",
                                              {mark_arguments, forget_arguments, nullptr, nullptr, {nullptr}},
                                              nullptr,
                                              nullptr,
                                              RUBY_TYPED_FREE_IMMEDIATELY};

inline Arguments *arguments(volatile VALUE *keep) {
  if (NIL_P(*keep))
    *keep = TypedData_Wrap_Struct(0, &arguments_type, new Arguments());
  return static_cast<Arguments *>(RTYPEDDATA_DATA(*keep));
}

/* Before the garbage collector does, because puts are large. */
inline void done(volatile VALUE *keep) {
  if (NIL_P(*keep))
    return;
  delete arguments(keep);
  RTYPEDDATA_DATA(*keep) = nullptr;
}

/* A copy that nobody changes; it shares the bytes where there are many. */
inline VALUE bytes(VALUE string) {
  Check_Type(string, T_STRING);
  return rb_str_new_frozen(string);
}

/* Names are bytes, and text as UTF-8, whatever encoding it comes in: they are the same for everybody. */
inline VALUE name(VALUE string) {
  Check_Type(string, T_STRING);
  int encoding = rb_enc_get_index(string);
  if (encoding == rb_utf8_encindex() || encoding == rb_ascii8bit_encindex() || encoding == rb_usascii_encindex())
    return string;
  VALUE text = rb_str_conv_enc(string, rb_enc_get(string), rb_utf8_encoding());
  if (rb_enc_get_index(text) != rb_utf8_encindex())
    fail(PGCACHE_INVALID, "", "a name is no text of its encoding");
  return text;
}

/* Kept, and without a byte that would end it. */
inline const char *c_string(VALUE text) {
  if (memchr(RSTRING_PTR(text), 0, static_cast<size_t>(RSTRING_LEN(text))) != nullptr)
    fail(PGCACHE_INVALID, "", "a text has a NUL byte");
  return StringValueCStr(text);
}

inline VALUE hold(Arguments *self, VALUE string) {
  self->held.push_back(bytes(string));
  return self->held.back();
}

inline const char *text(Arguments *self, VALUE string) {
  if (NIL_P(string))
    return nullptr;
  return c_string(hold(self, name(string)));
}

inline void depend(Arguments *self, pgcache_dependency_kind kind, VALUE names) {
  if (NIL_P(names))
    return;
  Check_Type(names, T_ARRAY);
  for (long i = 0; i < RARRAY_LEN(names); i++) {
    VALUE held = hold(self, name(RARRAY_AREF(names, i)));
    self->dependencies.push_back(
        {sizeof(pgcache_dependency), kind, RSTRING_PTR(held), static_cast<size_t>(RSTRING_LEN(held))});
  }
}

/* ---- From Hashes and Arrays ---- */

/* What a Hash is put into, field by field; one that is not known is refused. */
struct Filling {
  Arguments *arguments;
  const char *key;
  VALUE value;
  bool is(const char *name) const {
    return strcmp(key, name) == 0;
  }
};
inline int fill_option(VALUE key, VALUE value, VALUE argument) {
  Arguments *self = reinterpret_cast<Arguments *>(argument);
  Filling field = {self, rb_id2name(rb_to_id(key)), value};
  pgcache_options *out = &self->options;
  if (field.is("deadline_ms"))
    out->deadline_ms = NUM2LL(integer(value));
  else if (field.is("namespace_name"))
    out->namespace_name = text(self, value);
  else if (field.is("span_name"))
    out->span_name = text(self, value);
  else if (field.is("read_mode"))
    out->read_mode = static_cast<pgcache_read_mode>(NUM2INT(integer(value)));
  else if (field.is("token"))
    out->token = NUM2ULL(integer(value));
  else if (field.is("tags"))
    depend(self, PGCACHE_DEPENDS_ON_TAG, value);
  else if (field.is("keys"))
    depend(self, PGCACHE_DEPENDS_ON_KEY, value);
  else
    rb_raise(rb_eArgError, "there is no option %s", field.key);
  return ST_CONTINUE;
}
inline int fill_how(VALUE key, VALUE value, VALUE argument) {
  Arguments *self = reinterpret_cast<Arguments *>(argument);
  Filling field = {self, rb_id2name(rb_to_id(key)), value};
  pgcache_load_options *out = &self->how;
  if (field.is("ttl_ms"))
    out->ttl_ms = NUM2LL(integer(value));
  else if (field.is("stale_ms"))
    out->stale_ms = NUM2LL(integer(value));
  else if (field.is("fail_safe_ms"))
    out->fail_safe_ms = NUM2LL(integer(value));
  else if (field.is("throttle_ms"))
    out->throttle_ms = NUM2LL(integer(value));
  else if (field.is("absent_ttl_ms"))
    out->absent_ttl_ms = NUM2LL(integer(value));
  else if (field.is("lease_ms"))
    out->lease_ms = NUM2LL(integer(value));
  else if (field.is("wait_ms"))
    out->wait_ms = NUM2LL(integer(value));
  else if (field.is("jitter_percent"))
    out->jitter_percent = NUM2INT(integer(value));
  else if (field.is("early_percent"))
    out->early_percent = NUM2INT(integer(value));
  else
    rb_raise(rb_eArgError, "there is no option of loads %s", field.key);
  return ST_CONTINUE;
}
inline int fill_dependencies(VALUE key, VALUE value, VALUE argument) {
  Arguments *self = reinterpret_cast<Arguments *>(argument);
  Filling field = {self, rb_id2name(rb_to_id(key)), value};
  if (!field.is("tags") && !field.is("keys"))
    rb_raise(rb_eArgError, "dependencies are tags: and keys:");
  depend(self, field.is("tags") ? PGCACHE_DEPENDS_ON_TAG : PGCACHE_DEPENDS_ON_KEY, value);
  return ST_CONTINUE;
}

inline const pgcache_options *options(VALUE hash, volatile VALUE *keep) {
  if (NIL_P(hash))
    return nullptr;
  Check_Type(hash, T_HASH);
  Arguments *self = arguments(keep);
  pgcache_options_init(&self->options, sizeof self->options);
  rb_hash_foreach(hash, fill_option, reinterpret_cast<VALUE>(self));
  self->options.dependencies = self->dependencies.data();
  self->options.dependency_count = self->dependencies.size();
  return &self->options;
}
inline const pgcache_load_options *load_options(VALUE hash, volatile VALUE *keep) {
  if (NIL_P(hash))
    return nullptr;
  Check_Type(hash, T_HASH);
  Arguments *self = arguments(keep);
  pgcache_load_options_init(&self->how, sizeof self->how);
  rb_hash_foreach(hash, fill_how, reinterpret_cast<VALUE>(self));
  return &self->how;
}
inline void dependencies(VALUE hash, volatile VALUE *keep) {
  Check_Type(hash, T_HASH);
  rb_hash_foreach(hash, fill_dependencies, reinterpret_cast<VALUE>(arguments(keep)));
}
inline void items(VALUE array, volatile VALUE *keep) {
  Check_Type(array, T_ARRAY);
  Arguments *self = arguments(keep);
  self->items.reserve(static_cast<size_t>(RARRAY_LEN(array)));
  for (long i = 0; i < RARRAY_LEN(array); i++) {
    VALUE given = RARRAY_AREF(array, i);
    Check_Type(given, T_ARRAY);
    VALUE key = hold(self, name(rb_ary_entry(given, 0)));
    pgcache_item item = PGCACHE_ITEM_INIT;
    item.key = RSTRING_PTR(key);
    item.key_len = static_cast<size_t>(RSTRING_LEN(key));
    if (RARRAY_LEN(given) > 1) {
      VALUE value = hold(self, rb_ary_entry(given, 1));
      item.value = RSTRING_PTR(value);
      item.value_len = static_cast<size_t>(RSTRING_LEN(value));
      item.format = NUM2INT(integer(rb_ary_entry(given, 2)));
      item.ttl_ms = NUM2LL(integer(rb_ary_entry(given, 3)));
    }
    self->items.push_back(item);
  }
}

inline pgcache_cleanup_progress progress(VALUE array) {
  pgcache_cleanup_progress made = PGCACHE_CLEANUP_PROGRESS_INIT;
  if (NIL_P(array))
    return made;
  Check_Type(array, T_ARRAY);
  made.restart = NUM2INT(integer(rb_ary_entry(array, 0)));
  made.removed = NUM2LL(integer(rb_ary_entry(array, 1)));
  made.evicted = NUM2LL(integer(rb_ary_entry(array, 2)));
  return made;
}

} // namespace raw

#endif
