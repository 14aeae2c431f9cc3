/*
 * conformance.h - what the parts of the C runner share. README.md beside it says what a runner does, and what the table holds.
 *
 * Owns the types only. The runner uses the public interface of pgcache, and jansson for the table; nothing of the library's inside.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_CONFORMANCE_H
#define PGCACHE_CONFORMANCE_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgcache_hooks.h"

#define LANGUAGE "c"

enum { WHY_SIZE = 700, MOST_HANDLES = 3, MOST_LOADS = 8 };

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *allocate(size_t size); /* zeroed; never NULL */

/* ---- table.c: what the table says, in C's terms ------------------------------------------------------------------------------ */

typedef struct bytes {
  unsigned char *data; /* followed by a NUL; to be given to free() */
  size_t size;
} bytes;

bytes bytes_of(const json_t *json);                    /* BYTES */
bytes document_bytes(const json_t *document);          /* as JSON text */
json_t *document_of(const void *data, size_t n);       /* NULL: it is no JSON */
bytes content_of(const json_t *json, int32_t *format); /* of a member value, with its format, or json */

/* Why the value does not hold what `wanted` says with value, json and format; "" if it does. */
void compare_value(const pgcache_value *value, const json_t *wanted, char why[WHY_SIZE]);

const char *text_member(const json_t *json, const char *name, const char *otherwise);
int64_t number_member(const json_t *json, const char *name,
                      int64_t otherwise); /* "never", "default" are TTLs, others are 0 */
bool has_word(const json_t *list, const char *word);
void status_word(pgcache_status status, char word[40]); /* in small letters, without the prefix */

/* ---- scene.c: a case's handles, loads and saved versions ----------------------------------------------------------------------- */

typedef struct handle {
  char name[8];
  pgcache *cache;
  pgcache_janitor *janitor;
} handle;

typedef struct scene {
  const json_t *settings, *more; /* of the file, of the case */
  pthread_mutex_t lock;          /* of all that follows */
  handle handles[MOST_HANDLES];
  struct {
    char name[16];
    pgcache_load *load;
  } loads[MOST_LOADS];
  json_t *saved;         /* names and versions */
  struct tally *tallies; /* of loaders, see loads.c */
  bool serving;          /* other runners take part */
} scene;

pgcache_config *scene_config(const json_t *settings, const json_t *more, pgcache_error *error); /* NULL: refused */
void scene_open(scene *self, const json_t *table, const json_t *one_case);
void scene_close(scene *self);
handle *scene_handle(scene *self, const char *name);      /* made if it is not there; dies if it cannot be */
pgcache_load **scene_load(scene *self, const char *name); /* the place of a load of that name */
void scene_save(scene *self, const char *name, int64_t version);
int64_t scene_saved(scene *self, const char *name);

/* ---- steps.c ---------------------------------------------------------------------------------------------------------------------- */

/* One call: what the step says, and what came of it. */
typedef struct call {
  scene *scene;
  const json_t *step;
  handle *handle;
  pgcache *cache;
  struct tally *tally; /* of get_or_load */
  bool reversed;       /* numbered keys in reverse order */
  pgcache_options options;
  bytes key, namespace_name, span_name;
  pgcache_dependency *dependencies;
  /* what came of it: */
  pgcache_error error;
  pgcache_status status;
  bool failed; /* with the loader's own error */
  pgcache_value *value;
  int64_t version, number;
  bool lease;
  json_t *members; /* of gives, as they came: lists and figures */
  char why[WHY_SIZE];
} call;

/* Does a step, as often and by as many callers as it says. why: "" if all is as it has to be. */
void step_do(scene *self, const json_t *step, char why[WHY_SIZE]);
void call_open(call *self, scene *of, const json_t *step);
void call_close(call *self);

/* ---- operations.c, loads.c ------------------------------------------------------------------------------------------------------ */

typedef struct operation {
  const char *name;
  void (*perform)(call *self);
} operation;

extern const operation operations[], load_operations[]; /* the last one has no name */

/* How often a step's loader ran; it may go on after the step. */
typedef struct tally {
  struct tally *next;
  atomic_int loads;
} tally;
tally *tally_new(scene *of);
void how_of(const json_t *step, pgcache_load_options *how);

#endif /* PGCACHE_CONFORMANCE_H */
