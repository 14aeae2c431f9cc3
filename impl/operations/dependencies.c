/*
 * dependencies.c - see dependencies.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/dependencies.h"

#include <stdlib.h>

#include "operations/copies.h"
#include "pure/error.h"
#include "pure/sizes.h"

static pgcache_status take_digest(pgc_call *call, const pgcache_dependency *what, size_t index, pgc_digest *digest) {
  const char *kind = what->kind == PGCACHE_DEPENDS_ON_KEY ? "key" : "tag";
  size_t longest = what->kind == PGCACHE_DEPENDS_ON_KEY ? PGCACHE_KEY_MAX : PGCACHE_TAG_MAX;
  if (what->kind != PGCACHE_DEPENDS_ON_KEY && what->kind != PGCACHE_DEPENDS_ON_TAG)
    return pgc_fail(call->error, PGCACHE_INVALID, "dependency %zu: unknown kind", index);
  if (what->name == NULL || what->name_len == 0)
    return pgc_fail(call->error, PGCACHE_INVALID, "dependency %zu: the %s is %s", index, kind,
                    what->name == NULL ? "NULL" : "empty");
  if (what->name_len > longest)
    return pgc_fail(call->error, PGCACHE_TOO_LARGE, "dependency %zu: the %s has %zu bytes; at most %zu are allowed",
                    index, kind, what->name_len, longest);
  if (what->kind == PGCACHE_DEPENDS_ON_KEY)
    pgc_encoding_digest(&call->cache->encoding, digest, call->op.namespace_name, what->name, what->name_len);
  else
    pgc_digest_of_tag(digest, call->op.namespace_name, what->name, what->name_len);
  return PGCACHE_OK;
}

static int compare(const void *left, const void *right) {
  return pgc_digest_compare(left, right);
}

/* Sorts, and leaves out duplicates. How many there are then. */
static size_t put_in_order(pgc_digest *digests, size_t count) {
  size_t kept = 0;
  if (count == 0)
    return 0;
  qsort(digests, count, sizeof *digests, compare);
  for (size_t i = 0; i < count; i++) {
    if (kept == 0 || pgc_digest_compare(&digests[i], &digests[kept - 1]) != 0)
      digests[kept++] = digests[i];
  }
  return kept;
}

/* Takes them in the order given. */
static pgcache_status take_each(pgc_call *call, const pgcache_dependency *what, size_t count, size_t most,
                                pgc_digest *digests) {
  if (count == 0)
    return PGCACHE_OK;
  if (count > most)
    return pgc_fail(call->error, PGCACHE_INVALID, "%zu dependencies are too many; %zu are allowed", count, most);
  if (what == NULL || !PGC_MAKES_ARRAY(pgcache_dependency, what->struct_size, name_len, count))
    return pgc_fail(call->error, PGCACHE_INVALID,
                    "the dependencies are NULL, or their struct_size is not set; use PGCACHE_DEPENDENCY_INIT");
  for (size_t i = 0; i < count; i++) {
    const pgcache_dependency *each = pgc_dependency_at(what, i);
    if (each->struct_size != what->struct_size)
      return pgc_fail(call->error, PGCACHE_INVALID, "dependency %zu: struct_size differs from the first one's", i);
    pgcache_status status = take_digest(call, each, i, &digests[i]);
    if (status != PGCACHE_OK)
      return status;
  }
  return PGCACHE_OK;
}

static bool has_tag(const pgcache_dependency *what, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (pgc_dependency_at(what, i)->kind == PGCACHE_DEPENDS_ON_TAG)
      return true;
  }
  return false;
}

pgcache_status pgc_call_set_dependencies(pgc_call *call, pgc_digest tags[PGC_TAGS_MAX]) {
  size_t count = call->dependency_count;
  call->op.tags = tags;
  pgcache_status status = take_each(call, call->dependencies, count, PGCACHE_DEPENDENCIES_MAX, tags);
  if (status == PGCACHE_OK && has_tag(call->dependencies, count))
    pgc_digest_of_tag(&tags[count++], call->op.namespace_name, "*", 1);
  call->op.tag_count = status == PGCACHE_OK ? put_in_order(tags, count) : 0;
  return status;
}

pgcache_status pgc_call_set_invalidated(pgc_call *call, const pgcache_dependency *what, size_t count,
                                        pgc_digest *digests) {
  call->op.u.invalidate.digests = digests;
  call->op.u.invalidate.names = what;
  call->op.u.invalidate.name_count = count;
  pgcache_status status = take_each(call, what, count, PGCACHE_BATCH_MAX, digests);
  call->op.u.invalidate.count = status == PGCACHE_OK ? put_in_order(digests, count) : 0;
  return status;
}

pgcache_status pgc_call_set_dependents(pgc_call *call, const pgcache_dependency *what, size_t count,
                                       pgc_digest *digests) {
  call->op.u.dependents.digests = digests;
  call->op.u.dependents.count = count;
  return take_each(call, what, count, PGCACHE_BATCH_MAX, digests);
}

/* Whatever came of it is done again here: copies and loads of this process need not wait for the change stream. */
static void tell(const pgc_call *call) {
  pgc_store *store = call->cache->store;
  pgc_near *near = pgc_copies_of(call->cache, false);
  pgc_flights *flights = store->flights != NULL ? store->flights(store) : NULL;
  for (size_t i = 0; i < call->op.u.invalidate.count; i++) {
    const pgc_digest *digest = &call->op.u.invalidate.digests[i];
    if (near != NULL)
      pgc_near_invalidated(near, digest);
    if (flights != NULL)
      pgc_flights_rouse(flights, digest);
  }
}

pgcache_status pgc_call_invalidate(pgc_call *call) {
  pgcache_status status = pgc_call_run(call);
  if (status == PGCACHE_OK)
    pgc_count_more(&call->cache->store->counters.invalidations, (int64_t)call->op.u.invalidate.count);
  tell(call);
  return status;
}
