/*
 * doctor_answers.cpp - the doctor on servers that are not at hand: older ones with known faults, poolers that lose what was
 * prepared in one way or another, answers without the row that was asked for. The server is the usual one; what it says is
 * changed on its way.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/answers.hpp"
#include "support/catch.hpp"
#include "support/report.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

namespace {

bool has(const string &text, const string &part) {
  return text.find(part) != string::npos;
}

/* A handle with one connection through a proxy, open and checked. */
struct Scene {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  Scene() {
    REQUIRE(cache.get("k") == PGCACHE_MISS);
  }
  Report with(const Answers::Edit &edit) {
    Answers answers(proxy, edit);
    return examine(cache);
  }
};

/* The answers to "who are you, which version, what is the time". */
bool is_session(const Columns &columns) {
  return columns.size() == 3 && columns[2] && columns[2]->size() == 16;
}

/* Another process in each of them, as behind a pooler; and errors in place of what was prepared from the second on. */
Answers::Edit pooler(const string &sqlstate) {
  auto answers = std::make_shared<int>(0);
  auto executed = std::make_shared<int>(0);
  const auto pids = Answers::rows([=](Columns &columns) {
    if (is_session(columns))
      columns[0] = std::to_string(4000000 + (*answers)++);
    return true;
  });
  return [=](const Message &message) -> std::vector<Message> {
    if (message.type == '2' && ++*executed > 1)
      return {wire::error(sqlstate)};
    return pids(message);
  };
}

Answers::Edit without_rows(size_t size) {
  return Answers::rows([=](Columns &columns) { return columns.size() != size; });
}

} // namespace

TEST_CASE("Doctor: a server with known faults is named with the release that mends them", "[doctor][answers]") {
  Scene scene;
  const auto version = [](const char *number) {
    return Answers::rows([=](Columns &columns) {
      if (is_session(columns))
        columns[1] = number;
      return true;
    });
  };
  const Report faulty = scene.with(version("150008"));
  CHECK(faulty.of("version").size() == 3);
  CHECK(faulty.the("version").severity == "warning");
  CHECK(has(faulty.of("version")[0].evidence, "PostgreSQL 15.8; mended in 15.9"));
  const Report mended = scene.with(version("150099"));
  CHECK(mended.of("version").size() == 1);
  CHECK(mended.the("version").severity == "ok");
}

TEST_CASE("Doctor: a pooler that loses what was prepared, however the server says it", "[doctor][answers]") {
  Scene scene;
  for (const char *sqlstate : {"26000", "42P05"}) {
    INFO(sqlstate);
    const Finding finding = scene.with(pooler(sqlstate)).the("pooler");
    CHECK(finding.severity == "error");
    CHECK(has(finding.finding, "loses prepared statements"));
    CHECK(scene.cache.get("k") == PGCACHE_MISS);
  }
  /* Another error says nothing about the pooler. */
  const Report other = scene.with(pooler("42P01"));
  CHECK(other.the("pooler").severity == "info");
  CHECK(has(other.the("pooler").finding, "changes the session"));
  CHECK(other.of("durability").size() == 1); /* and ends nothing */
}

TEST_CASE("Doctor: an answer without its row is not taken for one", "[doctor][answers]") {
  Scene scene;
  const Finding connections = scene.with(without_rows(4)).the("connections");
  CHECK(connections.severity == "ok");
  CHECK(has(connections.evidence, "max_connections ?, ? left"));
  const Finding schema = scene.with(without_rows(7)).the("schema");
  CHECK(schema.severity == "error");
  CHECK(has(schema.finding, "not there"));
}

TEST_CASE("Doctor: what cannot be examined is told with the reason, and the rest is examined", "[doctor][answers]") {
  Scene scene;
  const auto failing = [](const char *sqlstate) {
    auto open = std::make_shared<bool>(true); /* one examination */
    return [=](const Message &message) -> std::vector<Message> {
      if (!*open || message.type != 'D')
        return {message};
      const Columns finding = columns_of(message); /* as the checks in SQL give them */
      if (finding.size() != 5 || finding[1] != "ok")
        return {message};
      *open = false;
      return {wire::error(sqlstate)};
    };
  };
  for (const auto &[sqlstate, severity, words] :
       std::vector<std::array<const char *, 3>>{{"57014", "info", "within 10 seconds"},
                                                {"42703", "info", "the schema is not complete"},
                                                {"3F000", "info", "the schema is not complete"},
                                                {"55P03", "warning", "somebody holds a lock"},
                                                {"XX000", "warning", "could not be examined"}}) {
    INFO(sqlstate);
    const Report report = scene.with(failing(sqlstate));
    const auto told = std::count_if(report.findings.begin(), report.findings.end(),
                                    [&, words = words](const Finding &finding) { return has(finding.finding, words); });
    CHECK(told == 1);
    CHECK(report.of("schema").size() >= 1);
  }
}

TEST_CASE("Doctor: a logged schema, the other settings and tables", "[doctor]") {
  Store store(Settings{{"table", "logged"}});
  CHECK(examine(store.cache).the("table").severity == "ok");
  Cache unlogged = store.open({{"table", "unlogged"}});
  const Finding setting = examine(unlogged).the("table");
  CHECK(setting.severity == "error");
  CHECK(has(setting.remedy, "set table=logged"));
  store.pg.exec(store.sql("ALTER TABLE {s}.entries SET UNLOGGED"));
  const Finding changed = examine(store.cache).the("table");
  CHECK(changed.severity == "warning");
  CHECK(has(changed.evidence, "entries is unlogged"));
  CHECK(has(changed.remedy, "SET LOGGED"));
}
