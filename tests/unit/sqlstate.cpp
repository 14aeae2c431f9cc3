/*
 * sqlstate.cpp - tests of what each of the server's error codes means to a caller.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <vector>

TEST_CASE("SQLSTATEs have their statuses and remedies", "[sqlstate]") {
  struct Case {
    std::vector<const char *> codes;
    pgcache_status status;
    pgc_remedy remedy;
  };
  const std::vector<Case> cases = {
      {{"40001", "40P01"}, PGCACHE_CONFLICT, PGC_REMEDY_RETRY},
      {{"57014", "55P03"}, PGCACHE_TIMEOUT, PGC_REMEDY_NONE},
      {{"57P01", "57P02", "57P03", "57P05", "25P03", "08000", "08003", "08006", "08P01"},
       PGCACHE_UNAVAILABLE,
       PGC_REMEDY_RECONNECT},
      {{"25006"}, PGCACHE_READ_ONLY, PGC_REMEDY_RECONNECT},
      {{"53300"}, PGCACHE_TOO_MANY_CONNECTIONS, PGC_REMEDY_RECONNECT},
      {{"53000", "53100", "53200", "53400"}, PGCACHE_FULL, PGC_REMEDY_NONE},
      {{"28000", "28P01", "3D000"}, PGCACHE_DENIED, PGC_REMEDY_RECONNECT},
      {{"42501"}, PGCACHE_DENIED, PGC_REMEDY_NONE},
      {{"3F000"}, PGCACHE_SCHEMA_MISSING, PGC_REMEDY_NONE},
      {{"42P01", "42703", "42883", "42601", "42804", "0A000"}, PGCACHE_SCHEMA_CHANGED, PGC_REMEDY_RECONNECT},
      {{"23502", "23505", "23514"}, PGCACHE_SCHEMA_CHANGED, PGC_REMEDY_NONE},
      {{"54000"}, PGCACHE_TOO_LARGE, PGC_REMEDY_NONE},
      {{"26000", "XX000", "XX001", "XX002"}, PGCACHE_SERVER_ERROR, PGC_REMEDY_RECONNECT},
      {{"22000", "22021", "P0001", "58030", "00000", "", "4", "99999"}, PGCACHE_SERVER_ERROR, PGC_REMEDY_NONE},
  };
  for (const Case &c : cases) {
    for (const char *code : c.codes) {
      INFO("SQLSTATE " << code);
      pgc_sqlstate_meaning meaning = pgc_sqlstate_look_up(code);
      CHECK(meaning.status == c.status);
      CHECK(meaning.remedy == c.remedy);
      CHECK(std::string(meaning.text).size() > 10);
    }
  }
}

TEST_CASE("the text says what to do where something can be done", "[sqlstate][rule:error]") {
  auto text = [](const char *code) { return std::string(pgc_sqlstate_look_up(code).text); };
  CHECK(test::contains(text("53300"), "max_connections")); /* [A24] */
  CHECK(test::contains(text("53300"), "pool_max"));
  CHECK(test::contains(text("25006"), "primary"));
  CHECK(test::contains(text("53100"), "free space"));
  CHECK(test::contains(text("28P01"), "password"));
  CHECK(test::contains(text("3F000"), "pgcache init"));
}

TEST_CASE("[A62] the server's own text is not passed on where it could quote data", "[A62][sqlstate]") {
  for (const char *code : {"22P02", "22021", "23505", "23514", "28P01", "08006", "54000", "57014", "XX000", "P0001"}) {
    INFO("SQLSTATE " << code);
    CHECK_FALSE(pgc_sqlstate_look_up(code).server_text_is_safe);
  }
  CHECK(pgc_sqlstate_look_up("42501").server_text_is_safe);
  CHECK(pgc_sqlstate_look_up("42P01").server_text_is_safe);
}
