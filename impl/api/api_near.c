/*
 * api_near.c - exported: the near cache by itself. Reads and writes go through it by the way, see operations/copies.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/copies.h"
#include "operations/measure.h"

#include <pthread.h>

#include "pure/error.h"

static pgcache_status closed(const pgcache *self, pgcache_error *error) {
  return __atomic_load_n(&self->closed, __ATOMIC_SEQ_CST) ? pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down")
                                                          : PGCACHE_OK;
}

static pgcache_status peek_by_call(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                   const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_prepare(&call, self, PGC_OP_GET, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (call.read_mode == PGCACHE_READ_STORE)
    return pgc_fail(error, PGCACHE_INVALID, "options: PGCACHE_READ_STORE asks the server, which a peek never does");
  status = pgc_call_set_key(&call, key, key_len);
  if (status == PGCACHE_OK)
    status = closed(self, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_measure_begin(&call, PGC_OPERATION_PEEK);
  call.measure.source = PGC_FROM_NEAR;
  status = pgc_copies_peek(&call) ? PGCACHE_OK : PGCACHE_MISS;
  *out = call.key.found;
  return pgc_measure_end(&call, status);
}

pgcache_status pgcache_peek(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                            const pgcache_options *options, pgcache_error *error) {
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  *out = NULL;
  switch (pgc_copies_glance(self, out, key, key_len, options, error)) {
  case PGC_COPIES_HIT:
    return PGCACHE_OK;
  case PGC_COPIES_NOTHING:
    return PGCACHE_MISS;
  default:
    return peek_by_call(self, out, key, key_len, options, error);
  }
}

pgcache_status pgcache_fence(pgcache *self, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  int cancellable;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_GET, options, error);
  if (status == PGCACHE_OK)
    status = closed(self, error);
  if (status != PGCACHE_OK || self->borrows || self->store->fence == NULL)
    return status;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
  pgc_measure_begin(&call, PGC_OPERATION_FENCE);
  status = pgc_measure_end(&call, self->store->fence(self->store, call.op.deadline, error));
  pthread_setcancelstate(cancellable, NULL);
  return status;
}
