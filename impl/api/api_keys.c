/*
 * api_keys.c - exported: operations on one key.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "operations/arguments.h"
#include "operations/copies.h"
#include "operations/dependencies.h"
#include "operations/measure.h"
#include "pure/error.h"

/* Checks the arguments that every operation on one key has. */
static pgcache_status begin(pgc_call *call, pgcache *self, pgc_op_kind kind, const void *key, size_t key_len,
                            const pgcache_options *options, pgcache_error *error) {
  pgcache_status status = pgc_call_begin(call, self, kind, options, error);
  return status == PGCACHE_OK ? pgc_call_set_key(call, key, key_len) : status;
}

/* get and exists, which the near cache may answer. */
static pgcache_status read_key(pgc_call *call, pgcache *self, pgc_op_kind kind, const void *key, size_t key_len,
                               const pgcache_options *options, pgcache_error *error) {
  pgcache_status status = pgc_call_prepare(call, self, kind, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_key(call, key, key_len);
  if (status != PGCACHE_OK)
    return status;
  pgc_measure_begin(call, kind == PGC_OP_GET ? PGC_OPERATION_GET : PGC_OPERATION_EXISTS);
  return pgc_measure_end(call, pgc_call_read(call));
}

/* Hands a write over and passes the new version on. */
static pgcache_status run_write(pgc_call *call, pgc_operation operation, int64_t *version) {
  pgcache_status status = pgc_measure_run(call, operation);
  if (status == PGCACHE_OK && version != NULL)
    *version = call->key.version;
  return status;
}

/* The value from the store; the near cache has been asked. */
static pgcache_status ask_store(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = begin(&call, self, PGC_OP_GET, key, key_len, options, error);
  if (status == PGCACHE_OK)
    status = pgc_measure_run(&call, PGC_OPERATION_GET);
  *out = call.key.found;
  return status;
}

static pgcache_status ask_any(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                              const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = read_key(&call, self, PGC_OP_GET, key, key_len, options, error);
  *out = call.key.found;
  return status;
}

static pgcache_status read_value(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                 const pgcache_options *options, pgcache_error *error) {
  *out = NULL;
  switch (pgc_copies_get(self, out, key, key_len, options, error)) {
  case PGC_COPIES_HIT:
    return PGCACHE_OK;
  case PGC_COPIES_ABSENT:
    return PGCACHE_MISS;
  case PGC_COPIES_NOTHING:
    return ask_store(self, out, key, key_len, options, error);
  default:
    return ask_any(self, out, key, key_len, options, error);
  }
}

pgcache_status pgcache_get(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                           const pgcache_options *options, pgcache_error *error) {
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  return read_value(self, out, key, key_len, options, error);
}

pgcache_status pgcache_get_into(pgcache *self, void *buffer, size_t buffer_len, size_t *value_size, const void *key,
                                size_t key_len, const pgcache_options *options, pgcache_error *error) {
  if (value_size == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "value_size is NULL");
  *value_size = 0;
  if (buffer == NULL && buffer_len != 0)
    return pgc_fail(error, PGCACHE_INVALID, "buffer is NULL and its length is not 0");

  pgcache_value *value;
  pgcache_status status = read_value(self, &value, key, key_len, options, error);
  if (status != PGCACHE_OK)
    return status;
  *value_size = value->size;
  if (value->size > buffer_len)
    status = PGCACHE_TOO_SMALL;
  else if (value->size > 0)
    memcpy(buffer, pgc_value_data(value), value->size);
  pgc_value_release(value);
  return status;
}

/* put, add, replace and compare_and_swap differ in the operation alone. */
static pgcache_status store(pgcache *self, pgc_op_kind kind, pgc_operation operation, int64_t *version, const void *key,
                            size_t key_len, const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                            int64_t expected, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgc_digest tags[PGC_TAGS_MAX];
  if (version != NULL)
    *version = 0;
  pgcache_status status = begin(&call, self, kind, key, key_len, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_value(&call, value, value_len, format);
  if (status == PGCACHE_OK)
    status = pgc_call_set_ttl(&call, ttl_ms);
  if (status == PGCACHE_OK && kind == PGC_OP_COMPARE_AND_SWAP)
    status = pgc_call_set_expected(&call, expected);
  if (status == PGCACHE_OK)
    status = pgc_call_set_dependencies(&call, tags);
  return status == PGCACHE_OK ? run_write(&call, operation, version) : status;
}

pgcache_status pgcache_put(pgcache *self, int64_t *version, const void *key, size_t key_len, const void *value,
                           size_t value_len, int32_t format, int64_t ttl_ms, const pgcache_options *options,
                           pgcache_error *error) {
  return store(self, PGC_OP_PUT, PGC_OPERATION_PUT, version, key, key_len, value, value_len, format, ttl_ms, 0, options,
               error);
}

pgcache_status pgcache_add(pgcache *self, int64_t *version, const void *key, size_t key_len, const void *value,
                           size_t value_len, int32_t format, int64_t ttl_ms, const pgcache_options *options,
                           pgcache_error *error) {
  return store(self, PGC_OP_ADD, PGC_OPERATION_ADD, version, key, key_len, value, value_len, format, ttl_ms, 0, options,
               error);
}

pgcache_status pgcache_replace(pgcache *self, int64_t *version, const void *key, size_t key_len, const void *value,
                               size_t value_len, int32_t format, int64_t ttl_ms, const pgcache_options *options,
                               pgcache_error *error) {
  return store(self, PGC_OP_REPLACE, PGC_OPERATION_REPLACE, version, key, key_len, value, value_len, format, ttl_ms, 0,
               options, error);
}

pgcache_status pgcache_compare_and_swap(pgcache *self, int64_t *version, const void *key, size_t key_len,
                                        const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                        int64_t expected, const pgcache_options *options, pgcache_error *error) {
  return store(self, PGC_OP_COMPARE_AND_SWAP, PGC_OPERATION_COMPARE_AND_SWAP, version, key, key_len, value, value_len,
               format, ttl_ms, expected, options, error);
}

pgcache_status pgcache_remove(pgcache *self, const void *key, size_t key_len, const pgcache_options *options,
                              pgcache_error *error) {
  pgc_call call;
  pgcache_status status = begin(&call, self, PGC_OP_REMOVE, key, key_len, options, error);
  return status == PGCACHE_OK ? pgc_measure_run(&call, PGC_OPERATION_REMOVE) : status;
}

pgcache_status pgcache_touch(pgcache *self, int64_t *version, const void *key, size_t key_len, int64_t ttl_ms,
                             const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  if (version != NULL)
    *version = 0;
  pgcache_status status = begin(&call, self, PGC_OP_TOUCH, key, key_len, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_ttl(&call, ttl_ms);
  return status == PGCACHE_OK ? run_write(&call, PGC_OPERATION_TOUCH, version) : status;
}

pgcache_status pgcache_exists(pgcache *self, const void *key, size_t key_len, const pgcache_options *options,
                              pgcache_error *error) {
  pgc_call call;
  return read_key(&call, self, PGC_OP_EXISTS, key, key_len, options, error);
}

pgcache_status pgcache_increment(pgcache *self, int64_t *counter, int64_t *version, const void *key, size_t key_len,
                                 int64_t delta, int64_t initial, int64_t ttl_ms, const pgcache_options *options,
                                 pgcache_error *error) {
  pgc_call call;
  if (counter != NULL)
    *counter = 0;
  if (version != NULL)
    *version = 0;
  pgcache_status status = begin(&call, self, PGC_OP_INCREMENT, key, key_len, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_ttl(&call, ttl_ms);
  if (status == PGCACHE_OK)
    status = pgc_call_set_increment(&call, delta, initial);
  if (status == PGCACHE_OK)
    status = run_write(&call, PGC_OPERATION_INCREMENT, version);
  if (status == PGCACHE_OK && counter != NULL)
    *counter = call.op.u.increment.number;
  return status;
}
