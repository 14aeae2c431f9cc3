/*
 * steps.c - a step: what it says is put into a call, the call is made by as many callers and as often as it says, and what came of
 * it is compared.
 *
 * Must never pass over a member of a step that it does not know.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CALLERS = 1000, PAUSE_US = 5000 };

static const char *const step_members[] = {"do",
                                           "by",
                                           "key",
                                           "keys",
                                           "namespace",
                                           "value",
                                           "json",
                                           "format",
                                           "ttl_ms",
                                           "tags",
                                           "depends_on",
                                           "read",
                                           "deadline_ms",
                                           "span_name",
                                           "expect",
                                           "sqlstate",
                                           "gives",
                                           "save",
                                           "newer",
                                           "callers",
                                           "within_ms",
                                           "expected",
                                           "delta",
                                           "initial",
                                           "items",
                                           "numbered",
                                           "scope",
                                           "prefix",
                                           "name",
                                           "labels",
                                           "settings",
                                           "interval_ms",
                                           "timeout_ms",
                                           "load",
                                           "loader",
                                           "stale_ms",
                                           "fail_safe_ms",
                                           "absent_ttl_ms",
                                           "throttle_ms",
                                           "lease_ms",
                                           "wait_ms",
                                           "ms",
                                           "jitter_percent",
                                           "early_percent",
                                           NULL};

/* What operations compare themselves, or what is compared below with more than equality. */
static const char *const own_members[] = {"value", "json",  "format", "version", "ttl_ms", "stale",
                                          "lease", "loads", "values", "keys",    NULL};

static bool is_among(const char *const *names, const char *name) {
  while (*names != NULL && strcmp(*names, name) != 0) {
    names++;
  }
  return *names != NULL;
}

/* ---- A call -------------------------------------------------------------------------------------------------------------------- */

static size_t append(pgcache_dependency *to, const json_t *names, pgcache_dependency_kind kind) {
  const size_t count = json_array_size(names);
  for (size_t i = 0; i < count; i++) {
    bytes name = bytes_of(json_array_get(names, i));
    to[i] = (pgcache_dependency){sizeof *to, kind, name.data, name.size};
  }
  return count;
}

void call_open(call *self, scene *of, const json_t *step) {
  const json_t *tags = json_object_get(step, "tags"), *keys = json_object_get(step, "depends_on");
  const char *what = text_member(step, "do", "");
  *self = (call){.scene = of,
                 .step = step,
                 .options = PGCACHE_OPTIONS_INIT,
                 .error = PGCACHE_ERROR_INIT,
                 .members = json_object()};
  self->handle = scene_handle(of, text_member(step, "by", "a"));
  self->cache = self->handle->cache;
  if (strcmp(what, "invalidate") == 0 || strcmp(what, "dependents") == 0) {
    keys = json_object_get(step, "keys");
  }
  self->dependencies = allocate((json_array_size(tags) + json_array_size(keys) + 1) * sizeof *self->dependencies);
  self->options.dependency_count = append(self->dependencies, tags, PGCACHE_DEPENDS_ON_TAG);
  self->options.dependency_count +=
      append(self->dependencies + self->options.dependency_count, keys, PGCACHE_DEPENDS_ON_KEY);
  self->options.dependencies = self->dependencies;
  self->options.deadline_ms = number_member(step, "deadline_ms", PGCACHE_DEADLINE_DEFAULT);
  self->options.read_mode =
      strcmp(text_member(step, "read", "near"), "store") == 0 ? PGCACHE_READ_STORE : PGCACHE_READ_NEAR;
  if (json_object_get(step, "key") != NULL) {
    self->key = bytes_of(json_object_get(step, "key"));
  }
  if (json_object_get(step, "namespace") != NULL) {
    self->namespace_name = bytes_of(json_object_get(step, "namespace"));
    self->options.namespace_name = (const char *)self->namespace_name.data;
  }
  if (json_object_get(step, "span_name") != NULL) {
    self->span_name = bytes_of(json_object_get(step, "span_name"));
    self->options.span_name = (const char *)self->span_name.data;
  }
}

void call_close(call *self) {
  for (size_t i = 0; i < self->options.dependency_count; i++) {
    free((void *)(uintptr_t)self->dependencies[i].name);
  }
  free(self->dependencies);
  free(self->key.data);
  free(self->namespace_name.data);
  free(self->span_name.data);
  pgcache_value_free(self->value);
  json_decref(self->members);
}

static void perform(call *self) {
  const char *name = text_member(self->step, "do", "");
  const operation *const all[] = {operations, load_operations};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    for (const operation *one = all[i]; one->name != NULL; one++) {
      if (strcmp(one->name, name) == 0) {
        one->perform(self);
        return;
      }
    }
  }
  snprintf(self->why, sizeof self->why, "no such operation: %s", name);
}

/* ---- What came of it ---------------------------------------------------------------------------------------------------------- */

static bool same_life(int64_t ttl_ms, const json_t *wanted) {
  if (json_is_string(wanted)) {
    return ttl_ms == PGCACHE_TTL_NEVER;
  }
  return ttl_ms != PGCACHE_TTL_NEVER && ttl_ms >= json_integer_value(json_array_get(wanted, 0)) &&
         ttl_ms <= json_integer_value(json_array_get(wanted, 1));
}

static void compare_gives(call *self, const json_t *gives) {
  const json_t *version = json_object_get(gives, "version"), *life = json_object_get(gives, "ttl_ms"),
               *stale = json_object_get(gives, "stale"), *lease = json_object_get(gives, "lease"),
               *loads = json_object_get(gives, "loads");
  const int64_t ttl_ms = pgcache_value_ttl_ms(self->value);
  const char *name;
  json_t *wanted;
  compare_value(self->value, gives, self->why);
  if (self->why[0] != 0) {
    return;
  }
  if (version != NULL && self->version != scene_saved(self->scene, json_string_value(version))) {
    snprintf(self->why, sizeof self->why, "the version is not %s", json_string_value(version));
  } else if (life != NULL && !same_life(ttl_ms, life)) {
    snprintf(self->why, sizeof self->why, "it lives for %lld ms", (long long)ttl_ms);
  } else if (stale != NULL && (pgcache_value_is_stale(self->value) != 0) != json_is_true(stale)) {
    snprintf(self->why, sizeof self->why, "it is %s", json_is_true(stale) ? "not stale" : "stale");
  } else if (lease != NULL && self->lease != json_is_true(lease)) {
    snprintf(self->why, sizeof self->why, "%s", self->lease ? "it came with a lease" : "it came without a lease");
  } else if (loads != NULL && !self->scene->serving && atomic_load(&self->tally->loads) != json_integer_value(loads)) {
    snprintf(self->why, sizeof self->why, "the loader ran %d times", atomic_load(&self->tally->loads));
  }
  json_object_foreach((json_t *)(uintptr_t)gives, name, wanted) {
    const json_t *found = json_object_get(self->members, name);
    if (self->why[0] == 0 && !is_among(own_members, name) && !json_equal(found, wanted)) {
      char *text = found == NULL ? NULL : json_dumps(found, JSON_ENCODE_ANY);
      snprintf(self->why, sizeof self->why, "%s is %s", name, text != NULL ? text : "not known");
      free(text);
    }
  }
}

static void compare_outcome(call *self) {
  const char *expected = text_member(self->step, "expect", "ok"), *newer = text_member(self->step, "newer", NULL);
  char outcome[40];
  status_word(self->status, outcome);
  if (self->failed) {
    snprintf(outcome, sizeof outcome, "failed");
  }
  if (strcmp(outcome, expected) != 0) {
    snprintf(self->why, sizeof self->why, "gave %s, not %s%s%s", outcome, expected, self->status < 0 ? ": " : "",
             self->status < 0 ? self->error.message : "");
  } else if (newer != NULL && self->version <= scene_saved(self->scene, newer)) {
    snprintf(self->why, sizeof self->why, "the version is not higher than %s", newer);
  } else {
    compare_gives(self, json_object_get(self->step, "gives"));
  }
}

/* ---- Attempts ------------------------------------------------------------------------------------------------------------------- */

typedef struct caller {
  pthread_t thread;
  scene *scene;
  const json_t *step;
  tally *tally;
  bool reversed;
  char why[WHY_SIZE];
} caller;

static void *attempt(void *argument) {
  caller *self = argument;
  const char *save = text_member(self->step, "save", NULL);
  call one;
  call_open(&one, self->scene, self->step);
  one.tally = self->tally;
  one.reversed = self->reversed;
  perform(&one);
  if (one.why[0] == 0) {
    compare_outcome(&one);
  }
  if (one.why[0] == 0 && save != NULL) {
    scene_save(self->scene, save, one.version);
  }
  memcpy(self->why, one.why, WHY_SIZE);
  call_close(&one);
  return NULL;
}

static void attempt_all(scene *of, const json_t *step, tally *loads, char why[WHY_SIZE]) {
  const int count = (int)number_member(step, "callers", 1);
  if (count < 1 || count > MOST_CALLERS) {
    die("a step has %d callers", count);
  }
  caller *callers = allocate((size_t)count * sizeof *callers);
  for (int i = 0; i < count; i++) {
    callers[i] = (caller){.scene = of, .step = step, .tally = loads, .reversed = i % 2 == 1};
    if (i > 0 && pthread_create(&callers[i].thread, NULL, attempt, &callers[i]) != 0) {
      die("a thread cannot be started");
    }
  }
  attempt(&callers[0]);
  memcpy(why, callers[0].why, WHY_SIZE);
  for (int i = 1; i < count; i++) {
    pthread_join(callers[i].thread, NULL);
    if (why[0] == 0) {
      memcpy(why, callers[i].why, WHY_SIZE);
    }
  }
  free(callers);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void step_do(scene *self, const json_t *step, char why[WHY_SIZE]) {
  const int64_t until = now_ms() + number_member(step, "within_ms", 0);
  tally *loads = json_object_get(step, "loader") != NULL ? tally_new(self) : NULL;
  const char *name;
  json_t *member;
  json_object_foreach((json_t *)(uintptr_t)step, name, member) {
    if (!is_among(step_members, name)) {
      snprintf(why, WHY_SIZE, "no such member of a step: %s", name);
      return;
    }
  }
  for (;;) {
    attempt_all(self, step, loads, why);
    if (why[0] == 0 || now_ms() >= until) {
      return;
    }
    usleep(PAUSE_US);
  }
}
