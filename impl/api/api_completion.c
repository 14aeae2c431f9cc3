/*
 * api_completion.c - exported: reading a completion, which nothing changes any more but the taking of its load.
 *
 * SPDX-License-Identifier: MIT
 */
#include "engine/request.h"
#include "operations/lobby.h"

uint64_t pgcache_completion_id(const pgcache_completion *completion) {
  return completion != NULL ? completion->id : 0;
}

uint64_t pgcache_completion_token(const pgcache_completion *completion) {
  return completion != NULL ? completion->token : 0;
}

pgcache_status pgcache_completion_status(const pgcache_completion *completion) {
  return completion != NULL ? completion->status : PGCACHE_INVALID;
}

const char *pgcache_completion_sqlstate(const pgcache_completion *completion) {
  return completion != NULL ? completion->sqlstate : "";
}

const char *pgcache_completion_message(const pgcache_completion *completion) {
  return completion != NULL && completion->message != NULL ? completion->message : "";
}

int64_t pgcache_completion_version(const pgcache_completion *completion) {
  return completion != NULL ? completion->version : 0;
}

int64_t pgcache_completion_number(const pgcache_completion *completion) {
  return completion != NULL ? completion->number : 0;
}

/* What a get found stays in its part. */
static pgcache_value *found_by_get(const pgcache_completion *completion) {
  return completion->items == NULL && completion->part_count == 1 ? completion->parts[0].key.found : NULL;
}

size_t pgcache_completion_count(const pgcache_completion *completion) {
  if (completion == NULL)
    return 0;
  return found_by_get(completion) != NULL ? 1 : completion->count;
}

pgcache_value *pgcache_completion_value(const pgcache_completion *completion, size_t index) {
  if (index >= pgcache_completion_count(completion))
    return NULL;
  if (completion->items != NULL)
    return completion->items[index].result;
  pgcache_value *found = found_by_get(completion);
  return found != NULL ? found : completion->values != NULL ? completion->values[index] : NULL;
}

pgcache_load *pgcache_completion_load(pgcache_completion *completion) {
  if (completion == NULL || completion->load == NULL || completion->kind != PGC_OP_BEGIN_LOAD)
    return NULL;
  pgcache_load *load = completion->load;
  completion->load = NULL;
  return pgc_lobby_take(load);
}

const pgcache_item *pgcache_completion_item(const pgcache_completion *completion, size_t index) {
  return completion != NULL && completion->items != NULL && index < completion->count ? &completion->items[index]
                                                                                      : NULL;
}

const pgcache_store_stats *pgcache_completion_stats(const pgcache_completion *completion) {
  return completion != NULL && completion->status == PGCACHE_OK ? completion->stats : NULL;
}

const pgcache_usage *pgcache_completion_usage(const pgcache_completion *completion, size_t index) {
  return completion != NULL && completion->usage != NULL && index < completion->count ? &completion->usage[index]
                                                                                      : NULL;
}

const pgcache_cleanup_progress *pgcache_completion_progress(const pgcache_completion *completion) {
  return completion != NULL ? completion->progress : NULL;
}

void pgcache_completion_free(pgcache_completion *completion) {
  pgc_request_free(completion);
}
