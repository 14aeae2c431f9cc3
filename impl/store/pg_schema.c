/*
 * pg_schema.c - see pg_schema.h. The SQL is in impl/sql; here is only the order in which it runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/pg_schema.h"

#include <stdlib.h>
#include <string.h>

#include "pgc_sql.h"
#include "pure/error.h"
#include "pure/sql_text.h"

static pgcache_status differs(pgc_session *session, const char *setting, bool is, const char *yes, const char *no) {
  const char *made = is ? yes : no;
  return pgc_fail(session->error, PGCACHE_SCHEMA_DIFFERS,
                  "schema %s was made with %s=%s and the setting is %s=%s; set %s=%s, or use another schema",
                  session->schema, setting, made, setting, is ? no : yes, setting, made);
}

/* Compares what is there with what this library works with. */
static pgcache_status judge(pgc_session *session, int version, pgc_schema_kind kind, int wanted) {
  if (version > wanted)
    return pgc_fail(session->error, PGCACHE_SCHEMA_NEWER,
                    "schema %s has version %d and this library works with %d; upgrade the library", session->schema,
                    version, wanted);
  if (kind.logged != session->kind.logged)
    return differs(session, "table", kind.logged, "logged", "unlogged");
  if (kind.coherent != session->kind.coherent)
    return differs(session, "coherence", kind.coherent, "on", "off");
  if (version < wanted)
    return pgc_fail(session->error, PGCACHE_SCHEMA_OLDER,
                    "schema %s has version %d and this library works with %d; run `pgcache upgrade`", session->schema,
                    version, wanted);
  return PGCACHE_OK;
}

static pgcache_status missing(pgc_session *session) {
  return pgc_fail(
      session->error, PGCACHE_SCHEMA_MISSING,
      "schema %s is not there or is not a cache; run `pgcache init`, or correct the settings url and schema",
      session->schema);
}

/* It has no unlogged tables, takes no writes, and what it has lags behind: a read there would bring back what was removed
   and acknowledged. Asked again at each call, because it may be promoted. */
static pgcache_status refuse_standby(pgc_session *session) {
  return pgc_fail(
      session->error, PGCACHE_READ_ONLY,
      "the server is a standby, whose reads lag behind and which takes no writes; point the url at the primary "
      "(several hosts and target_session_attrs=primary follow it)");
}

/* The database was restored on another cluster: what the tables say refers to transactions of the old one. */
static pgcache_status adopt_cluster(pgc_session *session) {
  if (session->connection->mode == PGC_MODE_NESTED)
    return pgc_session_refuse_epoch(session);
  pgc_parameters none = {0};
  PGresult *result;
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_NEW_EPOCH, &none, &result);
  PQclear(result);
  return status;
}

/* ---- Which namespaces are noted as having keyed digests ---- */

/* FNV-1a: a name has one place, and names that share it are noted again. */
static uint64_t hash_name(const char *name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (; *name != '\0'; name++)
    hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
  return hash;
}

static bool is_noted(const pgc_session *session, uint64_t name) {
  return __atomic_load_n(&session->noted[name % PGC_NOTED_MAX], __ATOMIC_RELAXED) == name;
}

/* The table is another one than we wrote to. */
static void forget_notes(pgc_session *session) {
  for (size_t i = 0; i < PGC_NOTED_MAX; i++)
    __atomic_store_n(&session->noted[i], 0, __ATOMIC_RELAXED);
}

bool pgc_schema_is_noted(const pgc_session *session, const char *namespace_name) {
  return is_noted(session, hash_name(namespace_name));
}

pgcache_status pgc_schema_note_keyed(pgc_session *session, const char *namespace_name) {
  uint64_t name = hash_name(namespace_name);
  if (is_noted(session, name))
    return PGCACHE_OK;
  pgc_parameters parameters = {0};
  PGresult *result;
  bool writes = session->writes;
  session->writes = false; /* of the caller's operation nothing is under way */
  pgc_parameters_add_text(&parameters, namespace_name);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_NOTE_KEYED_DIGESTS, &parameters, &result);
  PQclear(result);
  session->writes = writes;
  if (status == PGCACHE_OK && session->connection->mode != PGC_MODE_NESTED) /* which may be rolled back */
    __atomic_store_n(&session->noted[name % PGC_NOTED_MAX], name, __ATOMIC_RELAXED);
  return status;
}

/* ---- What is there ---- */

/* What was prepared for another way of access is of no use: another connection prepares anew. */
static pgcache_status adopt_access(pgc_session *session, pgc_access access) {
  uint64_t same = UINT64_C(1) << PGC_STATEMENT_CHECK_SCHEMA | UINT64_C(1) << PGC_STATEMENT_NEW_EPOCH;
  if (access != session->connection->access && (session->connection->prepared & ~same) != 0) {
    session->broken = true;
    session->retry = true;
    return pgc_fail(session->error, PGCACHE_DENIED, "the role's privileges on schema %s were changed; call again",
                    session->schema);
  }
  session->connection->access = access;
  session->looked = true;
  return PGCACHE_OK;
}

pgcache_status pgc_schema_check(pgc_session *session) {
  pgc_parameters parameters = {0};
  PGresult *result;
  bool writes = session->writes;
  session->writes = false;
  pgc_parameters_add_text(&parameters, session->namespace_name);
  pgcache_status status = pgc_session_execute(session, PGC_STATEMENT_CHECK_SCHEMA, &parameters, &result);
  if (status != PGCACHE_OK) {
    /* No table, no schema, no function check_schema(). */
    const char *sqlstate = session->error->sqlstate;
    if (strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42883") == 0) {
      session->broken = false;
      status = missing(session);
    }
  } else if (PQntuples(result) != 1) {
    status = pgc_fail(session->error, PGCACHE_SCHEMA_CHANGED, "table %s.cache must have one row; it has %d",
                      session->schema, PQntuples(result));
  } else {
    int32_t version, made, access = PGC_ACCESS_TABLES, epoch;
    bool same_cluster, standby, bounded;
    status = pgc_session_int4(session, result, 0, 0, &version);
    if (status == PGCACHE_OK)
      status = pgc_session_int4(session, result, 0, 1, &made);
    if (status == PGCACHE_OK)
      status = pgc_session_bool(session, result, 0, 2, &same_cluster);
    if (status == PGCACHE_OK)
      status = pgc_session_bool(session, result, 0, 3, &session->connection->keyed_digests);
    if (status == PGCACHE_OK)
      status = pgc_session_bool(session, result, 0, 4, &standby);
    if (status == PGCACHE_OK)
      status = pgc_session_int4(session, result, 0, 5, &access);
    if (status == PGCACHE_OK && session->keyed_digests && !session->connection->keyed_digests &&
        pgc_schema_is_noted(session, session->namespace_name))
      forget_notes(session);
    if (status == PGCACHE_OK && standby)
      status = refuse_standby(session);
    if (status == PGCACHE_OK)
      status = pgc_session_bool(session, result, 0, 6, &bounded);
    if (status == PGCACHE_OK)
      pgc_stamps_want(session->stamps, bounded);
    if (status == PGCACHE_OK)
      status = pgc_session_int4(session, result, 0, 7, &epoch);
    if (status == PGCACHE_OK)
      status = judge(session, version, (pgc_schema_kind){.logged = (made & 1) != 0, .coherent = (made & 2) != 0},
                     pgc_migrations_version(pgc_migrations_list()));
    if (status == PGCACHE_OK && !same_cluster)
      status = adopt_cluster(session);
    if (status == PGCACHE_OK && session->near != NULL)
      pgc_near_heed_epoch(session->near, epoch);
    if (status == PGCACHE_OK && access >= 0 && access < PGC_ACCESS_COUNT)
      status = adopt_access(session, (pgc_access)access);
  }
  PQclear(result);
  session->writes = writes;
  session->connection->checked = status == PGCACHE_OK;
  return status;
}

/* Runs SQL after putting the names in. */
static pgcache_status run_resolved(pgc_session *session, const char *sql, PGresult **result) {
  pgc_buffer text = PGC_BUFFER_INIT;
  pgc_sql_resolve_roles(&text, sql, session->schema, session->kind, session->roles);
  pgc_buffer_append(&text, "", 1);
  pgcache_status status =
      text.failed ? pgc_fail_memory(session->error) : pgc_session_run(session, (const char *)text.data, result);
  pgc_buffer_clear(&text);
  return status;
}

/* From here on the session is the role that owns the cache; what else is needed is refused to it. */
static pgcache_status become_owner(pgc_session *session) {
  pgcache_status status = run_resolved(session, pgc_sql_statements_become_owner, NULL);
  if (status == PGCACHE_DENIED)
    return pgc_fail_sql(session->error, PGCACHE_DENIED, session->error->sqlstate,
                        "schema %s belongs to another role; run init and upgrade as its owner or a member of it",
                        session->schema);
  return status;
}

/* The version that is there; 0 for none. The transaction is open, and the lock held. create: roles may be made, too. */
static pgcache_status read_version(pgc_session *session, bool create, int *version, pgc_schema_kind *kind) {
  PGresult *result;
  *version = 0;
  *kind = session->kind;
  pgcache_status status = run_resolved(session, pgc_sql_statements_begin_migration, &result);
  if (status != PGCACHE_OK)
    return status;
  bool there = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
  PQclear(result);
  if (create && session->roles->app_role[0] != '\0')
    status = run_resolved(session, pgc_sql_statements_make_roles, NULL);
  else if (there)
    status = become_owner(session);
  if (status != PGCACHE_OK || !there)
    return status;
  status = run_resolved(session, pgc_sql_statements_read_version, &result);
  if (status != PGCACHE_OK)
    return status;
  if (PQntuples(result) != 1) {
    status = pgc_fail(session->error, PGCACHE_SCHEMA_CHANGED, "table %s.cache must have one row; it has %d",
                      session->schema, PQntuples(result));
  } else {
    *version = atoi(PQgetvalue(result, 0, 0));
    kind->logged = strcmp(PQgetvalue(result, 0, 1), "t") == 0;
    kind->coherent = strcmp(PQgetvalue(result, 0, 2), "t") == 0;
  }
  PQclear(result);
  return status;
}

static pgcache_status migrate(pgc_session *session, pgc_migrations migrations, bool create) {
  int version;
  pgc_schema_kind kind;
  pgcache_status status = read_version(session, create, &version, &kind);
  if (status != PGCACHE_OK)
    return status;
  if (version == 0 && !create)
    return missing(session);
  pgcache_status outcome = PGCACHE_OK;
  if (version != 0) {
    status = judge(session, version, kind, pgc_migrations_version(migrations));
    if (status == PGCACHE_OK)
      outcome = PGCACHE_EXISTS;
    else if (status != PGCACHE_SCHEMA_OLDER)
      return status;
  }
  for (size_t i = 0; i < migrations.count; i++) {
    if (migrations.steps[i].version <= version)
      continue;
    status = run_resolved(session, migrations.steps[i].sql, NULL);
    if (status != PGCACHE_OK)
      return status;
  }
  status = PGCACHE_OK;
  if (version == 0 && session->inline_values)
    status = run_resolved(session, pgc_sql_statements_inline_values, NULL);
  if (status == PGCACHE_OK && version == 0 && session->roles->notify_channel[0] != '\0')
    status = run_resolved(session, pgc_sql_statements_set_channel, NULL);
  if (status == PGCACHE_OK && create && session->roles->app_role[0] != '\0')
    status = run_resolved(session, pgc_sql_statements_grant_access, NULL);
  return status == PGCACHE_OK ? outcome : status;
}

pgcache_status pgc_schema_migrate(pgc_session *session, pgc_migrations migrations, bool create) {
  if (session->connection->mode == PGC_MODE_NESTED)
    return pgc_fail(session->error, PGCACHE_INVALID,
                    "the schema cannot be made or upgraded inside of a transaction: end it first");
  session->writes = false; /* until the commit nothing is changed */
  pgcache_status outcome = migrate(session, migrations, create);
  if (outcome >= 0) {
    session->writes = true;
    pgcache_status ended = pgc_session_run(session, "COMMIT", NULL);
    if (ended != PGCACHE_OK)
      outcome = ended;
  }
  if (outcome == PGCACHE_OK && session->keyed_digests)
    forget_notes(session);
  if (outcome < 0)
    session->broken = true; /* closing the connection rolls back whatever was begun */
  return outcome;
}
