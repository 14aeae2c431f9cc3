/*
 * api_requests.c - exported: requests on keys, and what becomes of all requests.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>

#include "operations/arguments.h"
#include "operations/dependencies.h"
#include "operations/requests.h"
#include "operations/room.h"
#include "pure/error.h"

/* ---- One key ---- */

static pgcache_status begin(pgc_call *call, pgcache *self, uint64_t *id, pgc_op_kind kind, const void *key,
                            size_t key_len, const pgcache_options *options, pgcache_error *error) {
  pgcache_status status = pgc_request_begin(call, self, id, kind, options, error);
  return status == PGCACHE_OK ? pgc_call_set_key(call, key, key_len) : status;
}

/* get, exists and remove take a key alone. */
static pgcache_status submit_key(pgcache *self, uint64_t *id, pgc_op_kind kind, const void *key, size_t key_len,
                                 const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = begin(&call, self, id, kind, key, key_len, options, error);
  return status == PGCACHE_OK ? pgc_request_submit_key(&call, id) : status;
}

pgcache_status pgcache_submit_get(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                  const pgcache_options *options, pgcache_error *error) {
  return submit_key(self, id, PGC_OP_GET, key, key_len, options, error);
}

pgcache_status pgcache_submit_exists(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                     const pgcache_options *options, pgcache_error *error) {
  return submit_key(self, id, PGC_OP_EXISTS, key, key_len, options, error);
}

pgcache_status pgcache_submit_remove(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                     const pgcache_options *options, pgcache_error *error) {
  return submit_key(self, id, PGC_OP_REMOVE, key, key_len, options, error);
}

/* put, add, replace and compare_and_swap differ in the operation alone. */
static pgcache_status submit_store(pgcache *self, uint64_t *id, pgc_op_kind kind, const void *key, size_t key_len,
                                   const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                   int64_t expected, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgc_digest tags[PGC_TAGS_MAX];
  pgcache_status status = begin(&call, self, id, kind, key, key_len, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_value(&call, value, value_len, format);
  if (status == PGCACHE_OK)
    status = pgc_call_set_ttl(&call, ttl_ms);
  if (status == PGCACHE_OK && kind == PGC_OP_COMPARE_AND_SWAP)
    status = pgc_call_set_expected(&call, expected);
  if (status == PGCACHE_OK)
    status = pgc_call_set_dependencies(&call, tags);
  return status == PGCACHE_OK ? pgc_request_submit_key(&call, id) : status;
}

pgcache_status pgcache_submit_put(pgcache *self, uint64_t *id, const void *key, size_t key_len, const void *value,
                                  size_t value_len, int32_t format, int64_t ttl_ms, const pgcache_options *options,
                                  pgcache_error *error) {
  return submit_store(self, id, PGC_OP_PUT, key, key_len, value, value_len, format, ttl_ms, 0, options, error);
}

pgcache_status pgcache_submit_add(pgcache *self, uint64_t *id, const void *key, size_t key_len, const void *value,
                                  size_t value_len, int32_t format, int64_t ttl_ms, const pgcache_options *options,
                                  pgcache_error *error) {
  return submit_store(self, id, PGC_OP_ADD, key, key_len, value, value_len, format, ttl_ms, 0, options, error);
}

pgcache_status pgcache_submit_replace(pgcache *self, uint64_t *id, const void *key, size_t key_len, const void *value,
                                      size_t value_len, int32_t format, int64_t ttl_ms, const pgcache_options *options,
                                      pgcache_error *error) {
  return submit_store(self, id, PGC_OP_REPLACE, key, key_len, value, value_len, format, ttl_ms, 0, options, error);
}

pgcache_status pgcache_submit_compare_and_swap(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                               const void *value, size_t value_len, int32_t format, int64_t ttl_ms,
                                               int64_t expected, const pgcache_options *options, pgcache_error *error) {
  return submit_store(self, id, PGC_OP_COMPARE_AND_SWAP, key, key_len, value, value_len, format, ttl_ms, expected,
                      options, error);
}

pgcache_status pgcache_submit_touch(pgcache *self, uint64_t *id, const void *key, size_t key_len, int64_t ttl_ms,
                                    const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = begin(&call, self, id, PGC_OP_TOUCH, key, key_len, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_ttl(&call, ttl_ms);
  return status == PGCACHE_OK ? pgc_request_submit_key(&call, id) : status;
}

pgcache_status pgcache_submit_increment(pgcache *self, uint64_t *id, const void *key, size_t key_len, int64_t delta,
                                        int64_t initial, int64_t ttl_ms, const pgcache_options *options,
                                        pgcache_error *error) {
  pgc_call call;
  pgcache_status status = begin(&call, self, id, PGC_OP_INCREMENT, key, key_len, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_ttl(&call, ttl_ms);
  if (status == PGCACHE_OK)
    status = pgc_call_set_increment(&call, delta, initial);
  return status == PGCACHE_OK ? pgc_request_submit_key(&call, id) : status;
}

/* ---- Many keys ---- */

static pgcache_status submit_items(pgcache *self, uint64_t *id, pgc_op_kind kind, const pgcache_item *items,
                                   size_t count, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_request_begin(&call, self, id, kind, options, error);
  return status == PGCACHE_OK ? pgc_request_submit_items(&call, id, items, count) : status;
}

pgcache_status pgcache_submit_get_many(pgcache *self, uint64_t *id, const pgcache_item *items, size_t count,
                                       const pgcache_options *options, pgcache_error *error) {
  return submit_items(self, id, PGC_OP_GET_MANY, items, count, options, error);
}

pgcache_status pgcache_submit_put_many(pgcache *self, uint64_t *id, const pgcache_item *items, size_t count,
                                       const pgcache_options *options, pgcache_error *error) {
  return submit_items(self, id, PGC_OP_PUT_MANY, items, count, options, error);
}

pgcache_status pgcache_submit_remove_many(pgcache *self, uint64_t *id, const pgcache_item *items, size_t count,
                                          const pgcache_options *options, pgcache_error *error) {
  return submit_items(self, id, PGC_OP_REMOVE_MANY, items, count, options, error);
}

/* ---- What becomes of them ---- */

/* What the following have in common. A thread that is cancelled in there would leave locks behind: *cancellable is its state
   for leave(). */
static pgcache_status enter(const pgcache *self, pgcache_error *error, int *cancellable) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (self == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "the handle is NULL");
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancellable);
  return PGCACHE_OK;
}

static pgcache_status leave(int cancellable, pgcache_status status) {
  pthread_setcancelstate(cancellable, NULL);
  return status;
}

pgcache_status pgcache_event_fd(pgcache *self, int *fd, pgcache_error *error) {
  int cancellable;
  pgc_engine *engine;
  if (fd != NULL)
    *fd = -1;
  pgcache_status status = enter(self, error, &cancellable);
  if (status != PGCACHE_OK)
    return status;
  if (fd == NULL)
    return leave(cancellable, pgc_fail(error, PGCACHE_INVALID, "fd is NULL"));
  status = pgc_room_engine(self, &engine, error);
  if (status == PGCACHE_OK)
    *fd = pgc_engine_event_fd(engine);
  return leave(cancellable, status);
}

pgcache_status pgcache_cancel(pgcache *self, uint64_t id, pgcache_error *error) {
  int cancellable;
  pgcache_status status = enter(self, error, &cancellable);
  if (status != PGCACHE_OK)
    return status;
  pgc_engine *engine = pgc_room_engine_here(self);
  return leave(cancellable, engine != NULL ? pgc_engine_cancel(engine, id) : PGCACHE_MISS);
}

pgcache_status pgcache_take(pgcache *self, pgcache_completion **out, pgcache_error *error) {
  int cancellable;
  if (out != NULL)
    *out = NULL;
  pgcache_status status = enter(self, error, &cancellable);
  if (status != PGCACHE_OK)
    return status;
  if (out == NULL)
    return leave(cancellable, pgc_fail(error, PGCACHE_INVALID, "out is NULL"));
  pgc_engine *engine = pgc_room_engine_here(self);
  return leave(cancellable, engine != NULL ? pgc_engine_take(engine, out) : PGCACHE_MISS);
}

pgcache_status pgcache_wait(pgcache *self, pgcache_completion **out, uint64_t id, int64_t timeout_ms,
                            pgcache_error *error) {
  int cancellable;
  if (out != NULL)
    *out = NULL;
  pgcache_status status = enter(self, error, &cancellable);
  if (status != PGCACHE_OK)
    return status;
  if (out == NULL)
    return leave(cancellable, pgc_fail(error, PGCACHE_INVALID, "out is NULL"));
  if (timeout_ms < 0 && timeout_ms != PGCACHE_DEADLINE_DEFAULT)
    return leave(cancellable, pgc_fail(error, PGCACHE_INVALID, "timeout_ms is negative"));
  pgc_deadline until = timeout_ms == PGCACHE_DEADLINE_DEFAULT ? PGC_NO_DEADLINE : pgc_deadline_in(timeout_ms);
  pgc_engine *engine = pgc_room_engine_here(self);
  return leave(cancellable, engine != NULL ? pgc_engine_wait(engine, out, id, until) : PGCACHE_MISS);
}

pgcache_status pgcache_dispatch(pgcache *self, size_t *count, int64_t timeout_ms, pgcache_error *error) {
  int cancellable;
  if (count != NULL)
    *count = 0;
  pgcache_status status = enter(self, error, &cancellable);
  if (status != PGCACHE_OK)
    return status;
  if (timeout_ms < 0)
    return leave(cancellable, pgc_fail(error, PGCACHE_INVALID, "timeout_ms is negative"));
  pgc_deadline until = pgc_deadline_in(timeout_ms);
  /* A thread that dispatches may well begin before another one submits. */
  pgc_engine *engine = timeout_ms > 0 ? pgc_room_await_engine(self, until) : pgc_room_engine_here(self);
  size_t called = 0;
  if (engine != NULL)
    status = pgc_engine_dispatch(engine, &called, until);
  else if (__atomic_load_n(&self->closed, __ATOMIC_SEQ_CST))
    status = PGCACHE_CLOSED;
  if (count != NULL)
    *count = called;
  if (status == PGCACHE_CLOSED)
    pgc_fail(error, status, "the handle was shut down, and all callbacks have been called");
  return leave(cancellable, status);
}
