/*
 * api_load.c - exported: loads, [rule:load].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "operations/dependencies.h"
#include "operations/load.h"
#include "operations/measure.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "pure/sizes.h"

/* What a newer, larger struct has behind ours is zero. */
void pgcache_load_options_init(pgcache_load_options *options, size_t struct_size) {
  const pgcache_load_options defaults = PGCACHE_LOAD_OPTIONS_INIT;
  if (options == NULL || !PGC_HOLDS(pgcache_load_options, struct_size, ttl_ms))
    return;
  memset(options, 0, struct_size);
  memcpy(options, &defaults, struct_size < sizeof defaults ? struct_size : sizeof defaults);
  options->struct_size = struct_size;
}

pgcache_status pgcache_load_begin(pgcache *self, pgcache_value **out, pgcache_load **load, const void *key,
                                  size_t key_len, const pgcache_load_options *how, const pgcache_options *options,
                                  pgcache_error *error) {
  pgc_call call;
  pgc_load_plan plan;
  if (out != NULL)
    *out = NULL;
  if (load != NULL)
    *load = NULL;
  pgcache_status status = pgc_call_prepare(&call, self, PGC_OP_BEGIN_LOAD, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (out == NULL || load == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out or load is NULL");
  status = pgc_call_set_key(&call, key, key_len);
  if (status == PGCACHE_OK)
    status = pgc_load_set_plan(&call, &plan, how);
  if (status != PGCACHE_OK)
    return status;
  pgc_measure_begin(&call, PGC_OPERATION_LOAD_BEGIN);
  status = pgc_load_run(&call, &plan, load);
  *out = call.key.found;
  return pgc_measure_end(&call, status);
}

/* With or without a value. */
static pgcache_status fill(pgc_call *call, pgcache_load *load, pgc_operation operation, int64_t *version,
                           pgcache_status status) {
  pgc_digest tags[PGC_TAGS_MAX];
  if (status == PGCACHE_OK)
    status = pgc_call_set_dependencies(call, tags);
  if (status == PGCACHE_OK) {
    pgc_measure_begin(call, operation);
    status = pgc_measure_end(call, pgc_load_fill(call, load));
  }
  if (status == PGCACHE_OK && version != NULL)
    *version = call->key.version;
  return status;
}

pgcache_status pgcache_load_fill(pgcache_load *load, int64_t *version, const void *value, size_t value_len,
                                 int32_t format, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  if (version != NULL)
    *version = 0;
  pgcache_status status = pgc_load_begin_end(&call, load, PGC_OP_FILL_LOAD, options, error);
  if (status == PGCACHE_OK)
    status = pgc_load_set_value(&call, load, value, value_len, format);
  return fill(&call, load, PGC_OPERATION_LOAD_FILL, version, status);
}

pgcache_status pgcache_load_fill_absent(pgcache_load *load, int64_t *version, const pgcache_options *options,
                                        pgcache_error *error) {
  pgc_call call;
  if (version != NULL)
    *version = 0;
  pgcache_status status = pgc_load_begin_end(&call, load, PGC_OP_FILL_LOAD, options, error);
  if (status == PGCACHE_OK)
    pgc_load_set_absent(&call, load);
  if (status == PGCACHE_OK && load->plan.absent_ttl_ms == 0) {
    pgc_measure_begin(&call, PGC_OPERATION_LOAD_FILL_ABSENT);
    return pgc_measure_end(&call, pgc_load_abandon(&call, load));
  }
  return fill(&call, load, PGC_OPERATION_LOAD_FILL_ABSENT, version, status);
}

pgcache_status pgcache_load_fail(pgcache_load *load, pgcache_value **out, const pgcache_options *options,
                                 pgcache_error *error) {
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  *out = NULL;
  pgc_call call;
  pgcache_status status = pgc_load_begin_end(&call, load, PGC_OP_END_LOAD, options, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_measure_begin(&call, PGC_OPERATION_LOAD_FAIL);
  return pgc_measure_end(&call, pgc_load_fail(&call, load, out));
}

pgcache_status pgcache_load_abandon(pgcache_load *load, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_load_begin_end(&call, load, PGC_OP_END_LOAD, options, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_measure_begin(&call, PGC_OPERATION_LOAD_ABANDON);
  return pgc_measure_end(&call, pgc_load_abandon(&call, load));
}

pgcache_status pgcache_load_extend(pgcache_load *load, int64_t lease_ms, const pgcache_options *options,
                                   pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_load_begin_end(&call, load, PGC_OP_EXTEND_LOAD, options, error);
  if (status == PGCACHE_OK)
    status = pgc_load_set_lease(&call, lease_ms);
  if (status != PGCACHE_OK)
    return status;
  pgc_measure_begin(&call, PGC_OPERATION_LOAD_EXTEND);
  return pgc_measure_end(&call, pgc_load_extend(&call, load));
}

void pgcache_load_free(pgcache_load *load) {
  if (load == NULL)
    return;
  if (!load->ended && load->fork_generation == pgc_fork_generation())
    (void)pgc_load_give_back(load);
  pgc_load_drop(load);
}
