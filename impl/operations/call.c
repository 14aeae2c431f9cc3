/*
 * call.c - see call.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/call.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "operations/cleanup.h"
#include "operations/copies.h"
#include "operations/measure.h"
#include "operations/publisher.h"
#include "platform/memory.h"
#include "pure/error.h"
#include "pure/sizes.h"

/* The first version's required part: the size and the deadline. */
#define OPTIONS_SIZE_MIN 16

/* Options of any size that ever was, as today's struct. */
static pgcache_status read_options(pgcache_options *out, const pgcache_options *options, pgcache_error *error) {
  *out = (pgcache_options)PGCACHE_OPTIONS_INIT;
  if (options == NULL)
    return PGCACHE_OK;
  if (options->struct_size < OPTIONS_SIZE_MIN)
    return pgc_fail(error, PGCACHE_INVALID, "options: struct_size is not set; use PGCACHE_OPTIONS_INIT");
  memcpy(out, options, options->struct_size < sizeof *out ? options->struct_size : sizeof *out);
  /* A field that the caller's struct ends in the middle of is not there. */
  if (!PGC_HOLDS(pgcache_options, options->struct_size, namespace_name))
    out->namespace_name = NULL;
  if (!PGC_HOLDS(pgcache_options, options->struct_size, span_name))
    out->span_name = NULL;
  if (!PGC_HOLDS(pgcache_options, options->struct_size, read_mode))
    out->read_mode = PGCACHE_READ_NEAR;
  if (!PGC_HOLDS(pgcache_options, options->struct_size, flags))
    out->flags = 0;
  if (!PGC_HOLDS(pgcache_options, options->struct_size, token))
    out->token = 0;
  if (!PGC_HOLDS(pgcache_options, options->struct_size, callback))
    out->callback = NULL;
  if (!PGC_HOLDS(pgcache_options, options->struct_size, dependency_count)) {
    out->dependencies = NULL;
    out->dependency_count = 0;
  }

  if (out->deadline_ms < 0 && out->deadline_ms != PGCACHE_DEADLINE_DEFAULT)
    return pgc_fail(error, PGCACHE_INVALID, "options: deadline_ms is negative");
  if (out->namespace_name != NULL && !pgc_namespace_ok(out->namespace_name))
    return pgc_fail(error, PGCACHE_INVALID, "options: a namespace has 1 to %d visible ASCII characters",
                    PGCACHE_NAMESPACE_MAX);
  if (out->span_name != NULL && strnlen(out->span_name, PGCACHE_SPAN_NAME_MAX + 1) > PGCACHE_SPAN_NAME_MAX)
    return pgc_fail(error, PGCACHE_INVALID, "options: a span name has at most %d bytes", PGCACHE_SPAN_NAME_MAX);
  if (out->read_mode != PGCACHE_READ_NEAR && out->read_mode != PGCACHE_READ_STORE)
    return pgc_fail(error, PGCACHE_INVALID, "options: unknown read_mode");
  if (out->flags != 0)
    return pgc_fail(error, PGCACHE_INVALID, "options: unknown flags");
  return PGCACHE_OK;
}

pgcache_status pgc_call_prepare(pgc_call *call, pgcache *cache, pgc_op_kind kind, const pgcache_options *options,
                                pgcache_error *error) {
  pgcache_options read;
  *call = (pgc_call){.cache = cache, .error = error, .op = {.kind = kind}};
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (cache == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the handle is NULL");
  pgcache_status status = read_options(&read, options, error);
  if (status != PGCACHE_OK)
    return status;
  const pgc_settings *settings = &cache->settings;
  if (read.deadline_ms == PGCACHE_DEADLINE_DEFAULT)
    read.deadline_ms = pgc_op_is_maintenance(kind) ? settings->maintenance_timeout_ms : settings->timeout_ms;
  call->deadline_ms = read.deadline_ms;
  call->read_mode = read.read_mode;
  call->op.namespace_name = read.namespace_name != NULL ? read.namespace_name : settings->namespace_name;
  call->span_name = read.span_name != NULL ? read.span_name : "";
  call->token = read.token;
  call->callback = read.callback;
  call->dependencies = read.dependencies;
  call->dependency_count = read.dependency_count;
  call->op.decode = pgc_decode;
  call->op.decoder = &cache->encoding;
  call->op.unguarded = !settings->guarded;
  return PGCACHE_OK;
}

void pgc_call_start(pgc_call *call) {
  int64_t now_ns = pgc_monotonic_ns();
  if (call->measure.began_ns == 0)
    call->measure.began_ns = now_ns;
  call->op.deadline = pgc_deadline_from(now_ns / 1000, call->deadline_ms);
}

pgcache_status pgc_call_begin(pgc_call *call, pgcache *cache, pgc_op_kind kind, const pgcache_options *options,
                              pgcache_error *error) {
  pgcache_status status = pgc_call_prepare(call, cache, kind, options, error);
  if (status == PGCACHE_OK)
    pgc_call_start(call);
  return status;
}

pgcache_status pgc_call_set_key(pgc_call *call, const void *key, size_t key_len) {
  if (key == NULL || key_len == 0)
    return pgc_fail(call->error, PGCACHE_INVALID, "the key is %s", key == NULL ? "NULL" : "empty");
  if (key_len > PGCACHE_KEY_MAX)
    return pgc_fail(call->error, PGCACHE_TOO_LARGE, "the key has %zu bytes; at most %d are allowed", key_len,
                    PGCACHE_KEY_MAX);
  call->key.key = key;
  call->key.key_len = key_len;
  call->key.flags = pgc_encoding_flags(&call->cache->encoding);
  call->op.keys = &call->key;
  call->op.count = 1;
  return PGCACHE_OK;
}

void pgc_call_take_digest(pgc_call *call) {
  pgc_encoding_digest(&call->cache->encoding, &call->key.digest, call->op.namespace_name, call->key.key,
                      call->key.key_len);
}

pgcache_status pgc_call_set_value(pgc_call *call, const void *value, size_t value_len, int32_t format) {
  if (value == NULL && value_len != 0)
    return pgc_fail(call->error, PGCACHE_INVALID, "the value is NULL and its length is not 0");
  if (value_len > (size_t)call->cache->settings.max_value_bytes)
    return pgc_fail(call->error, PGCACHE_TOO_LARGE,
                    "the value has %zu bytes; the setting max_value_bytes allows %" PRId64, value_len,
                    call->cache->settings.max_value_bytes);
  if (format < 0)
    return pgc_fail(call->error, PGCACHE_INVALID, "the format is negative");
  call->key.value = value;
  call->key.value_len = value_len;
  call->key.format = format;
  return PGCACHE_OK;
}

pgcache_status pgc_call_set_ttl(pgc_call *call, int64_t ttl_ms) {
  if (ttl_ms == PGCACHE_TTL_DEFAULT)
    ttl_ms = call->cache->settings.default_ttl_ms;
  if (ttl_ms <= 0)
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "ttl_ms is zero or negative; use PGCACHE_TTL_NEVER for an entry that does not expire, "
                    "pgcache_remove() for one that ends now");
  if (ttl_ms > PGCACHE_TTL_MAX && ttl_ms != PGCACHE_TTL_NEVER)
    ttl_ms = PGCACHE_TTL_MAX;
  call->key.ttl_ms = ttl_ms;
  return PGCACHE_OK;
}

static pgcache_status encode_all(pgc_call *call, pgcache_error *error) {
  pgcache_status status = PGCACHE_OK;
  for (size_t i = 0; status == PGCACHE_OK && i < call->op.count; i++)
    status = pgc_encode(&call->cache->encoding, call->op.namespace_name, &call->op.keys[i], error);
  return status;
}

/* What keys carry on the way alone: nobody needs it any more. */
static void drop_burden(pgc_call *call) {
  for (size_t i = 0; i < call->op.count; i++) {
    pgc_op_key *key = &call->op.keys[i];
    pgc_free(key->encoded);
    pgc_free(key->tags);
    key->encoded = NULL;
    key->tags = NULL;
  }
}

static pgcache_status run(pgc_call *call, pgcache_error *error) {
  pgc_publisher_wanted(call->cache);
  /* A thread that is cancelled in the middle would leave locks and connections behind. */
  int cancellable;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
  if (call->op.keys == &call->key)
    pgc_call_take_digest(call);
  pgc_near *near = pgc_copies_begin(call);
  pgcache_status status = pgc_op_stores(call->op.kind) ? encode_all(call, error) : PGCACHE_OK;
  if (status == PGCACHE_OK)
    status = call->cache->store->run(call->cache->store, &call->op, error);
  if (call->measure.begun && status >= 0)
    pgc_measure_values(call, status);
  if (near != NULL)
    pgc_copies_end(near, call, status);
  drop_burden(call);
  if (status == PGCACHE_OK && pgc_clean_is_drawn(call->cache, call->op.kind))
    pgc_clean_short_slice(call->cache, call->op.namespace_name, call->op.deadline);
  pthread_setcancelstate(cancellable, NULL);
  return status;
}

/* A read under on_error=miss. */
static pgcache_status run_failsafe(pgc_call *call) {
  pgcache_error failure = PGCACHE_ERROR_INIT;
  pgcache_status status = run(call, &failure);
  if (status >= 0)
    return status;
  if (!pgc_failure_is_miss(status))
    return pgc_fail_sql(call->error, status, failure.sqlstate, "%s", failure.message);
  pgc_count(&call->cache->store->counters.reads_failed);
  for (size_t i = 0; i < call->op.count; i++)
    call->op.keys[i].status = PGCACHE_MISS;
  return call->op.kind == PGC_OP_GET_MANY ? PGCACHE_OK : PGCACHE_MISS;
}

pgcache_status pgc_call_run(pgc_call *call) {
  pgc_op_kind kind = call->op.kind;
  bool read = kind == PGC_OP_GET || kind == PGC_OP_GET_MANY || kind == PGC_OP_EXISTS;
  return read && call->cache->settings.failed_reads_miss ? run_failsafe(call) : run(call, call->error);
}

pgcache_status pgc_call_read(pgc_call *call) {
  if (pgc_copies_answer(call)) {
    call->measure.source = PGC_FROM_NEAR;
    return call->key.status;
  }
  pgc_call_start(call);
  return pgc_call_run(call);
}
