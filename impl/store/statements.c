/*
 * statements.c - see statements.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/statements.h"

#include <string.h>

#include "pgc_sql.h"
#include "pgcache.h"
#include "platform/buffer.h"

/* A statement that says what it takes and gives, and the calls of the functions made from it. */
#define SQL(file)                                                                                                      \
  { pgc_sql_statements_##file, pgc_sql_library_##file, pgc_sql_restricted_##file }
/* A statement that calls a function that everybody who may use the cache may call. */
#define CALLS(file)                                                                                                    \
  { pgc_sql_statements_##file, pgc_sql_statements_##file, pgc_sql_statements_##file }

static const pgc_statement statements[PGC_STATEMENT_COUNT] = {
    [PGC_STATEMENT_GET] = {"pgcache_get", SQL(get), 10, false},
    [PGC_STATEMENT_GET_MANY] = {"pgcache_get_many", SQL(get_many), 11, false},
    [PGC_STATEMENT_GET_UNGUARDED] = {"pgcache_get_raw", SQL(get_unguarded), 10, false},
    [PGC_STATEMENT_GET_MANY_UNGUARDED] = {"pgcache_get_many_raw", SQL(get_many_unguarded), 11, false},
    [PGC_STATEMENT_EXISTS] = {"pgcache_exists", SQL(exists), 1, false},
    [PGC_STATEMENT_PUT] = {"pgcache_put", SQL(put), 1, false},
    [PGC_STATEMENT_PUT_MANY] = {"pgcache_put_many", SQL(put_many), 2, false},
    [PGC_STATEMENT_ADD] = {"pgcache_add", SQL(add), 1, false},
    [PGC_STATEMENT_REPLACE] = {"pgcache_replace", SQL(replace), 1, false},
    [PGC_STATEMENT_COMPARE_AND_SWAP] = {"pgcache_cas", SQL(compare_and_swap), 1, false},
    [PGC_STATEMENT_REMOVE] = {"pgcache_remove", SQL(remove), 1, false},
    [PGC_STATEMENT_REMOVE_MANY] = {"pgcache_remove_many", SQL(remove_many), 2, false},
    [PGC_STATEMENT_TOUCH] = {"pgcache_touch", SQL(touch), 1, false},
    [PGC_STATEMENT_INCREMENT] = {"pgcache_increment", SQL(increment), 2, false},
    [PGC_STATEMENT_KEYS] = {"pgcache_keys", SQL(keys), 6, true},
    [PGC_STATEMENT_STATS] = {"pgcache_stats", SQL(stats), 7, true},
    [PGC_STATEMENT_TRUNCATE] = {"pgcache_truncate", CALLS(truncate), 1, true},
    [PGC_STATEMENT_FLUSH] = {"pgcache_flush", SQL(flush), 3, false},
    [PGC_STATEMENT_CLEANUP] = {"pgcache_cleanup", SQL(cleanup), 3, false},
    [PGC_STATEMENT_CLEAN_SLICE] = {"pgcache_clean_slice", CALLS(clean_slice), 9, false},
    [PGC_STATEMENT_STAMP] = {"pgcache_stamp", SQL(stamp), 1, false},
    [PGC_STATEMENT_USAGE] = {"pgcache_usage", CALLS(usage), 6, true},
    [PGC_STATEMENT_WRITE_SUMMARY] = {"pgcache_write_summary", CALLS(write_summary), 1, false},
    [PGC_STATEMENT_READ_SUMMARIES] = {"pgcache_read_summaries", CALLS(read_summaries), 3, false},
    [PGC_STATEMENT_DEPENDENTS] = {"pgcache_dependents", SQL(dependents), 1, true},
    [PGC_STATEMENT_SET_LIMIT] = {"pgcache_set_limit", CALLS(set_limit), 1, false},
    [PGC_STATEMENT_NEW_EPOCH] = {"pgcache_new_epoch", CALLS(new_epoch), 1, false},
    [PGC_STATEMENT_CHECK_SCHEMA] = {"pgcache_check_schema", CALLS(check_schema), 8, false},
    [PGC_STATEMENT_NOTE_KEYED_DIGESTS] = {"pgcache_note_keyed", CALLS(note_keyed_digests), 1, false},
    [PGC_STATEMENT_POLL_CHANGES] = {"pgcache_poll_changes", SQL(poll_changes), 9, false},
    [PGC_STATEMENT_LEAD_RELAY] = {"pgcache_lead_relay", SQL(lead_relay), 1, false},
    [PGC_STATEMENT_PUBLISH] = {"pgcache_publish", CALLS(publish), 1, false},
    [PGC_STATEMENT_TRIM_CHANGES] = {"pgcache_trim_changes", CALLS(trim_changes), 1, false},
    [PGC_STATEMENT_INVALIDATE] = {"pgcache_invalidate", CALLS(invalidate), 1, false},
    [PGC_STATEMENT_VERSIONS] = {"pgcache_versions", SQL(versions), 2, false},
    [PGC_STATEMENT_BEGIN_LOAD] = {"pgcache_begin_load", SQL(begin_load), 13, false},
    [PGC_STATEMENT_FILL_LOAD] = {"pgcache_fill_load", SQL(fill_load), 2, false},
    [PGC_STATEMENT_END_LOAD] = {"pgcache_end_load", SQL(end_load), 1, false},
    [PGC_STATEMENT_EXTEND_LOAD] = {"pgcache_extend_load", SQL(extend_load), 1, false},
};

const pgc_statement *pgc_statement_get(pgc_statement_id id) {
  return &statements[id];
}

static void add(pgc_parameters *parameters, const void *value, int length) {
  int i = parameters->count++;
  parameters->values[i] = value;
  parameters->lengths[i] = length;
  parameters->formats[i] = 1;
}

void pgc_parameters_add_bytes(pgc_parameters *parameters, const void *bytes, size_t size) {
  /* To libpq a NULL pointer is an SQL NULL, which no bytes is not. Sizes were checked to fit an int. */
  add(parameters, bytes != NULL ? bytes : "", (int)size);
}

void pgc_parameters_add_text(pgc_parameters *parameters, const char *text) {
  add(parameters, text, (int)strlen(text));
}

void pgc_parameters_add_bool(pgc_parameters *parameters, bool truth) {
  unsigned char *bytes = parameters->numbers[parameters->count];
  bytes[0] = truth;
  add(parameters, bytes, 1);
}

void pgc_parameters_add_int4(pgc_parameters *parameters, int32_t number) {
  unsigned char *bytes = parameters->numbers[parameters->count];
  pgc_store_u32(bytes, (uint32_t)number);
  add(parameters, bytes, 4);
}

void pgc_parameters_add_int8(pgc_parameters *parameters, int64_t number) {
  unsigned char *bytes = parameters->numbers[parameters->count];
  pgc_store_u64(bytes, (uint64_t)number);
  add(parameters, bytes, 8);
}

void pgc_parameters_add_ttl(pgc_parameters *parameters, int64_t ttl_ms) {
  if (ttl_ms == PGCACHE_TTL_NEVER)
    pgc_parameters_add_null(parameters);
  else
    pgc_parameters_add_int8(parameters, ttl_ms);
}

void pgc_parameters_add_tid(pgc_parameters *parameters, uint32_t block, uint16_t line) {
  unsigned char *bytes = parameters->numbers[parameters->count];
  pgc_store_u32(bytes, block);
  bytes[4] = (unsigned char)(line >> 8);
  bytes[5] = (unsigned char)line;
  add(parameters, bytes, 6);
}

void pgc_parameters_add_null(pgc_parameters *parameters) {
  add(parameters, NULL, 0);
}
