/*
 * operations.c - the table's operations but loads, each as one call of the public interface.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void give_number(call *self, const char *name, int64_t number) {
  json_object_set_new(self->members, name, json_integer(number));
}

static int64_t ttl_of(const call *self) {
  return number_member(self->step, "ttl_ms", PGCACHE_TTL_DEFAULT);
}

/* ---- Reads ----------------------------------------------------------------------------------------------------------------------- */

typedef pgcache_status reader(pgcache *, pgcache_value **, const void *, size_t, const pgcache_options *,
                              pgcache_error *);

static void read_one(call *self, reader *how) {
  self->status = how(self->cache, &self->value, self->key.data, self->key.size, &self->options, &self->error);
  self->version = pgcache_value_version(self->value);
}

static void get(call *self) {
  read_one(self, pgcache_get);
}

static void peek(call *self) {
  read_one(self, pgcache_peek);
}

static void exists(call *self) {
  self->status = pgcache_exists(self->cache, self->key.data, self->key.size, &self->options, &self->error);
}

/* ---- Writes ---------------------------------------------------------------------------------------------------------------------- */

typedef pgcache_status writer(pgcache *, int64_t *, const void *, size_t, const void *, size_t, int32_t, int64_t,
                              const pgcache_options *, pgcache_error *);

static void write_one(call *self, writer *how) {
  int32_t format;
  bytes content = content_of(self->step, &format);
  self->status = how(self->cache, &self->version, self->key.data, self->key.size, content.data, content.size, format,
                     ttl_of(self), &self->options, &self->error);
  free(content.data);
}

static void put(call *self) {
  write_one(self, pgcache_put);
}

static void add(call *self) {
  write_one(self, pgcache_add);
}

static void replace(call *self) {
  write_one(self, pgcache_replace);
}

static void compare_and_swap(call *self) {
  int32_t format;
  bytes content = content_of(self->step, &format);
  self->status = pgcache_compare_and_swap(
      self->cache, &self->version, self->key.data, self->key.size, content.data, content.size, format, ttl_of(self),
      scene_saved(self->scene, text_member(self->step, "expected", "")), &self->options, &self->error);
  free(content.data);
}

static void remove_one(call *self) {
  self->status = pgcache_remove(self->cache, self->key.data, self->key.size, &self->options, &self->error);
}

static void touch(call *self) {
  self->status = pgcache_touch(self->cache, &self->version, self->key.data, self->key.size, ttl_of(self),
                               &self->options, &self->error);
}

static void add_to_counter(call *self, int sign) {
  self->status = pgcache_increment(self->cache, &self->number, &self->version, self->key.data, self->key.size,
                                   sign * number_member(self->step, "delta", 1),
                                   number_member(self->step, "initial", 0), ttl_of(self), &self->options, &self->error);
  give_number(self, "number", self->number);
}

static void increment(call *self) {
  add_to_counter(self, 1);
}

static void decrement(call *self) {
  add_to_counter(self, -1);
}

/* ---- Many keys ---------------------------------------------------------------------------------------------------------------------- */

typedef struct batch {
  pgcache_item *items;
  bytes *content; /* two for each item: its key, and its value if it has one */
  size_t count;
} batch;

static bytes text(const char *prefix, size_t number) {
  bytes result = {allocate(24), 0};
  result.size = (size_t)snprintf((char *)result.data, 24, "%s%zu", prefix, number);
  return result;
}

static batch batch_of(const call *self, bool values) {
  const json_t *list = json_object_get(self->step, values ? "items" : "keys");
  const int64_t numbered = number_member(self->step, "numbered", -1);
  const size_t count = numbered >= 0 ? (size_t)numbered : json_array_size(list);
  batch result = {allocate((count + 1) * sizeof(pgcache_item)), allocate((2 * count + 1) * sizeof(bytes)), count};
  for (size_t i = 0; i < count; i++) {
    const size_t number = self->reversed ? count - 1 - i : i;
    pgcache_item *item = &result.items[i];
    bytes *key = &result.content[2 * i], *value = key + 1;
    *item = (pgcache_item)PGCACHE_ITEM_INIT;
    if (numbered >= 0) {
      *key = text("k", number);
      *value = text("v", number);
    } else if (values) {
      *key = bytes_of(json_object_get(json_array_get(list, number), "key"));
      *value = content_of(json_array_get(list, number), &item->format);
    } else {
      *key = bytes_of(json_array_get(list, number));
    }
    item->key = key->data, item->key_len = key->size;
    item->value = value->data, item->value_len = value->size;
    item->ttl_ms = ttl_of(self);
  }
  return result;
}

static void batch_free(batch *self) {
  for (size_t i = 0; i < self->count; i++) {
    pgcache_value_free(self->items[i].result);
    free(self->content[2 * i].data);
    free(self->content[2 * i + 1].data);
  }
  free(self->content);
  free(self->items);
}

static void compare_items(call *self, const batch *found) {
  const json_t *wanted = json_object_get(json_object_get(self->step, "gives"), "values");
  if (wanted != NULL && json_array_size(wanted) != found->count) {
    die("a step gives %zu values for %zu keys", json_array_size(wanted), found->count);
  }
  for (size_t i = 0; i < found->count && self->why[0] == 0; i++) {
    const pgcache_item *item = &found->items[i];
    json_t *one = json_array_get(wanted, i);
    char why[WHY_SIZE] = "";
    if (json_is_null(one)) {
      snprintf(why, sizeof why, "%s", item->status == PGCACHE_MISS ? "" : "it is there");
    } else if (item->status != PGCACHE_OK) {
      snprintf(why, sizeof why, "it is missing");
    } else if (one == NULL) { /* numbered */
      const bytes *value = &found->content[2 * i + 1];
      if (pgcache_value_size(item->result) != value->size ||
          memcmp(pgcache_value_data(item->result), value->data, value->size) != 0) {
        snprintf(why, sizeof why, "it is another one");
      }
    } else {
      const bool document = json_object_get(one, "json") != NULL;
      json_t *as_value = document ? json_incref(one) : json_pack("{s:O}", "value", one);
      compare_value(item->result, as_value, why);
      json_decref(as_value);
    }
    if (why[0] != 0) {
      snprintf(self->why, sizeof self->why, "value %zu: %.300s", i, why);
    }
  }
}

static void get_many(call *self) {
  batch many = batch_of(self, false);
  self->status = pgcache_get_many(self->cache, many.items, many.count, &self->options, &self->error);
  if (self->status == PGCACHE_OK) {
    compare_items(self, &many);
  }
  batch_free(&many);
}

static void put_many(call *self) {
  batch many = batch_of(self, true);
  self->status = pgcache_put_many(self->cache, many.items, many.count, &self->options, &self->error);
  batch_free(&many);
}

static void remove_many(call *self) {
  batch many = batch_of(self, false);
  self->status = pgcache_remove_many(self->cache, many.items, many.count, &self->options, &self->error);
  for (size_t i = 0; i < many.count; i++) {
    self->number += many.items[i].status == PGCACHE_OK;
  }
  give_number(self, "number", self->number);
  batch_free(&many);
}

/* ---- The cache as a whole -------------------------------------------------------------------------------------------------------------- */

static void invalidate(call *self) {
  self->status =
      pgcache_invalidate(self->cache, self->dependencies, self->options.dependency_count, &self->options, &self->error);
}

static void dependents(call *self) {
  self->status = pgcache_dependents(self->cache, &self->value, self->dependencies, self->options.dependency_count,
                                    &self->options, &self->error);
  json_t *report = document_of(pgcache_value_data(self->value), pgcache_value_size(self->value));
  json_object_set(self->members, "entries", json_object_get(report, "entries"));
  json_decref(report);
}

static void fence(call *self) {
  self->status = pgcache_fence(self->cache, &self->options, &self->error);
}

static void init(call *self) {
  self->status = pgcache_init(self->cache, &self->options, &self->error);
}

static void flush(call *self) {
  const bool all = strcmp(text_member(self->step, "scope", "namespace"), "all") == 0;
  self->status = pgcache_flush(self->cache, &self->number, all ? PGCACHE_FLUSH_ALL : PGCACHE_FLUSH_NAMESPACE,
                               &self->options, &self->error);
  give_number(self, "number", self->number);
}

static void cleanup(call *self) {
  self->status = pgcache_cleanup(self->cache, &self->number, &self->options, &self->error);
  give_number(self, "number", self->number);
}

static void stats(call *self) {
  pgcache_store_stats found = PGCACHE_STORE_STATS_INIT;
  self->status = pgcache_stats(self->cache, &found, &self->options, &self->error);
  give_number(self, "entries", found.entries);
  give_number(self, "expired", found.expired);
}

static void keys(call *self) {
  enum { ROOM = 100 };
  const json_t *wanted = json_object_get(json_object_get(self->step, "gives"), "keys"),
               *prefix_member = json_object_get(self->step, "prefix");
  bytes prefix = prefix_member != NULL ? bytes_of(prefix_member) : (bytes){NULL, 0};
  pgcache_value *found[ROOM];
  size_t count = 0;
  self->status =
      pgcache_keys(self->cache, found, ROOM, &count, prefix.data, prefix.size, NULL, 0, &self->options, &self->error);
  if (self->status == PGCACHE_OK && count != json_array_size(wanted)) {
    snprintf(self->why, sizeof self->why, "there are %zu keys", count);
  }
  for (size_t i = 0; i < count; i++) {
    bytes one = self->why[0] == 0 ? bytes_of(json_array_get(wanted, i)) : (bytes){NULL, 0};
    if (self->why[0] == 0 &&
        (pgcache_value_size(found[i]) != one.size || memcmp(pgcache_value_data(found[i]), one.data, one.size) != 0)) {
      snprintf(self->why, sizeof self->why, "key %zu is another one", i);
    }
    free(one.data);
    pgcache_value_free(found[i]);
  }
  free(prefix.data);
}

/* ---- The handle -------------------------------------------------------------------------------------------------------------------------- */

static bool has_labels(const pgcache_snapshot *all, size_t sample, const json_t *labels) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)labels, name, value) {
    bool found = false;
    for (size_t i = 0; i < pgcache_snapshot_labels(all, sample); i++) {
      found |= strcmp(pgcache_snapshot_label_name(all, sample, i), name) == 0 &&
               strcmp(pgcache_snapshot_label_value(all, sample, i), json_string_value(value)) == 0;
    }
    if (!found) {
      return false;
    }
  }
  return true;
}

static void sample(call *self) {
  const json_t *labels = json_object_get(self->step, "labels");
  pgcache_snapshot *all = NULL;
  double sum = 0;
  bool found = false;
  self->status = pgcache_stats_snapshot(self->cache, &all, &self->error);
  for (size_t i = 0; i < pgcache_snapshot_size(all); i++) {
    if (strcmp(pgcache_snapshot_name(all, i), text_member(self->step, "name", "")) == 0 && has_labels(all, i, labels)) {
      found = true;
      sum += pgcache_snapshot_value(all, i);
    }
  }
  pgcache_snapshot_free(all);
  if (self->status == PGCACHE_OK && !found) {
    self->status = PGCACHE_MISS;
  }
  give_number(self, "number", (int64_t)sum);
}

static void open_handle(call *self) {
  pgcache *cache = NULL;
  pgcache_config *config = scene_config(json_object_get(self->step, "settings"), NULL, &self->error);
  self->status = config == NULL ? self->error.status : pgcache_new(&cache, config, &self->error);
  pgcache_free(cache);
  pgcache_config_free(config);
}

/* Not a number and infinity are 0, as pgcache_janitor_start() says. */
static void janitor_start(call *self) {
  self->status = pgcache_janitor_start(&self->handle->janitor, self->cache, number_member(self->step, "interval_ms", 0),
                                       &self->error);
}

static void janitor_stop(call *self) {
  self->status =
      pgcache_janitor_stop(self->handle->janitor, number_member(self->step, "timeout_ms", 5000), &self->error);
}

static void sleep_for(call *self) {
  usleep((useconds_t)number_member(self->step, "ms", 0) * 1000);
}

const operation operations[] = {{"get", get},
                                {"get_entry", get},
                                {"peek", peek},
                                {"exists", exists},
                                {"put", put},
                                {"add", add},
                                {"replace", replace},
                                {"compare_and_swap", compare_and_swap},
                                {"remove", remove_one},
                                {"touch", touch},
                                {"increment", increment},
                                {"decrement", decrement},
                                {"get_many", get_many},
                                {"put_many", put_many},
                                {"remove_many", remove_many},
                                {"invalidate", invalidate},
                                {"dependents", dependents},
                                {"fence", fence},
                                {"init", init},
                                {"flush", flush},
                                {"cleanup", cleanup},
                                {"stats", stats},
                                {"keys", keys},
                                {"sample", sample},
                                {"open", open_handle},
                                {"janitor_start", janitor_start},
                                {"janitor_stop", janitor_stop},
                                {"sleep", sleep_for},
                                {NULL, NULL}};
