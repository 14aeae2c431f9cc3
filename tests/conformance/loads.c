/*
 * loads.c - loads: the lease that a caller holds over several steps, and get_or_load with the loader of the step.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* By this the loader's failure is known when it comes back. */
static const char failure[] = "the loader of the case fails";

void how_of(const json_t *step, pgcache_load_options *how) {
  *how = (pgcache_load_options)PGCACHE_LOAD_OPTIONS_INIT;
  how->ttl_ms = number_member(step, "ttl_ms", how->ttl_ms);
  how->stale_ms = number_member(step, "stale_ms", how->stale_ms);
  how->fail_safe_ms = number_member(step, "fail_safe_ms", how->fail_safe_ms);
  how->throttle_ms = number_member(step, "throttle_ms", how->throttle_ms);
  how->absent_ttl_ms = number_member(step, "absent_ttl_ms", how->absent_ttl_ms);
  how->lease_ms = number_member(step, "lease_ms", how->lease_ms);
  how->wait_ms = number_member(step, "wait_ms", how->wait_ms);
  how->jitter_percent = (int32_t)number_member(step, "jitter_percent", how->jitter_percent);
  how->early_percent = (int32_t)number_member(step, "early_percent", how->early_percent);
}

tally *tally_new(scene *of) {
  tally *made = allocate(sizeof *made);
  pthread_mutex_lock(&of->lock);
  made->next = of->tallies;
  of->tallies = made;
  pthread_mutex_unlock(&of->lock);
  return made;
}

/* ---- A lease over several steps ---------------------------------------------------------------------------------------------- */

static pgcache_load **load_of(call *self) {
  return scene_load(self->scene, text_member(self->step, "load", ""));
}

static void load_begin(call *self) {
  pgcache_load **load = load_of(self);
  pgcache_load_options how;
  how_of(self->step, &how);
  pgcache_load_free(*load); /* of an attempt before, or NULL */
  *load = NULL;
  self->status = pgcache_load_begin(self->cache, &self->value, load, self->key.data, self->key.size, &how,
                                    &self->options, &self->error);
  self->lease = *load != NULL;
}

static void load_fill(call *self) {
  int32_t format;
  bytes content = content_of(self->step, &format);
  self->status = pgcache_load_fill(*load_of(self), &self->version, content.data, content.size, format, &self->options,
                                   &self->error);
  free(content.data);
}

static void load_fill_absent(call *self) {
  self->status = pgcache_load_fill_absent(*load_of(self), &self->version, &self->options, &self->error);
}

static void load_fail(call *self) {
  self->status = pgcache_load_fail(*load_of(self), &self->value, &self->options, &self->error);
}

static void load_abandon(call *self) {
  self->status = pgcache_load_abandon(*load_of(self), &self->options, &self->error);
}

static void load_extend(call *self) {
  self->status =
      pgcache_load_extend(*load_of(self), number_member(self->step, "lease_ms", 0), &self->options, &self->error);
}

/* ---- get_or_load ---------------------------------------------------------------------------------------------------------------- */

/* May be used after the step, by a thread of the library: so it stands by itself. */
typedef struct loader {
  scene *scene;
  const json_t *step;
  tally *tally;
} loader;

static pgcache_status fail(pgcache_error *error, const char *why) {
  if (error != NULL) {
    error->status = PGCACHE_SERVER_ERROR;
    snprintf(error->message, sizeof error->message, "%.400s", why);
  }
  return PGCACHE_SERVER_ERROR;
}

static pgcache_status load(void *context, pgcache_load *lease, pgcache_error *error) {
  const loader *self = context;
  const json_t *what = json_object_get(self->step, "loader"), *steps = json_object_get(what, "steps");
  int32_t format;
  size_t i;
  json_t *step;
  atomic_fetch_add(&self->tally->loads, 1);
  usleep((useconds_t)number_member(what, "sleep_ms", 0) * 1000);
  json_array_foreach((json_t *)(uintptr_t)steps, i, step) {
    char why[WHY_SIZE];
    step_do(self->scene, step, why);
    if (why[0] != 0) {
      return fail(error, why);
    }
  }
  if (json_is_true(json_object_get(what, "fails"))) {
    return fail(error, failure);
  }
  if (json_is_true(json_object_get(what, "absent"))) {
    return pgcache_load_fill_absent(lease, NULL, NULL, error);
  }
  call one; /* for the dependencies */
  call_open(&one, self->scene, self->step);
  bytes content = content_of(what, &format);
  const pgcache_status status = pgcache_load_fill(lease, NULL, content.data, content.size, format, &one.options, error);
  free(content.data);
  call_close(&one);
  return status;
}

static void get_or_load(call *self) {
  loader *context = allocate(sizeof *context);
  pgcache_load_options how;
  pgcache_loader as_loader = PGCACHE_LOADER_INIT;
  *context = (loader){self->scene, self->step, self->tally};
  as_loader.load = load;
  as_loader.release = free;
  as_loader.context = context;
  how_of(self->step, &how);
  self->status = pgcache_get_or_load(self->cache, &self->value, self->key.data, self->key.size, &how, &as_loader,
                                     &self->options, &self->error);
  self->failed = self->status == PGCACHE_SERVER_ERROR && strcmp(self->error.message, failure) == 0;
  self->version = pgcache_value_version(self->value);
  if (self->status == PGCACHE_STALE) {
    self->status = PGCACHE_OK; /* a face gives the value, and does not say */
  }
}

const operation load_operations[] = {{"load_begin", load_begin},
                                     {"load_fill", load_fill},
                                     {"load_fill_absent", load_fill_absent},
                                     {"load_fail", load_fail},
                                     {"load_abandon", load_abandon},
                                     {"load_extend", load_extend},
                                     {"get_or_load", get_or_load},
                                     {NULL, NULL}};
