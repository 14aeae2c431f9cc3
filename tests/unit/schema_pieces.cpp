/*
 * schema_pieces.cpp - what the doctor reads out of a migration, from texts of every shape that one may have. That it reads
 * our own ones right is shown on a server (store/doctor.cpp).
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <vector>

extern "C" {
#include "pure/schema_pieces.h"
}

namespace {

using Pieces = std::vector<std::string>;

/* "kind name" of each. */
Pieces read(const std::string &text) {
  Pieces out;
  pgc_schema_scan scan = PGC_SCHEMA_SCAN_INIT(text.c_str());
  pgc_schema_piece piece;
  while (pgc_schema_piece_next(&scan, &piece))
    out.push_back(std::string(piece.kind) + " " + piece.name);
  return out;
}

} // namespace

TEST_CASE("a table's columns, key and options are read line by line", "[schema_pieces]") {
  CHECK(read("CREATE UNLOGGED TABLE :\"schema\".t (\n"
             "  id uuid PRIMARY KEY,\n"
             "  \"value\" bytea,\n"
             "    CHECK (id IS NOT NULL),\n"
             "\n"
             "  CONSTRAINT x CHECK (true)\n"
             ") WITH (\n"
             "  fillfactor = 70,\n"
             "  toast.autovacuum_enabled = on\n"
             "  -- not an option\n"
             "  half\n"
             ");\n"
             "  id uuid PRIMARY KEY\n") == Pieces{"table t", "column t.id", "index t_pkey", "column t.value",
                                                  "option t fillfactor=70", "option t toast.autovacuum_enabled=on"});
}

TEST_CASE("a key may stand on a line of its own, and belongs to its own table", "[schema_pieces]") {
  CHECK(read("CREATE TABLE a (\n  b int,\n  PRIMARY KEY (b)\n);\nCREATE TABLE c (\n  d int\n);") ==
        Pieces{"table a", "column a.b", "index a_pkey", "table c", "column c.d"});
}

TEST_CASE("statements that make something are told from others", "[schema_pieces]") {
  CHECK(read("CREATE TABLE IF NOT EXISTS :\"schema\".one AS SELECT 1;\n"
             "CREATE OR REPLACE FUNCTION :\"schema\".f(x int) RETURNS int\n"
             "CREATE UNIQUE INDEX i ON x (y);\n"
             "CREATE UNLOGGED SEQUENCE \"s\";\n"
             "CREATE VIEW v AS SELECT 1;\n"
             "CREATE TABLESPACE of_nobody LOCATION '/';\n"
             "CREATE TABLE ((no name));\n"
             "CREATE ROLE r;\n"
             "CREATE \n"
             "CREATE") == Pieces{"table one", "function f", "index i", "sequence s", "view v"});
  CHECK(read("").empty());
  CHECK(read("SELECT 1;\n-- CREATE TABLE c (").empty());
}

TEST_CASE("a name longer than PostgreSQL has is cut to what it would be", "[schema_pieces]") {
  CHECK(read("CREATE VIEW " + std::string(80, 'n') + " AS") == Pieces{"view " + std::string(63, 'n')});
}
