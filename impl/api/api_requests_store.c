/*
 * api_requests_store.c - exported: requests on the cache as a whole. Their arguments are checked and copied here; the call
 * that waits is then made by a thread of the engine that may wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "operations/arguments.h"
#include "operations/measure.h"
#include "operations/requests.h"
#include "pure/error.h"

/* The inputs of a call, beside those that every request has. */
typedef struct inputs {
  pgcache *cache;
  pgcache_status (*run)(pgc_request *, pgcache_error *);
  int32_t scope;
  int64_t max_entries, max_bytes; /* set_limits */
  int64_t budget_ms;              /* cleanup_some */
  size_t limit;                   /* of read_usage and keys */
  const void *prefix, *after;     /* copies; of read_usage a string */
  size_t prefix_len, after_len;
} inputs;

static pgcache_options options_of(const pgc_request *self) {
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  options.namespace_name = self->namespace_name;
  options.deadline_ms = pgc_deadline_left_ms(self->deadline);
  return options;
}

/* The call that is made is part of the request, which is measured as a whole. */
static pgcache_status run_muted(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgc_measure_mute();
  pgcache_status status = in->run(self, error);
  pgc_measure_unmute();
  return status;
}

/* Makes a request with its inputs, whose cache is set, and `extra` bytes behind them: *room. NULL when out of memory. */
static pgc_request *make(const pgc_call *call, inputs **in, pgcache_status (*run)(pgc_request *, pgcache_error *),
                         size_t extra, void **room) {
  void *own;
  _Static_assert(sizeof(inputs) % _Alignof(pgcache_usage) == 0, "what follows the inputs has to be aligned");
  pgc_request *request = pgc_request_make(call, sizeof(inputs) + extra, &own);
  if (request == NULL)
    return NULL;
  *in = own;
  *room = *in + 1;
  (*in)->cache = call->cache;
  (*in)->run = run;
  request->context = own;
  request->run = run_muted;
  request->bytes = extra;
  return request;
}

/* ---- Without inputs ---- */

static pgcache_status submit_simple(pgcache *self, uint64_t *id, pgc_op_kind kind,
                                    pgcache_status (*run)(pgc_request *, pgcache_error *),
                                    const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  pgcache_status status = pgc_request_begin(&call, self, id, kind, options, error);
  return status == PGCACHE_OK ? pgc_request_submit(&call, id, make(&call, &in, run, 0, &room)) : status;
}

static pgcache_status run_init(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_init(in->cache, &options, error);
}

pgcache_status pgcache_submit_init(pgcache *self, uint64_t *id, const pgcache_options *options, pgcache_error *error) {
  return submit_simple(self, id, PGC_OP_INIT, run_init, options, error);
}

static pgcache_status run_upgrade(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_upgrade(in->cache, &options, error);
}

pgcache_status pgcache_submit_upgrade(pgcache *self, uint64_t *id, const pgcache_options *options,
                                      pgcache_error *error) {
  return submit_simple(self, id, PGC_OP_UPGRADE, run_upgrade, options, error);
}

static pgcache_status run_cleanup(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_cleanup(in->cache, &self->number, &options, error);
}

pgcache_status pgcache_submit_cleanup(pgcache *self, uint64_t *id, const pgcache_options *options,
                                      pgcache_error *error) {
  return submit_simple(self, id, PGC_OP_CLEANUP, run_cleanup, options, error);
}

/* ---- flush, cleanup_some, set_limits ---- */

static pgcache_status run_flush(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_flush(in->cache, &self->number, (pgcache_flush_scope)in->scope, &options, error);
}

pgcache_status pgcache_submit_flush(pgcache *self, uint64_t *id, pgcache_flush_scope scope,
                                    const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_FLUSH_NAMESPACE, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_flush(&call, scope);
  if (status != PGCACHE_OK)
    return status;
  pgc_request *request = make(&call, &in, run_flush, 0, &room);
  if (request != NULL)
    in->scope = (int32_t)scope;
  return pgc_request_submit(&call, id, request);
}

static pgcache_status run_cleanup_some(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_cleanup_some(in->cache, self->progress, in->budget_ms, &options, error);
}

pgcache_status pgcache_submit_cleanup_some(pgcache *self, uint64_t *id, const pgcache_cleanup_progress *progress,
                                           int64_t budget_ms, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  pgcache_cleanup_progress now;
  size_t size;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_CLEAN_SLICE, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_check_progress(&call, &now, &size, progress, budget_ms);
  if (status != PGCACHE_OK)
    return status;
  pgc_request *request = make(&call, &in, run_cleanup_some, sizeof now, &room);
  if (request != NULL) {
    in->budget_ms = budget_ms;
    now.struct_size = sizeof now;
    request->progress = room;
    *request->progress = now;
  }
  return pgc_request_submit(&call, id, request);
}

static pgcache_status run_set_limits(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_set_limits(in->cache, (pgcache_limit_scope)in->scope, in->max_entries, in->max_bytes, &options, error);
}

pgcache_status pgcache_submit_set_limits(pgcache *self, uint64_t *id, pgcache_limit_scope scope, int64_t max_entries,
                                         int64_t max_bytes, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_SET_LIMITS, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_limits(&call, scope, max_entries, max_bytes);
  if (status != PGCACHE_OK)
    return status;
  pgc_request *request = make(&call, &in, run_set_limits, 0, &room);
  if (request != NULL) {
    in->scope = (int32_t)scope;
    in->max_entries = max_entries;
    in->max_bytes = max_bytes;
  }
  return pgc_request_submit(&call, id, request);
}

/* ---- Figures and lists ---- */

static pgcache_status run_read_usage(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_read_usage(in->cache, self->usage, in->limit, &self->count, in->after, &options, error);
}

pgcache_status pgcache_submit_read_usage(pgcache *self, uint64_t *id, size_t limit, const char *after,
                                         const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_USAGE, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_usage(&call, "limit", limit, after);
  if (status != PGCACHE_OK)
    return status;
  size_t after_size = after != NULL ? strlen(after) + 1 : 0;
  pgc_request *request = make(&call, &in, run_read_usage, limit * sizeof(pgcache_usage) + after_size, &room);
  if (request != NULL) {
    in->limit = limit;
    request->usage = room;
    for (size_t i = 0; i < limit; i++)
      request->usage[i].struct_size = sizeof(pgcache_usage);
    if (after != NULL)
      in->after = memcpy(request->usage + limit, after, after_size);
  }
  return pgc_request_submit(&call, id, request);
}

static pgcache_status run_stats(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_stats(in->cache, self->stats, &options, error);
}

pgcache_status pgcache_submit_stats(pgcache *self, uint64_t *id, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_STATS, options, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_request *request = make(&call, &in, run_stats, sizeof(pgcache_store_stats), &room);
  if (request != NULL) {
    request->stats = room;
    request->stats->struct_size = sizeof(pgcache_store_stats);
  }
  return pgc_request_submit(&call, id, request);
}

static pgcache_status run_doctor(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  pgcache_status status = pgcache_doctor(in->cache, &self->values[0], &options, error);
  self->count = self->values[0] != NULL;
  return status;
}

pgcache_status pgcache_submit_doctor(pgcache *self, uint64_t *id, const pgcache_options *options,
                                     pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_DOCTOR, options, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_request *request = make(&call, &in, run_doctor, sizeof(pgcache_value *), &room);
  if (request != NULL)
    request->values = room;
  return pgc_request_submit(&call, id, request);
}

static pgcache_status run_keys(pgc_request *self, pgcache_error *error) {
  const inputs *in = self->context;
  pgcache_options options = options_of(self);
  return pgcache_keys(in->cache, self->values, in->limit, &self->count, in->prefix, in->prefix_len, in->after,
                      in->after_len, &options, error);
}

pgcache_status pgcache_submit_keys(pgcache *self, uint64_t *id, size_t limit, const void *prefix, size_t prefix_len,
                                   const void *after, size_t after_len, const pgcache_options *options,
                                   pgcache_error *error) {
  pgc_call call;
  inputs *in;
  void *room;
  unsigned char end[PGCACHE_KEY_MAX];
  pgcache_status status = pgc_request_begin(&call, self, id, PGC_OP_KEYS, options, error);
  if (status == PGCACHE_OK)
    status = pgc_call_set_list(&call, "limit", limit, prefix, prefix_len, after, after_len, end);
  if (status != PGCACHE_OK)
    return status;
  pgc_request *request = make(&call, &in, run_keys, limit * sizeof(pgcache_value *) + prefix_len + after_len, &room);
  if (request != NULL) {
    in->limit = limit;
    in->prefix_len = prefix_len;
    in->after_len = after_len;
    request->values = room;
    char *copies = (char *)room + limit * sizeof(pgcache_value *);
    if (prefix_len > 0)
      in->prefix = memcpy(copies, prefix, prefix_len);
    if (after_len > 0)
      in->after = memcpy(copies + prefix_len, after, after_len);
  }
  return pgc_request_submit(&call, id, request);
}
