/*
 * ruby.i - how the raw layer passes things to Ruby and back: PGCache::Raw has a module function for each function of the header.
 *
 *   in      keys, values, prefixes: Strings, of any encoding; options and how: a Hash with the fields' names (tags: and keys: are the
 *           dependencies), or nil; arrays of dependencies: a Hash with tags: and keys:; items: an Array of [key] or
 *           [key, value, format, ttl_ms]; room for results: an Integer
 *   out     the status, or an Array of the status and all outputs; a negative status raises PGCache::Error
 *   owned   by the garbage collector, in any order; the functions named _free only do it sooner
 *
 * It is C++ only so that a lambda can be a call without the interpreter's lock.
 *
 * SPDX-License-Identifier: MIT
 */
%{
#include "arguments.h"
%}

%include <stdint.i>

/* Structs are results alone: they have readers, and are never made in Ruby. */
%immutable;
%nodefaultctor;

/* ---- What C alone needs ---------------------------------------------------------------------------------------- */

%ignore pgcache_error;
%ignore pgcache_error_init;
%ignore pgcache_options;
%ignore pgcache_options_init;
%ignore pgcache_load_options;
%ignore pgcache_load_options_init;
%ignore pgcache_dependency;
%ignore pgcache_item;
%ignore struct_size;

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */

%define %may_wait(FUNCTION)
%exception FUNCTION {
  raw::waiting(argv[0], [&] { $action });
}
%enddef

/* ---- Errors and statuses ----------------------------------------------------------------------------------------- */

%typemap(in, numinputs=0) pgcache_error *error (pgcache_error failure) {
  pgcache_error_init(&failure, sizeof failure);
  $1 = &failure;
}
%typemap(argout) pgcache_error *error { raw::check($1, result); }

%typemap(out) pgcache_status { $result = INT2NUM($1); }

/* ---- Texts and bytes ------------------------------------------------------------------------------------------------ */

/* Also of values, which are no names. */
%typemap(in) (const void *key, size_t key_len) (volatile VALUE held = Qnil) {
  if (!NIL_P($input)) {
    held = raw::bytes(strcmp("$1_name", "value") == 0 ? $input : raw::name($input));
    $1 = RSTRING_PTR(held);
    $2 = static_cast<size_t>(RSTRING_LEN(held));
  } else {
    $1 = nullptr;
    $2 = 0;
  }
}
%typemap(in) const char * (volatile VALUE held = Qnil) {
  if (!NIL_P($input))
    held = raw::bytes(raw::name($input));
  $1 = NIL_P(held) ? nullptr : const_cast<char *>(raw::c_string(held));
}
%typemap(freearg) const char * ""
%typemap(out) const char * { $result = $1 != nullptr ? rb_utf8_str_new_cstr($1) : Qnil; }
%typemap(out) char [ANY] { $result = rb_utf8_str_new_cstr($1); }
%typemap(out) const void *pgcache_value_data { $result = raw::string($1, pgcache_value_size(arg1)); }

/* get_into: how long the buffer is; the bytes come back if they fit, and how many they are. */
%typemap(in) (void *buffer, size_t buffer_len) (volatile VALUE room = Qnil) {
  $2 = NUM2SIZET($input);
  room = rb_str_new(nullptr, static_cast<long>($2));
  $1 = RSTRING_PTR(room);
}
%typemap(argout) (void *buffer, size_t buffer_len) {
  if (result == PGCACHE_OK)
    rb_str_set_len(room$argnum, static_cast<long>(*arg4));
  $result = raw::append($result, result == PGCACHE_OK ? room$argnum : Qnil);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------------- */

%typemap(in) int64_t { $1 = NUM2LL(raw::integer($input)); }
%typemap(in) uint64_t { $1 = NUM2ULL(raw::integer($input)); }
%typemap(in) int32_t { $1 = NUM2INT(raw::integer($input)); }
%typemap(in) uint32_t { $1 = NUM2UINT(raw::integer($input)); }
%typemap(in) size_t { $1 = NUM2SIZET(raw::integer($input)); }

/* ---- Numbers that come back -------------------------------------------------------------------------------------------- */

%define %number(TYPE, NAME, TO_RUBY)
%typemap(in, numinputs=0) TYPE *NAME (TYPE number = 0) { $1 = &number; }
%typemap(argout) TYPE *NAME { $result = raw::append($result, TO_RUBY(*$1)); }
%enddef
%number(int64_t, version, LL2NUM)
%number(int64_t, counter, LL2NUM)
%number(int64_t, removed, LL2NUM)
%number(uint64_t, id, ULL2NUM)
%number(int, fd, INT2NUM)
%number(size_t, value_size, SIZET2NUM)

/* ---- Objects --------------------------------------------------------------------------------------------------------- */

/* HANDLE: whose it is, where it has to be freed before its handle. */
%define %object(TYPE, NAME, RUBY_NAME, FREE, HANDLE)
%header %{
namespace raw {
static void NAME##_gone(void *pointer, Handle *handle) {
  (void)pointer;
  (void)handle;
  FREE;
}
static Kind NAME##_kind = {"PGCache::Raw::" #RUBY_NAME, NAME##_gone,
                           {"PGCache::Raw::" #RUBY_NAME, {nullptr, collected, nullptr, nullptr, {nullptr}}, nullptr, nullptr, 0}, Qnil};
}
%}
%init %{
  raw::NAME##_kind.klass = rb_define_class_under(mRaw, #RUBY_NAME, rb_cObject);
  rb_undef_alloc_func(raw::NAME##_kind.klass);
  rb_gc_register_mark_object(raw::NAME##_kind.klass);
%}
%typemap(in) TYPE * { $1 = static_cast<TYPE *>(raw::pointer_of($input, raw::NAME##_kind)); }
%typemap(in) const TYPE * { $1 = static_cast<TYPE *>(raw::pointer_of($input, raw::NAME##_kind)); }
%typemap(in, numinputs=0) TYPE ** (TYPE *made = nullptr) { $1 = &made; }
%typemap(argout) TYPE ** { $result = raw::append($result, raw::wrap(*$1, raw::NAME##_kind, HANDLE)); }
%typemap(out) TYPE * { $result = raw::wrap($1, raw::NAME##_kind, HANDLE); }
%enddef

/* The functions of C that free: by way of the object, which knows who else is using it. */
%define %frees(FUNCTION, NAME)
%ignore pgcache_##FUNCTION;
%header %{
static VALUE raw_##FUNCTION(int argc, VALUE *argv, VALUE) { return raw::release(argc, argv, raw::NAME##_kind); }
%}
%init %{
  rb_define_module_function(mRaw, #FUNCTION, RUBY_METHOD_FUNC(raw_##FUNCTION), -1);
%}
%enddef

%header %{
namespace raw {
/* Takes the completions of drop_load() that are there. */
static void drain(Handle *handle) {
  std::vector<uint64_t> waiting;
  for (uint64_t id : handle->dropped) {
    pgcache_completion *done = nullptr;
    if (pgcache_wait(handle->cache, &done, id, 0, nullptr) == PGCACHE_TIMEOUT)
      waiting.push_back(id);
    pgcache_completion_free(done);
  }
  handle->dropped.swap(waiting);
}
/* The lease is given back without waiting for the server: this may be the garbage collector. Its completion is taken by drain(), or
   by somebody who takes all that come: the token says that nobody wants it. */
static void drop_load(pgcache_load *load, Handle *handle) {
  if (load == nullptr)
    return;
  pgcache_options unwanted;
  pgcache_options_init(&unwanted, sizeof unwanted);
  unwanted.token = UINT64_MAX;
  uint64_t id = 0;
  pgcache_status status = pgcache_submit_load_abandon(load, &id, &unwanted, nullptr);
  pgcache_load_free(load);
  if (handle == nullptr)
    return;
  drain(handle);
  if (status == PGCACHE_OK)
    handle->dropped.push_back(id);
}
/* With a lease that nobody has asked for. */
static void drop_completion(pgcache_completion *completion, Handle *handle) {
  drop_load(pgcache_completion_load(completion), handle);
  pgcache_completion_free(completion);
}
}
%}

%object(pgcache_config, config, Config, pgcache_config_free(static_cast<pgcache_config *>(pointer)), nullptr)
/* What still holds the handle keeps it in memory, and not open. */
%object(pgcache, cache, Cache, pgcache_shutdown(static_cast<pgcache *>(pointer)), nullptr)
%object(pgcache_value, value, Value, pgcache_value_free(static_cast<pgcache_value *>(pointer)), nullptr)
%object(pgcache_snapshot, snapshot, Snapshot, pgcache_snapshot_free(static_cast<pgcache_snapshot *>(pointer)), nullptr)
%object(pgcache_load, load, Load, raw::drop_load(static_cast<pgcache_load *>(pointer), handle), raw::object_of(argv[0])->handle)
%object(pgcache_janitor, janitor, Janitor, pgcache_janitor_free(static_cast<pgcache_janitor *>(pointer)), raw::object_of(argv[0])->handle)
%object(pgcache_observer, observer, Observer, pgcache_observer_free(static_cast<pgcache_observer *>(pointer)), raw::object_of(argv[0])->handle)
%object(pgcache_completion, completion, Completion, raw::drop_completion(static_cast<pgcache_completion *>(pointer), handle), raw::object_of(argv[0])->handle)

%frees(config_free, config)
%frees(free, cache)
%frees(value_free, value)
%frees(snapshot_free, snapshot)
%frees(load_free, load)
%frees(janitor_free, janitor)
%frees(observer_free, observer)
%frees(completion_free, completion)

/* A handle is counted from the moment that it is made. */
%typemap(argout) pgcache **out {
  raw::Handle *handle = *$1 != nullptr ? new raw::Handle{*$1, 0, {}} : nullptr;
  $result = raw::append($result, raw::wrap(*$1, raw::cache_kind, handle));
}
/* What a completion gives is the completion's. */
%typemap(out) pgcache_value *pgcache_completion_value {
  $result = raw::wrap(pgcache_value_retain($1), raw::value_kind, nullptr);
}

/* ---- Options, dependencies, items ------------------------------------------------------------------------------------- */

%typemap(in) const pgcache_options *options (volatile VALUE keep = Qnil) { $1 = const_cast<pgcache_options *>(raw::options($input, &keep)); }
%typemap(freearg) const pgcache_options *options { raw::done(&keep$argnum); }

%typemap(in) const pgcache_load_options *how (volatile VALUE keep = Qnil) {
  $1 = const_cast<pgcache_load_options *>(raw::load_options($input, &keep));
}
%typemap(freearg) const pgcache_load_options *how { raw::done(&keep$argnum); }

%typemap(in) (const pgcache_dependency *what, size_t count) (volatile VALUE keep = Qnil) {
  raw::dependencies($input, &keep);
  $1 = raw::arguments(&keep)->dependencies.data();
  $2 = raw::arguments(&keep)->dependencies.size();
}
%typemap(freearg) (const pgcache_dependency *what, size_t count) { raw::done(&keep$argnum); }

%typemap(in) (pgcache_item *items, size_t count) (volatile VALUE keep = Qnil) {
  raw::items($input, &keep);
  $1 = raw::arguments(&keep)->items.data();
  $2 = raw::arguments(&keep)->items.size();
}
%typemap(freearg) (pgcache_item *items, size_t count) { raw::done(&keep$argnum); }
%apply (pgcache_item *items, size_t count) { (const pgcache_item *items, size_t count) };
%typemap(argout) (pgcache_item *items, size_t count) {
  VALUE answers = rb_ary_new_capa(static_cast<long>($2));
  for (size_t i = 0; i < $2; i++)
    rb_ary_push(answers, rb_ary_new_from_args(3, INT2NUM($1[i].status), LL2NUM($1[i].version),
                                              raw::wrap($1[i].result, raw::value_kind, nullptr)));
  $result = raw::append($result, answers);
}
%typemap(argout) (const pgcache_item *items, size_t count) ""
%typemap(out) const pgcache_item * {
  $result = $1 == nullptr ? Qnil
                          : rb_ary_new_from_args(4, raw::string($1->key, $1->key_len), INT2NUM($1->status), LL2NUM($1->version),
                                                 raw::wrap(pgcache_value_retain($1->result), raw::value_kind, nullptr));
}

/* ---- Structs that come back: copies --------------------------------------------------------------------------------------- */

%define %struct(TYPE)
%typemap(in, numinputs=0) TYPE *out (TYPE made) {
  memset(&made, 0, sizeof made);
  made.struct_size = sizeof made;
  $1 = &made;
}
%typemap(argout) TYPE *out {
  $result = raw::append($result, SWIG_NewPointerObj(new TYPE(*$1), $descriptor(TYPE *), SWIG_POINTER_OWN));
}
%typemap(out) const TYPE * {
  $result = $1 == nullptr ? Qnil : SWIG_NewPointerObj(new TYPE(*$1), $descriptor(TYPE *), SWIG_POINTER_OWN);
}
%enddef
%struct(pgcache_setting)
%struct(pgcache_store_stats)
%struct(pgcache_counters)
%struct(pgcache_usage)
%struct(pgcache_cleanup_progress)

/* Of a walk that goes on: [restart, removed, evicted], or nil. */
%typemap(in) pgcache_cleanup_progress *progress (pgcache_cleanup_progress made) {
  made = raw::progress($input);
  $1 = &made;
}
%apply pgcache_cleanup_progress *progress { const pgcache_cleanup_progress *progress };
%typemap(argout) pgcache_cleanup_progress *progress {
  $result = raw::append($result, SWIG_NewPointerObj(new pgcache_cleanup_progress(*$1), $descriptor(pgcache_cleanup_progress *),
                                                    SWIG_POINTER_OWN));
}
%typemap(argout) const pgcache_cleanup_progress *progress ""

/* An event is the library's to free; its key is bytes. */
%ignore pgcache_event::key;
%ignore pgcache_event::key_len;
%nodefaultdtor pgcache_event;
%extend pgcache_event {
  ~pgcache_event() { pgcache_event_free($self); }
  VALUE key_bytes() { return raw::string($self->key, $self->key_len); }
}
%delobject pgcache_event_free;
%typemap(in, numinputs=0) pgcache_event **out (pgcache_event *made = nullptr) { $1 = &made; }
%typemap(argout) pgcache_event **out {
  $result = raw::append($result, SWIG_NewPointerObj(*$1, $descriptor(pgcache_event *), SWIG_POINTER_OWN));
}

/* ---- Pages: room for so many ------------------------------------------------------------------------------------------------ */

%typemap(in) (pgcache_usage *out, size_t out_len, size_t *count) (volatile VALUE keep = Qnil, size_t count = 0) {
  $2 = NUM2SIZET($input);
  pgcache_usage empty = PGCACHE_USAGE_INIT;
  raw::arguments(&keep)->usages.assign($2, empty);
  $1 = raw::arguments(&keep)->usages.data();
  $3 = &count;
}
%typemap(argout) (pgcache_usage *out, size_t out_len, size_t *count) {
  VALUE page = rb_ary_new();
  for (size_t i = 0; i < *$3; i++)
    rb_ary_push(page, SWIG_NewPointerObj(new pgcache_usage($1[i]), $descriptor(pgcache_usage *), SWIG_POINTER_OWN));
  $result = raw::append($result, page);
}
%typemap(freearg) (pgcache_usage *out, size_t out_len, size_t *count) { raw::done(&keep$argnum); }

%define %page(TYPE, ROOM, LENGTH, NAME)
%typemap(in) (TYPE **ROOM, size_t LENGTH, size_t *count) (volatile VALUE keep = Qnil, size_t count = 0) {
  $2 = NUM2SIZET($input);
  raw::arguments(&keep)->pointers.assign($2, nullptr);
  $1 = reinterpret_cast<TYPE **>(raw::arguments(&keep)->pointers.data());
  $3 = &count;
}
%typemap(argout) (TYPE **ROOM, size_t LENGTH, size_t *count) {
  VALUE page = rb_ary_new();
  for (size_t i = 0; i < *$3; i++)
    rb_ary_push(page, raw::wrap($1[i], raw::NAME##_kind, nullptr));
  $result = raw::append($result, page);
}
%typemap(freearg) (TYPE **ROOM, size_t LENGTH, size_t *count) { raw::done(&keep$argnum); }
%enddef
%page(pgcache_value, keys, keys_len, value)
%page(pgcache_snapshot, out, room, snapshot)

/* ---- Beyond the header: what would be too slow, or could not be interrupted, in steps ------------------------------------------ */

/* near(cache, key, options): a hit in the near cache in one step: bytes as a String, other formats as [bytes, format], else nil.
   await(cache, id, patience_ms): waits for the completion of a request; interrupts are raised, within 20 ms, unless it is there. nil:
   somebody else took it; false: it did not come in time (patience_ms below 0: however long it takes). */
%init %{
  rb_define_module_function(mRaw, "near", RUBY_METHOD_FUNC(raw_near), 3);
  rb_define_module_function(mRaw, "await", RUBY_METHOD_FUNC(raw_await), -1);
%}
%header %{
static VALUE raw_near(VALUE, VALUE handle, VALUE key, VALUE given) {
  pgcache *cache = static_cast<pgcache *>(raw::pointer_of(handle, raw::cache_kind));
  volatile VALUE keep = Qnil;
  const pgcache_options *options = raw::options(given, &keep);
  if (NIL_P(key))
    key = rb_str_new(nullptr, 0);
  key = raw::name(key);
  pgcache_value *value = nullptr;
  pgcache_status status =
      pgcache_peek(cache, &value, RSTRING_PTR(key), static_cast<size_t>(RSTRING_LEN(key)), options, nullptr);
  if (status == PGCACHE_MISS) {
    raw::done(&keep);
    return Qnil;
  }
  if (status != PGCACHE_OK) { /* once more, for the message */
    pgcache_error error;
    pgcache_error_init(&error, sizeof error);
    status = pgcache_peek(cache, &value, RSTRING_PTR(key), static_cast<size_t>(RSTRING_LEN(key)), options, &error);
    pgcache_value_free(value);
    raw::done(&keep);
    raw::check(&error, status);
    return Qnil;
  }
  raw::done(&keep);
  RB_GC_GUARD(key);
  VALUE bytes = raw::string(pgcache_value_data(value), pgcache_value_size(value));
  int32_t format = pgcache_value_format(value);
  pgcache_value_free(value);
  return format == PGCACHE_FORMAT_BYTES ? bytes : rb_ary_new_from_args(2, bytes, INT2NUM(format));
}

static VALUE raw_await(int argc, VALUE *argv, VALUE) {
  rb_check_arity(argc, 3, 3);
  pgcache *cache = static_cast<pgcache *>(raw::pointer_of(argv[0], raw::cache_kind));
  raw::Handle *handle = raw::object_of(argv[0])->handle;
  uint64_t id = NUM2ULL(argv[1]);
  const int64_t patience_ms = NUM2LL(argv[2]), slice_ms = 20;
  pgcache_error error;
  pgcache_error_init(&error, sizeof error);
  pgcache_completion *done = nullptr;
  pgcache_status status = PGCACHE_TIMEOUT;
  volatile VALUE found = Qnil;
  auto slice = [&] { status = pgcache_wait(cache, &done, id, slice_ms, &error); };
  /* Closed meanwhile it goes on until what became of the request is known. */
  raw::holding(argv[0], [&] {
    raw::drain(handle);
    for (int64_t waited_ms = 0; status == PGCACHE_TIMEOUT && (patience_ms < 0 || waited_ms < patience_ms); waited_ms += slice_ms)
      if (!raw::without_lock(slice) || status == PGCACHE_TIMEOUT)
        raw::check_interrupts();
    found = raw::wrap(done, raw::completion_kind, handle);
  });
  if (status == PGCACHE_TIMEOUT)
    return Qfalse;
  if (status != PGCACHE_MISS)
    raw::check(&error, status);
  return found;
}
%}
