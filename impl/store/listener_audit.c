/*
 * listener_audit.c - the auditor: compares a few entries of the near cache with the store and counts those that the change
 * stream should have taken away and has not. The number that a user can watch: it is 0.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "pure/codec.h"
#include "store/listener_inside.h"

#define SAMPLE 16
#define NOT_THERE (-1)

typedef struct sample {
  size_t count;
  pgc_digest digests[SAMPLE];
  int64_t versions[SAMPLE]; /* that the near cache has */
  int64_t stored[SAMPLE];   /* that the store has; 0: one that was invalidated; NOT_THERE */
} sample;

/* A row of versions.sql, for the entry that it is of. */
static bool take_row(pgc_listener *self, sample *some, const PGresult *result, int row) {
  int64_t version;
  if (PQgetlength(result, row, 0) != PGC_DIGEST_SIZE ||
      pgc_session_int8(&self->session, result, row, 1, &version) != PGCACHE_OK)
    return false;
  for (size_t i = 0; i < some->count; i++) {
    if (memcmp(some->digests[i].bytes, PQgetvalue(result, row, 0), PGC_DIGEST_SIZE) == 0)
      some->stored[i] = version;
  }
  return true;
}

static bool ask_versions(pgc_listener *self, sample *some) {
  pgc_buffer array = PGC_BUFFER_INIT;
  pgc_encode_array_header(&array, PGC_OID_UUID, some->count);
  for (size_t i = 0; i < some->count; i++) {
    pgc_buffer_append_u32(&array, PGC_DIGEST_SIZE);
    pgc_buffer_append(&array, some->digests[i].bytes, PGC_DIGEST_SIZE);
  }
  bool good = !array.failed;
  if (good) {
    pgc_parameters parameters = {0};
    PGresult *result;
    pgc_parameters_add_bytes(&parameters, array.data, array.size);
    good = pgc_listener_ask(self, PGC_STATEMENT_VERSIONS, &parameters, &result) == PGCACHE_OK;
    for (int row = 0; good && row < PQntuples(result); row++)
      good = take_row(self, some, result, row);
    PQclear(result);
  }
  pgc_buffer_clear(&array);
  return good;
}

bool pgc_listener_audit(pgc_listener *self) {
  sample some = {0};
  some.count = pgc_near_sample(self->near, some.digests, some.versions, SAMPLE);
  if (some.count == 0)
    return true;
  for (size_t i = 0; i < some.count; i++)
    some.stored[i] = NOT_THERE;
  self->session.broken = false;
  pgc_listener_set_deadline(self);
  if (!ask_versions(self, &some))
    return !self->session.broken; /* the next audit asks others */
  if (!pgc_listener_poll(self))   /* now what the store had said is applied here, too */
    return false;
  for (size_t i = 0; i < some.count; i++) {
    if (some.stored[i] == NOT_THERE && self->stream.restricted)
      continue; /* a role that is kept to fewer namespaces than the handle's may not see it */
    pgc_count(&self->counters->near_audited);
    if (some.stored[i] != some.versions[i] && pgc_near_holds(self->near, &some.digests[i], some.versions[i]))
      pgc_count(&self->counters->near_disagreements);
  }
  return true;
}
