/*
 * doctor_schema.c - is the cache's schema there, is it of our version, is it whole, and can it be written. What it should
 * hold is read from the migrations.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "pgc_sql.h"
#include "pure/migrations.h"
#include "pure/schema_pieces.h"
#include "store/doctor.h"

/* What the catalog says. */
typedef struct facts {
  bool schema, cache;  /* are there */
  char persistence;    /* of the table `entries`: 'u', 'p', or 0 when it is not there */
  bool writes_refused; /* default_transaction_read_only */
  bool askable;        /* the function check_schema() is there and may be called */
} facts;

static void add(pgc_doctor *self, pgc_severity severity, const char *check, const char *finding, const char *evidence,
                const char *remedy) {
  pgc_findings_add(&self->findings, (pgc_finding){severity, check, finding, evidence, remedy});
}

static bool is_true(const PGresult *result, int row, int column) {
  return strcmp(PQgetvalue(result, row, column), "t") == 0;
}

static pgcache_status read_facts(pgc_doctor *self, facts *out) {
  PGresult *result;
  pgcache_status status = pgc_doctor_ask(self, pgc_sql_statements_doctor_schema, &result);
  if (status != PGCACHE_OK) {
    pgc_doctor_add_failure(self, "schema", status);
    return status;
  }
  if (PQntuples(result) == 1) {
    out->schema = is_true(result, 0, 0);
    out->cache = is_true(result, 0, 1);
    out->persistence = PQgetvalue(result, 0, 2)[0];
    self->standby = is_true(result, 0, 3);
    self->readable = is_true(result, 0, 4);
    out->writes_refused = is_true(result, 0, 5);
    out->askable = is_true(result, 0, 6);
  }
  PQclear(result);
  return PGCACHE_OK;
}

/* Can the server be written to; and are the entries there at all. */
static void judge_server(pgc_doctor *self, const facts *found) {
  static const char *const primary = "point the url at the primary (target_session_attrs=primary)";
  if (self->standby && found->persistence != 'p')
    add(self, PGC_SEVERITY_ERROR, "standby", "the server is a standby, which has no unlogged tables", "in recovery",
        primary);
  else if (self->standby)
    add(self, PGC_SEVERITY_WARNING, "standby", "the server is a standby: it can be read, and takes no writes",
        "in recovery; the table of entries is logged", primary);
  else if (found->writes_refused)
    add(self, PGC_SEVERITY_WARNING, "standby", "sessions of this role or database are read-only",
        "default_transaction_read_only = on",
        "ALTER ROLE or ALTER DATABASE ... SET default_transaction_read_only = off");
  else
    add(self, PGC_SEVERITY_OK, "standby", "the server is a primary and takes writes", "not in recovery", "");
}

/* The version and kind of the schema. Gives the version; 0 when it is not known. */
static int judge_version(pgc_doctor *self, const char *sql, char persistence) {
  PGresult *result;
  const char *schema = self->session->schema;
  pgcache_status status = pgc_doctor_ask(self, sql, &result);
  if (status != PGCACHE_OK) {
    pgc_doctor_add_failure(self, "schema", status);
    return 0;
  }
  if (PQntuples(result) != 1) {
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_ERROR, "schema",
                                          "the row that says what the schema is is missing", NULL,
                                          "make the schema anew: DROP SCHEMA, then `pgcache init`"},
                            "table %s.cache has %d rows instead of one", schema, PQntuples(result));
    PQclear(result);
    return 0;
  }
  int ours = pgc_migrations_version(pgc_migrations_list());
  int version = atoi(PQgetvalue(result, 0, 0));
  bool logged = is_true(result, 0, 1), same_cluster = is_true(result, 0, 2), coherent = is_true(result, 0, 3);
  PQclear(result);
  pgc_finding finding = {PGC_SEVERITY_OK, "schema", "the schema is there and current", NULL, ""};
  if (version != ours) {
    finding.severity = PGC_SEVERITY_ERROR;
    finding.finding = version > ours ? "the schema is newer than the library" : "the schema is older than the library";
    finding.remedy = version > ours ? "upgrade the library" : "run `pgcache upgrade`";
  } else if (!same_cluster) {
    finding.severity = PGC_SEVERITY_INFO;
    finding.finding = "the schema comes from another cluster: the next call empties the cache and raises the epoch";
  }
  pgc_findings_add_format(&self->findings, finding, "schema %s has version %d, the library works with %d", schema,
                          version, ours);

  finding = (pgc_finding){PGC_SEVERITY_OK, "table", "the table is made as the setting table says", NULL, ""};
  if (logged != self->session->kind.logged) {
    finding.severity = PGC_SEVERITY_ERROR;
    finding.finding = "the setting table disagrees with how the schema was made";
    finding.remedy = logged ? "set table=logged, or use another schema" : "set table=unlogged, or use another schema";
  } else if (persistence != '\0' && (persistence == 'p') != logged) {
    finding.severity = PGC_SEVERITY_WARNING;
    finding.finding = "the table of entries was changed by hand between logged and unlogged";
    finding.remedy =
        logged ? "ALTER TABLE ... SET LOGGED, in a quiet hour" : "ALTER TABLE ... SET UNLOGGED, in a quiet hour";
  }
  pgc_findings_add_format(&self->findings, finding, "made with table=%s, the setting is table=%s, and %s.entries is %s",
                          logged ? "logged" : "unlogged", self->session->kind.logged ? "logged" : "unlogged", schema,
                          persistence == '\0'  ? "missing"
                          : persistence == 'p' ? "logged"
                                               : "unlogged");

  finding = (pgc_finding){PGC_SEVERITY_OK, "coherence", "the schema is made as the setting coherence says", NULL, ""};
  if (coherent != self->session->kind.coherent) {
    finding.severity = PGC_SEVERITY_ERROR;
    finding.finding = "the setting coherence disagrees with how the schema was made";
    finding.remedy = coherent ? "set coherence=on, or use another schema" : "set coherence=off, or use another schema";
  }
  pgc_findings_add_format(&self->findings, finding, "made with coherence=%s, the setting is coherence=%s",
                          coherent ? "on" : "off", self->session->kind.coherent ? "on" : "off");
  return version;
}

/* How many rows of doctor_pieces.sql are this piece. */
static int count_piece(const PGresult *result, const char *kind, const char *name) {
  int count = 0;
  for (int row = 0; row < PQntuples(result); row++)
    count += strcmp(PQgetvalue(result, row, 0), kind) == 0 && strcmp(PQgetvalue(result, row, 1), name) == 0;
  return count;
}

/* The value that an option has there instead, or NULL. piece: "entries fillfactor=70". */
static const char *other_value(const PGresult *result, const char *piece) {
  size_t length = strcspn(piece, "=") + 1;
  for (int row = 0; row < PQntuples(result); row++) {
    if (strcmp(PQgetvalue(result, row, 0), "option") == 0 && strncmp(PQgetvalue(result, row, 1), piece, length) == 0)
      return PQgetvalue(result, row, 1) + length;
  }
  return NULL;
}

static void add_missing_option(pgc_doctor *self, const PGresult *result, const char *piece) {
  const char *now = other_value(result, piece);
  if (strstr(piece, " fillfactor=") != NULL && now != NULL)
    return; /* values=inline chooses another */
  pgc_finding finding = {PGC_SEVERITY_INFO, "options", "an option of a table was changed by hand", NULL, ""};
  if (now == NULL) {
    finding.severity = PGC_SEVERITY_WARNING;
    finding.finding = "an option of a table is missing, without which it grows";
    finding.remedy = "put it back with ALTER TABLE ... SET";
  }
  pgc_findings_add_format(&self->findings, finding, "the schema is made with %s; now it is %s", piece,
                          now != NULL ? now : "the server's default");
}

static void add_missing(pgc_doctor *self, const char *kind, const char *name, int there, int needed) {
  bool view = strcmp(kind, "view") == 0;
  pgc_finding finding = {view ? PGC_SEVERITY_WARNING : PGC_SEVERITY_ERROR, "pieces", "a piece of the schema is missing",
                         NULL, "nothing but the cache's content is lost when you DROP SCHEMA and run `pgcache init`"};
  if (needed > 1)
    pgc_findings_add_format(&self->findings, finding, "%s %s.%s: %d of %d forms are there", kind, self->session->schema,
                            name, there, needed);
  else
    pgc_findings_add_format(&self->findings, finding, "%s %s.%s", kind, self->session->schema, name);
}

/* How often the migrations make this piece, up to and with the one that is read here. */
static int forms_until(const pgc_schema_scan *until, size_t step, const pgc_schema_piece *piece) {
  pgc_migrations migrations = pgc_migrations_list();
  int forms = 0;
  for (size_t i = 0; i <= step; i++) {
    pgc_schema_scan scan = PGC_SCHEMA_SCAN_INIT(migrations.steps[i].sql);
    pgc_schema_piece other;
    while ((i < step || scan.rest < until->rest || scan.key) && pgc_schema_piece_next(&scan, &other))
      forms += strcmp(other.kind, piece->kind) == 0 && strcmp(other.name, piece->name) == 0;
  }
  return forms;
}

/* version: of the schema that is there; pieces of later migrations are not missing. */
static void judge_pieces(pgc_doctor *self, int version) {
  PGresult *result;
  pgcache_status status = pgc_doctor_ask(self, pgc_sql_statements_doctor_pieces, &result);
  if (status != PGCACHE_OK) {
    pgc_doctor_add_failure(self, "pieces", status);
    return;
  }
  pgc_migrations migrations = pgc_migrations_list();
  int looked_at = 0, missing = 0;
  for (size_t step = 0; step < migrations.count && migrations.steps[step].version <= version; step++) {
    pgc_schema_scan scan = PGC_SCHEMA_SCAN_INIT(migrations.steps[step].sql);
    pgc_schema_piece piece;
    char lost[64] = ""; /* a table that is missing as a whole */
    while (pgc_schema_piece_next(&scan, &piece)) {
      if (lost[0] != '\0' && strcmp(lost, scan.table) == 0)
        continue;
      looked_at++;
      int there = count_piece(result, piece.kind, piece.name);
      int needed = forms_until(&scan, step, &piece);
      if (there >= needed)
        continue;
      if (strcmp(piece.kind, "option") == 0) {
        add_missing_option(self, result, piece.name);
        continue;
      }
      missing++;
      if (strcmp(piece.kind, "table") == 0)
        memcpy(lost, scan.table, sizeof lost);
      add_missing(self, piece.kind, piece.name, there, needed);
    }
  }
  PQclear(result);
  if (missing == 0)
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_OK, "pieces", "the schema is complete", NULL, ""},
                            "%d tables, columns, indexes, functions and the like", looked_at);
}

void pgc_doctor_schema(pgc_doctor *self) {
  facts found = {0};
  if (read_facts(self, &found) != PGCACHE_OK)
    return;
  judge_server(self, &found);
  if (!found.cache) {
    pgc_findings_add_format(&self->findings,
                            (pgc_finding){PGC_SEVERITY_ERROR, "schema",
                                          found.schema ? "the schema is there, but not the cache's tables"
                                                       : "the cache's schema is not there",
                                          NULL, "run `pgcache init`, or correct the settings url and schema"},
                            found.schema ? "there is no table %s.cache" : "there is no schema %s",
                            self->session->schema);
    return;
  }
  int version = 0;
  if (self->readable)
    version = judge_version(self, pgc_sql_statements_doctor_version, found.persistence);
  else if (found.askable)
    version = judge_version(self, pgc_sql_statements_doctor_version_told, found.persistence);
  if (!self->readable)
    add(self, PGC_SEVERITY_INFO, "content", "could not be examined: the role may not read the tables",
        self->session->schema,
        "run the doctor as the owner of the schema, or with USAGE on it and SELECT on its tables cache, entries and "
        "marker");
  if (version == 0)
    version = pgc_migrations_version(pgc_migrations_list());
  if (!self->over)
    judge_pieces(self, version);
}
