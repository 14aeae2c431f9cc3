/*
 * statements.h - the statements of the data path: each one file of SQL, prepared once per connection, all parameters and
 * results binary.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_STATEMENTS_H
#define PGC_STORE_STATEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pgc_statement_id {
  PGC_STATEMENT_GET,
  PGC_STATEMENT_GET_MANY,
  PGC_STATEMENT_GET_UNGUARDED,
  PGC_STATEMENT_GET_MANY_UNGUARDED,
  PGC_STATEMENT_EXISTS,
  PGC_STATEMENT_PUT,
  PGC_STATEMENT_PUT_MANY,
  PGC_STATEMENT_ADD,
  PGC_STATEMENT_REPLACE,
  PGC_STATEMENT_COMPARE_AND_SWAP,
  PGC_STATEMENT_REMOVE,
  PGC_STATEMENT_REMOVE_MANY,
  PGC_STATEMENT_TOUCH,
  PGC_STATEMENT_INCREMENT,
  PGC_STATEMENT_KEYS,
  PGC_STATEMENT_STATS,
  PGC_STATEMENT_TRUNCATE,
  PGC_STATEMENT_FLUSH,
  PGC_STATEMENT_CLEANUP,
  PGC_STATEMENT_CLEAN_SLICE,
  PGC_STATEMENT_STAMP,
  PGC_STATEMENT_USAGE,
  PGC_STATEMENT_WRITE_SUMMARY,
  PGC_STATEMENT_READ_SUMMARIES,
  PGC_STATEMENT_DEPENDENTS,
  PGC_STATEMENT_SET_LIMIT,
  PGC_STATEMENT_NEW_EPOCH,
  PGC_STATEMENT_CHECK_SCHEMA,
  PGC_STATEMENT_NOTE_KEYED_DIGESTS,
  PGC_STATEMENT_POLL_CHANGES,
  PGC_STATEMENT_LEAD_RELAY,
  PGC_STATEMENT_PUBLISH,
  PGC_STATEMENT_TRIM_CHANGES,
  PGC_STATEMENT_INVALIDATE,
  PGC_STATEMENT_VERSIONS,
  PGC_STATEMENT_BEGIN_LOAD,
  PGC_STATEMENT_FILL_LOAD,
  PGC_STATEMENT_END_LOAD,
  PGC_STATEMENT_EXTEND_LOAD,
  PGC_STATEMENT_COUNT
} pgc_statement_id;

/* How a role works with the cache, see check_schema.sql. The functions do the same as the statements, for roles that may
   not use the tables themselves; impl/sql/functions makes them from the same texts. */
typedef enum pgc_access {
  PGC_ACCESS_TABLES,     /* with statements of its own */
  PGC_ACCESS_LIBRARY,    /* with the functions library_* */
  PGC_ACCESS_RESTRICTED, /* with the functions restricted_*, which are kept to the namespaces of the role */
  PGC_ACCESS_COUNT
} pgc_access;

typedef struct pgc_statement {
  const char *name;
  const char *sql[PGC_ACCESS_COUNT]; /* see pure/sql_text.h */
  int columns;                       /* of its result */
  bool scans; /* reads the whole table, so that sequential scans must be allowed to the planner */
} pgc_statement;

const pgc_statement *pgc_statement_get(pgc_statement_id id);

/* Parameters of one execution. They point into the caller's memory; numbers are kept here. */
#define PGC_PARAMETERS_MAX 12

typedef struct pgc_parameters {
  int count;
  const char *values[PGC_PARAMETERS_MAX];
  int lengths[PGC_PARAMETERS_MAX];
  int formats[PGC_PARAMETERS_MAX]; /* all 1: binary */
  unsigned char numbers[PGC_PARAMETERS_MAX][8];
} pgc_parameters;

void pgc_parameters_add_bytes(pgc_parameters *parameters, const void *bytes, size_t size); /* NULL, 0: no bytes */
void pgc_parameters_add_text(pgc_parameters *parameters, const char *text);
void pgc_parameters_add_bool(pgc_parameters *parameters, bool truth);
void pgc_parameters_add_int4(pgc_parameters *parameters, int32_t number);
void pgc_parameters_add_int8(pgc_parameters *parameters, int64_t number);
void pgc_parameters_add_ttl(pgc_parameters *parameters, int64_t ttl_ms); /* PGCACHE_TTL_NEVER: an SQL NULL */
void pgc_parameters_add_tid(pgc_parameters *parameters, uint32_t block, uint16_t line);
void pgc_parameters_add_null(pgc_parameters *parameters);

#endif
