/*
 * findings.cpp - tests of the doctor's pure parts: its report, the list of the server's faults, and how the pieces of a
 * schema are read from the migrations.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <vector>

extern "C" {
#include "pure/findings.h"
#include "pure/schema_pieces.h"
#include "pure/server_bugs.h"
}

namespace {

std::string finished(pgc_findings &findings) {
  pgc_findings_finish(&findings);
  REQUIRE_FALSE(findings.json.failed);
  REQUIRE(findings.json.data[findings.json.size - 1] == '\0');
  std::string out(reinterpret_cast<const char *>(findings.json.data), findings.json.size - 1);
  pgc_findings_clear(&findings);
  return out;
}

/* The evidence as it comes out, between its quotes. */
std::string escaped(const char *text) {
  pgc_findings findings = PGC_FINDINGS_INIT;
  pgc_findings_add(&findings, {PGC_SEVERITY_OK, "c", "f", text, ""});
  const std::string json = finished(findings);
  const size_t begin = json.find("\"evidence\":\"") + 12;
  return json.substr(begin, json.find("\",\"remedy\"") - begin);
}

std::vector<std::string> pieces(const char *sql) {
  std::vector<std::string> out;
  pgc_schema_scan scan = PGC_SCHEMA_SCAN_INIT(sql);
  pgc_schema_piece piece;
  while (pgc_schema_piece_next(&scan, &piece))
    out.push_back(std::string(piece.kind) + " " + piece.name);
  return out;
}

std::vector<int> fixed_in(int version) {
  std::vector<int> out;
  size_t index = 0;
  while (const pgc_server_bug *bug = pgc_server_bug_next(version, &index)) {
    CHECK(bug->major == version / 10000);
    CHECK(std::string(bug->what).size() > 20);
    out.push_back(bug->fixed_minor);
  }
  return out;
}

} // namespace

TEST_CASE("A report lists its findings and the worst of them", "[doctor]") {
  pgc_findings none = PGC_FINDINGS_INIT;
  CHECK(finished(none) == R"({"findings":[],"worst":"ok"})");

  pgc_findings some = PGC_FINDINGS_INIT;
  pgc_findings_add(&some, {PGC_SEVERITY_OK, "one", "fine", "1 of 1", ""});
  pgc_findings_add_format(&some, {PGC_SEVERITY_WARNING, "two", "bad", nullptr, "mend it"}, "%d of %s", 2, "many");
  pgc_findings_add(&some, {PGC_SEVERITY_INFO, "three", "so so", "", ""});
  CHECK(finished(some) ==
        R"({"findings":[)"
        "\n"
        R"({"severity":"ok","check":"one","finding":"fine","evidence":"1 of 1","remedy":""},)"
        "\n"
        R"({"severity":"warning","check":"two","finding":"bad","evidence":"2 of many","remedy":"mend it"},)"
        "\n"
        R"({"severity":"info","check":"three","finding":"so so","evidence":"","remedy":""}],"worst":"warning"})");

  pgc_findings cut = PGC_FINDINGS_INIT;
  pgc_findings_add_format(&cut, {PGC_SEVERITY_ERROR, "c", "f", nullptr, ""}, "%s", std::string(5000, 'x').c_str());
  const std::string json = finished(cut);
  CHECK(json.find(std::string(999, 'x') + "\"") != std::string::npos);
  CHECK(json.find("\"worst\":\"error\"") != std::string::npos);
}

TEST_CASE("Texts in a report are escaped, and always UTF-8", "[doctor]") {
  CHECK(escaped("a\"b\\c") == R"(a\"b\\c)");
  CHECK(escaped("a\nb\tc\x01\x7f") == R"(a\u000ab\u0009c\u0001\u007f)");
  CHECK(escaped("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98") ==
        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98");
  CHECK(escaped("\xe0\xa0\x80") == "\xe0\xa0\x80"); /* the first of three bytes */
  CHECK(escaped("\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf") == "\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf");
  for (const char *bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    const std::string out = escaped(bad);
    CHECK(out == std::string(std::string(bad).size(), '?'));
  }
  /* cut in the middle of a character */
  CHECK(escaped("\xc3") == "?");
  CHECK(escaped("\xe2\x82") == "??");
  CHECK(escaped("\xf0\x9f\x90") == "???");
  CHECK(escaped("\xe2\x82 a") == "?? a");
}

TEST_CASE("Severities have names, and an unknown name is taken seriously", "[doctor]") {
  for (const pgc_severity severity : {PGC_SEVERITY_OK, PGC_SEVERITY_INFO, PGC_SEVERITY_WARNING, PGC_SEVERITY_ERROR})
    CHECK(pgc_severity_from_name(pgc_severity_name(severity)) == severity);
  CHECK(pgc_severity_from_name("") == PGC_SEVERITY_ERROR);
  CHECK(pgc_severity_from_name("okay") == PGC_SEVERITY_ERROR);
}

TEST_CASE("Without memory there is no report, and nothing breaks", "[doctor]") {
  pgc_memory_set_hooks([](size_t) -> void * { return nullptr; }, [](void *, size_t) -> void * { return nullptr; });
  pgc_findings findings = PGC_FINDINGS_INIT;
  pgc_findings_add(&findings, {PGC_SEVERITY_WARNING, "c", "f", "e", "r"});
  pgc_findings_finish(&findings);
  pgc_memory_set_hooks(nullptr, nullptr);
  CHECK(findings.json.failed);
  CHECK(findings.worst == PGC_SEVERITY_WARNING);
  pgc_findings_clear(&findings);
}

TEST_CASE("Each fault of the server ends with the release that mended it", "[doctor]") {
  CHECK(fixed_in(150000) == std::vector<int>{9, 14, 16});
  CHECK(fixed_in(150008) == std::vector<int>{9, 14, 16});
  CHECK(fixed_in(150009) == std::vector<int>{14, 16});
  CHECK(fixed_in(150013) == std::vector<int>{14, 16});
  CHECK(fixed_in(150015) == std::vector<int>{16});
  CHECK(fixed_in(150016).empty());
  CHECK(fixed_in(160004) == std::vector<int>{5, 12});
  CHECK(fixed_in(160012).empty());
  CHECK(fixed_in(170000) == std::vector<int>{1, 6, 8});
  CHECK(fixed_in(170007) == std::vector<int>{8});
  CHECK(fixed_in(170008) == std::vector<int>{9});
  CHECK(fixed_in(170009).empty());
  CHECK(fixed_in(180001) == std::vector<int>{2});
  CHECK(fixed_in(180002).empty());
  CHECK(fixed_in(140000).empty());
  CHECK(fixed_in(990000).empty());
}

TEST_CASE("The pieces of a schema are read from the text of a migration", "[doctor]") {
  using Names = std::vector<std::string>;
  CHECK(pieces("").empty());
  CHECK(pieces("-- CREATE TABLE :\"schema\".x (\n  CREATE TABLE :\"schema\".y (\nSELECT 1").empty());
  CHECK(pieces("CREATE SCHEMA IF NOT EXISTS :\"schema\";\nCREATE UNLOGGED SEQUENCE :\"schema\".s MAXVALUE 5;\n") ==
        Names{"sequence s"});
  CHECK(pieces("CREATE :persistence TABLE :\"schema\".t (\n"
               "  id    uuid PRIMARY KEY, -- a comment (with\n"
               "                          -- a second line\n"
               "  value bytea NOT NULL\n"
               ") WITH (\n"
               "  fillfactor = 70, -- room\n"
               "  toast.autovacuum_vacuum_cost_delay = 0\n"
               ");\n"
               "ALTER TABLE :\"schema\".t ALTER COLUMN value SET STORAGE EXTERNAL;") ==
        Names{"table t", "column t.id", "index t_pkey", "column t.value", "option t fillfactor=70",
              "option t toast.autovacuum_vacuum_cost_delay=0"});
  CHECK(pieces("CREATE TABLE IF NOT EXISTS :\"schema\".t (\n  a int,\n  b int,\n  PRIMARY KEY (a, b)\n);\n"
               "CREATE UNLOGGED TABLE :\"schema\".t_0 PARTITION OF :\"schema\".t FOR VALUES IN (0);\n"
               "CREATE INDEX t_b ON :\"schema\".t (b);\nCREATE UNIQUE INDEX t_u ON :\"schema\".t (b)") ==
        Names{"table t", "column t.a", "column t.b", "index t_pkey", "table t_0", "index t_b", "index t_u"});
  CHECK(pieces("CREATE OR REPLACE FUNCTION :\"schema\".\"exists\"(k text) RETURNS boolean\n"
               "LANGUAGE sql AS $$\n  SELECT true\n$$;\nCREATE VIEW :\"schema\".v AS\n  SELECT 1;\n") ==
        Names{"function exists", "view v"});
}
