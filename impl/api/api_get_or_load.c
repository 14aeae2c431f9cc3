/*
 * api_get_or_load.c - exported: a read that has its entry loaded by a function of the application.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/loaders.h"
#include "operations/measure.h"
#include "platform/memory.h"
#include "pure/error.h"

static void release(const pgcache_loader *loader) {
  if (loader->release != NULL)
    loader->release(loader->context);
}

/* A job that a thread of the library has; NULL: the caller has to do it himself. Then load and loader are still his. On one
   connection of the application's nothing is done in the background: it is not known when it is free. */
static pgc_loader_job *hand(pgcache *self, pgcache_load *load, const pgcache_loader *loader) {
  pgc_loader_job *job = self->single ? NULL : pgc_alloc_zero(sizeof *job);
  if (job == NULL)
    return NULL;
  job->load = load;
  job->loader = *loader;
  if (pgc_loaders_hand(self, job))
    return job;
  pgc_free(job);
  return NULL;
}

/* On this thread. */
static pgcache_status load_here(pgcache_value **out, pgcache_load *load, const pgcache_loader *loader,
                                pgcache_error *error) {
  pgcache_status status = pgc_loader_run(load, loader, out, error);
  pgcache_load_free(load);
  release(loader);
  return status;
}

/* There is a value, and it is to be refreshed. */
static pgcache_status refresh(pgcache *self, pgcache_value **out, pgcache_status status, pgcache_load *load,
                              const pgcache_loader *loader) {
  pgc_loader_job *job = hand(self, load, loader);
  pgcache_value *loaded = NULL;
  pgcache_status ignored;
  if (job != NULL) {
    (void)pgc_loaders_await(self, job, 0, &ignored, &loaded, NULL);
  } else if (load_here(&loaded, load, loader, NULL) == PGCACHE_OK) {
    pgcache_value_free(*out);
    *out = loaded;
    return PGCACHE_OK;
  }
  pgcache_value_free(loaded);
  return status;
}

/* There is none, but one that may stand in if this takes too long. */
static pgcache_status load_in_time(pgcache *self, pgcache_value **out, pgcache_load *load, pgc_deadline until,
                                   const pgcache_loader *loader, pgcache_error *error) {
  pgcache_value *stale = pgcache_value_retain(load->stale);
  pgc_loader_job *job = hand(self, load, loader);
  pgcache_status status;
  if (job == NULL) {
    status = load_here(out, load, loader, error);
  } else if (!pgc_loaders_await(self, job, until, &status, out, error)) {
    *out = stale;
    return PGCACHE_STALE;
  }
  pgcache_value_free(stale);
  return status;
}

/* What becomes of the answer: of a load that the caller got, the loader's business begins. */
static pgcache_status go_on(pgc_call *call, pgcache_value **out, pgcache_status status, pgcache_load *load,
                            const pgcache_loader *loader) {
  if (load == NULL) {
    release(loader);
    return status;
  }
  if (*out != NULL)
    return refresh(call->cache, out, status, load, loader);
  call->measure.loaded = true;
  if (load->stale == NULL)
    return load_here(out, load, loader, call->error);
  return load_in_time(call->cache, out, load, pgc_load_wait_until(&load->plan, call->op.deadline), loader, call->error);
}

static pgcache_status get_or_load(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                  const pgcache_load_options *how, const pgcache_loader *loader,
                                  const pgcache_options *options, pgcache_error *error) {
  pgcache_load *load = NULL;
  pgc_call call;
  pgc_load_plan plan;
  pgcache_status status = pgc_call_prepare(&call, self, PGC_OP_BEGIN_LOAD, options, error);
  if (status == PGCACHE_OK && loader->load == NULL)
    status = pgc_fail(error, PGCACHE_INVALID, "the loader's function is NULL");
  if (status == PGCACHE_OK && out == NULL)
    status = pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  if (status == PGCACHE_OK)
    status = pgc_call_set_key(&call, key, key_len);
  if (status == PGCACHE_OK)
    status = pgc_load_set_plan(&call, &plan, how);
  if (status != PGCACHE_OK) {
    release(loader);
    return status;
  }
  pgc_measure_begin(&call, PGC_OPERATION_GET_OR_LOAD);
  status = pgc_load_run(&call, &plan, &load);
  *out = call.key.found;
  call.key.found = NULL; /* from here on it is the caller's alone */
  return pgc_measure_end(&call, go_on(&call, out, status, load, loader));
}

pgcache_status pgcache_get_or_load(pgcache *self, pgcache_value **out, const void *key, size_t key_len,
                                   const pgcache_load_options *how, const pgcache_loader *loader,
                                   const pgcache_options *options, pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  if (loader == NULL || loader->struct_size < sizeof *loader)
    return !pgc_error_ok(error)
               ? PGCACHE_INVALID
               : pgc_fail(error, PGCACHE_INVALID,
                          "the loader is NULL, or its struct_size is not set; use PGCACHE_LOADER_INIT");
  return get_or_load(self, out, key, key_len, how, loader, options, error);
}
