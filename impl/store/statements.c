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

static const pgc_statement statements[PGC_STATEMENT_COUNT] = {
    [PGC_STATEMENT_GET] = {"pgcache_get", pgc_sql_statements_get, 7, false},
    [PGC_STATEMENT_GET_MANY] = {"pgcache_get_many", pgc_sql_statements_get_many, 8, false},
    [PGC_STATEMENT_EXISTS] = {"pgcache_exists", pgc_sql_statements_exists, 0, false},
    [PGC_STATEMENT_PUT] = {"pgcache_put", pgc_sql_statements_put, 1, false},
    [PGC_STATEMENT_PUT_MANY] = {"pgcache_put_many", pgc_sql_statements_put_many, 2, false},
    [PGC_STATEMENT_ADD] = {"pgcache_add", pgc_sql_statements_add, 1, false},
    [PGC_STATEMENT_REPLACE] = {"pgcache_replace", pgc_sql_statements_replace, 1, false},
    [PGC_STATEMENT_COMPARE_AND_SWAP] = {"pgcache_cas", pgc_sql_statements_compare_and_swap, 1, false},
    [PGC_STATEMENT_REMOVE] = {"pgcache_remove", pgc_sql_statements_remove, 1, false},
    [PGC_STATEMENT_REMOVE_MANY] = {"pgcache_remove_many", pgc_sql_statements_remove_many, 2, false},
    [PGC_STATEMENT_TOUCH] = {"pgcache_touch", pgc_sql_statements_touch, 1, false},
    [PGC_STATEMENT_INCREMENT] = {"pgcache_increment", pgc_sql_statements_increment, 2, false},
    [PGC_STATEMENT_KEYS] = {"pgcache_keys", pgc_sql_statements_keys, 6, true},
    [PGC_STATEMENT_STATS] = {"pgcache_stats", pgc_sql_statements_stats, 7, true},
    [PGC_STATEMENT_TRUNCATE] = {"pgcache_truncate", pgc_sql_statements_truncate, 1, true},
    [PGC_STATEMENT_FLUSH] = {"pgcache_flush", pgc_sql_statements_flush, 3, false},
    [PGC_STATEMENT_CLEANUP] = {"pgcache_cleanup", pgc_sql_statements_cleanup, 2, false},
    [PGC_STATEMENT_NEW_EPOCH] = {"pgcache_new_epoch", pgc_sql_statements_new_epoch, 1, false},
    [PGC_STATEMENT_CHECK_SCHEMA] = {"pgcache_check_schema", pgc_sql_statements_check_schema, 5, false},
    [PGC_STATEMENT_NOTE_KEYED_DIGESTS] = {"pgcache_note_keyed", pgc_sql_statements_note_keyed_digests, 1, false},
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
