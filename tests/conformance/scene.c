/*
 * scene.c - a case's handles, loads and saved versions.
 *
 * Owns the handles: they are made when a step first names them, and go with the case. Must never make one with a janitor.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool set_all(pgcache_config *config, const json_t *settings, pgcache_error *error) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)settings, name, value) {
    if (pgcache_config_set(config, name, json_string_value(value), error) != PGCACHE_OK) {
      return false;
    }
  }
  return true;
}

pgcache_config *scene_config(const json_t *settings, const json_t *more, pgcache_error *error) {
  pgcache_config *config = NULL;
  if (pgcache_config_new(&config, error) == PGCACHE_OK &&
      pgcache_config_load_environment(config, error) == PGCACHE_OK && set_all(config, settings, error) &&
      set_all(config, more, error)) {
    return config;
  }
  pgcache_config_free(config);
  return NULL;
}

void scene_open(scene *self, const json_t *table, const json_t *one_case) {
  *self = (scene){.settings = json_object_get(table, "settings"),
                  .more = json_object_get(one_case, "settings"),
                  .saved = json_object()};
  pthread_mutex_init(&self->lock, NULL);
}

void scene_close(scene *self) {
  for (int i = 0; i < MOST_LOADS; i++) {
    pgcache_load_free(self->loads[i].load);
  }
  for (int i = 0; i < MOST_HANDLES; i++) {
    pgcache_janitor_free(self->handles[i].janitor);
    pgcache_free(self->handles[i].cache);
  }
  while (self->tallies != NULL) {
    tally *next = self->tallies->next;
    free(self->tallies);
    self->tallies = next;
  }
  json_decref(self->saved);
  pthread_mutex_destroy(&self->lock);
}

handle *scene_handle(scene *self, const char *name) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pthread_mutex_lock(&self->lock);
  handle *found = self->handles;
  while (found < self->handles + MOST_HANDLES && found->cache != NULL && strcmp(found->name, name) != 0) {
    found++;
  }
  if (found == self->handles + MOST_HANDLES) {
    die("the case has more than %d handles", MOST_HANDLES);
  }
  if (found->cache == NULL) {
    pgcache_config *config = scene_config(self->settings, self->more, &error);
    snprintf(found->name, sizeof found->name, "%s", name);
    if (config == NULL || pgcache_new(&found->cache, config, &error) != PGCACHE_OK) {
      die("no handle can be made: %s", error.message);
    }
    pgcache_config_free(config);
  }
  pthread_mutex_unlock(&self->lock);
  return found;
}

pgcache_load **scene_load(scene *self, const char *name) {
  for (int i = 0; i < MOST_LOADS; i++) {
    if (self->loads[i].name[0] == 0) {
      snprintf(self->loads[i].name, sizeof self->loads[i].name, "%s", name);
    }
    if (strcmp(self->loads[i].name, name) == 0) {
      return &self->loads[i].load;
    }
  }
  die("the case has more than %d loads", MOST_LOADS);
}

void scene_save(scene *self, const char *name, int64_t version) {
  pthread_mutex_lock(&self->lock);
  json_object_set_new(self->saved, name, json_integer(version));
  pthread_mutex_unlock(&self->lock);
}

int64_t scene_saved(scene *self, const char *name) {
  pthread_mutex_lock(&self->lock);
  const json_t *saved = json_object_get(self->saved, name);
  const int64_t version = json_integer_value(saved);
  pthread_mutex_unlock(&self->lock);
  if (saved == NULL) {
    die("no version was saved as %s", name);
  }
  return version;
}
