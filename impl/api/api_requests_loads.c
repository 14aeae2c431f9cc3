/*
 * api_requests_loads.c - exported: loads and invalidation as requests.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "operations/dependencies.h"
#include "operations/load_requests.h"
#include "operations/measure.h"
#include "platform/memory.h"
#include "pure/error.h"

pgcache_status pgcache_submit_load_begin(pgcache *self, uint64_t *id, const void *key, size_t key_len,
                                         const pgcache_load_options *how, const pgcache_options *options,
                                         pgcache_error *error) {
  pgc_call call;
  pgc_load_plan plan;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_BEGIN_LOAD, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_key(&call, key, key_len);
  if (status == PGCACHE_OK)
    status = pgc_load_set_plan(&call, &plan, how);
  return status == PGCACHE_OK ? pgc_load_submit_begin(&call, id, &plan) : status;
}

/* With or without a value. */
static pgcache_status submit_fill(pgc_call *call, uint64_t *id, pgcache_load *load, pgcache_status status) {
  pgc_digest tags[PGC_TAGS_MAX];
  if (status == PGCACHE_OK)
    status = pgc_call_set_dependencies(call, tags);
  return status == PGCACHE_OK ? pgc_load_submit_end(call, id, load) : status;
}

pgcache_status pgcache_submit_load_fill(pgcache_load *load, uint64_t *id, const void *value, size_t value_len,
                                        int32_t format, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status =
      pgc_load_begin_submitted_end(&call, id, load, PGC_OP_FILL_LOAD, PGC_OPERATION_LOAD_FILL, options, error);
  if (status == PGCACHE_OK)
    status = pgc_load_set_value(&call, load, value, value_len, format);
  return submit_fill(&call, id, load, status);
}

pgcache_status pgcache_submit_load_fill_absent(pgcache_load *load, uint64_t *id, const pgcache_options *options,
                                               pgcache_error *error) {
  pgc_call call;
  pgcache_status status =
      pgc_load_begin_submitted_end(&call, id, load, PGC_OP_FILL_LOAD, PGC_OPERATION_LOAD_FILL_ABSENT, options, error);
  if (status == PGCACHE_OK)
    pgc_load_set_absent(&call, load);
  if (status == PGCACHE_OK && load->plan.absent_ttl_ms == 0)
    return pgcache_submit_load_abandon(load, id, options, error); /* there is nothing to store */
  return submit_fill(&call, id, load, status);
}

pgcache_status pgcache_submit_load_fail(pgcache_load *load, uint64_t *id, const pgcache_options *options,
                                        pgcache_error *error) {
  pgc_call call;
  pgcache_status status =
      pgc_load_begin_submitted_end(&call, id, load, PGC_OP_END_LOAD, PGC_OPERATION_LOAD_FAIL, options, error);
  return status == PGCACHE_OK ? pgc_load_submit_fail(&call, id, load) : status;
}

pgcache_status pgcache_submit_load_abandon(pgcache_load *load, uint64_t *id, const pgcache_options *options,
                                           pgcache_error *error) {
  pgc_call call;
  pgcache_status status =
      pgc_load_begin_submitted_end(&call, id, load, PGC_OP_END_LOAD, PGC_OPERATION_LOAD_ABANDON, options, error);
  return status == PGCACHE_OK ? pgc_load_submit_end(&call, id, load) : status;
}

pgcache_status pgcache_submit_load_extend(pgcache_load *load, uint64_t *id, int64_t lease_ms,
                                          const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status =
      pgc_load_begin_submitted_end(&call, id, load, PGC_OP_EXTEND_LOAD, PGC_OPERATION_LOAD_EXTEND, options, error);
  if (status == PGCACHE_OK)
    status = pgc_load_set_lease(&call, lease_ms);
  return status == PGCACHE_OK ? pgc_load_submit_extend(&call, id, load) : status;
}

/* ---- Invalidation ---- */

/* It has no key to stand in a line for, and what it is about may be many: a thread that may wait makes the call. */
typedef struct invalidation {
  pgcache *cache;
  size_t count;
  pgcache_dependency what[]; /* with their names behind them */
} invalidation;

static pgcache_status run_invalidate(pgc_request *self, pgcache_error *error) {
  const invalidation *in = self->context;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.namespace_name = self->namespace_name;
  options.deadline_ms = pgc_deadline_left_ms(self->deadline);
  pgc_measure_mute(); /* the request is measured */
  pgcache_status status = pgcache_invalidate(in->cache, in->what, in->count, &options, error);
  pgc_measure_unmute();
  return status;
}

/* What was checked. NULL when out of memory. */
static pgc_request *make_invalidation(const pgc_call *call, const pgcache_dependency *what, size_t count) {
  size_t size = sizeof(invalidation) + count * sizeof(pgcache_dependency), names = 0;
  for (size_t i = 0; i < count; i++)
    names += pgc_dependency_at(what, i)->name_len;
  void *room;
  pgc_request *request = pgc_request_make(call, size + names, &room);
  if (request == NULL)
    return NULL;
  invalidation *in = room;
  char *rest = (char *)room + size;
  in->cache = call->cache;
  in->count = count;
  for (size_t i = 0; i < count; i++) {
    const pgcache_dependency *each = pgc_dependency_at(what, i);
    in->what[i] =
        (pgcache_dependency){sizeof *each, each->kind, memcpy(rest, each->name, each->name_len), each->name_len};
    rest += each->name_len;
  }
  request->context = in;
  request->run = run_invalidate;
  request->bytes = names;
  return request;
}

pgcache_status pgcache_submit_invalidate(pgcache *self, uint64_t *id, const pgcache_dependency *what, size_t count,
                                         const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_INVALIDATE, options, error);
  if (status != PGCACHE_OK || count == 0)
    return status == PGCACHE_OK ? pgc_request_submit(&call, id, make_invalidation(&call, what, 0)) : status;
  size_t room = count <= PGCACHE_BATCH_MAX ? count : 0;
  pgc_digest *digests = pgc_alloc(room * sizeof *digests); /* for the checks alone */
  status = digests != NULL ? pgc_call_set_invalidated(&call, what, count, digests) : pgc_fail_memory(error);
  pgc_free(digests);
  return status == PGCACHE_OK ? pgc_request_submit(&call, id, make_invalidation(&call, what, count)) : status;
}
