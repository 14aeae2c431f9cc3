/*
 * dependents.cpp - what depends on keys and tags is counted: entries that live, each once, in the order asked for.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include "support/alloc_fail.hpp"

#include <vector>

using namespace test;
using std::string;

namespace {

/* name must outlive what is made of it. */
pgcache_dependency named(pgcache_dependency_kind kind, const string &name) {
  pgcache_dependency what = PGCACHE_DEPENDENCY_INIT;
  what.kind = kind;
  what.name = name.data();
  what.name_len = name.size();
  return what;
}

/* The report on these tags, without spaces. */
string report_on(pgcache *cache, const std::vector<string> &tags) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  std::vector<pgcache_dependency> what;
  pgcache_value *report = nullptr;
  for (const string &tag : tags)
    what.push_back(named(PGCACHE_DEPENDS_ON_TAG, tag));
  const pgcache_status status = pgcache_dependents(cache, &report, what.data(), what.size(), nullptr, &error);
  INFO(error.message);
  REQUIRE(status == PGCACHE_OK);
  CHECK(pgcache_value_format(report) == PGCACHE_FORMAT_JSON);
  string text(static_cast<const char *>(pgcache_value_data(report)), pgcache_value_size(report));
  pgcache_value_free(report);
  string::size_type space;
  while ((space = text.find(' ')) != string::npos)
    text.erase(space, 1);
  return text;
}

/* Stores an entry that depends on tags. */
void put(pgcache *cache, const string &key, const std::vector<string> &tags) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  std::vector<pgcache_dependency> what;
  for (const string &tag : tags)
    what.push_back(named(PGCACHE_DEPENDS_ON_TAG, tag));
  options.dependencies = what.data();
  options.dependency_count = what.size();
  const pgcache_status status =
      pgcache_put(cache, nullptr, key.data(), key.size(), "v", 1, PGCACHE_FORMAT_BYTES, 600000, &options, &error);
  INFO(error.message);
  REQUIRE(status == PGCACHE_OK);
}

} // namespace

TEST_CASE("What depends on tags is counted in the order asked for", "[dependents]") {
  Store store;
  CHECK(report_on(store.cache.raw(), {}) == R"({"entries":[],"tagged":0,"watched":[]})");
  put(store.cache.raw(), "a", {"one", "two"});
  put(store.cache.raw(), "b", {"two"});
  put(store.cache.raw(), "c", {});
  CHECK(report_on(store.cache.raw(), {}) == R"({"entries":[],"tagged":2,"watched":[]})");
  CHECK(report_on(store.cache.raw(), {"two", "none", "one", "two"}) ==
        R"({"entries":[2,0,1,2],"tagged":2,"watched":[]})");

  SECTION("A key is a dependency of its own entry, in its namespace") {
    pgcache_error error = PGCACHE_ERROR_INIT;
    pgcache_options options = PGCACHE_OPTIONS_INIT;
    const string key = "c";
    const pgcache_dependency what = named(PGCACHE_DEPENDS_ON_KEY, key);
    for (const bool elsewhere : {false, true}) {
      pgcache_value *report = nullptr;
      options.namespace_name = elsewhere ? "elsewhere" : nullptr;
      REQUIRE(pgcache_dependents(store.cache.raw(), &report, &what, 1, &options, &error) == PGCACHE_OK);
      CHECK(string(static_cast<const char *>(pgcache_value_data(report))).find(elsewhere ? "[0]" : "[1]") !=
            string::npos);
      pgcache_value_free(report);
    }
  }
  SECTION("What was invalidated or has expired does not count") {
    store.pg.exec(store.sql("SELECT {s}.invalidate(ARRAY['one'])"));
    CHECK(report_on(store.cache.raw(), {"one", "two"}) == R"({"entries":[0,1],"tagged":1,"watched":[]})");
    store.pg.exec(store.sql("UPDATE {s}.entries SET expires_at = now() - interval '1 hour' WHERE true"));
    CHECK(report_on(store.cache.raw(), {"one", "two"}) == R"({"entries":[0,0],"tagged":0,"watched":[]})");
  }
}

TEST_CASE("Watched tables are told with their tags", "[dependents]") {
  Store store;
  const Schema other;
  store.pg.exec("CREATE SCHEMA " + other.name() + "; CREATE TABLE " + other.name() + ".\"a table\" (id int)");
  store.pg.exec(store.sql("SELECT {s}.watch('" + other.name() + ".\"a table\"', ARRAY['all', 'id:<id>'], 'shop')"));
  const string row = R"({"table":")" + other.name() + R"(.\"atable\"","namespace":"shop","tag":")";
  CHECK(report_on(store.cache.raw(), {}) ==
        R"({"entries":[],"tagged":0,"watched":[)" + row + R"(all"},)" + row + R"(id:<id>"}]})");
}

TEST_CASE("Dependents are refused as dependencies are", "[dependents][arguments]") {
  Store store;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *report = nullptr;
  const string tag = "t";
  std::vector<pgcache_dependency> many(PGCACHE_BATCH_MAX + 1, named(PGCACHE_DEPENDS_ON_TAG, tag));
  CHECK(pgcache_dependents(store.cache.raw(), &report, many.data(), many.size(), nullptr, &error) == PGCACHE_INVALID);
  CHECK(pgcache_dependents(store.cache.raw(), &report, many.data(), PGCACHE_BATCH_MAX, nullptr, &error) == PGCACHE_OK);
  pgcache_value_free(report);
  const string name(PGCACHE_TAG_MAX + 1, 't');
  const pgcache_dependency longer = named(PGCACHE_DEPENDS_ON_TAG, name);
  CHECK(pgcache_dependents(store.cache.raw(), &report, &longer, 1, nullptr, &error) == PGCACHE_TOO_LARGE);
  const string nothing;
  const pgcache_dependency empty = named(PGCACHE_DEPENDS_ON_TAG, nothing);
  CHECK(pgcache_dependents(store.cache.raw(), &report, &empty, 1, nullptr, &error) == PGCACHE_INVALID);
  CHECK(report == nullptr);
}

TEST_CASE("Each allocation of a report on dependents may fail, with a server and without", "[dependents][memory]") {
  Store store;
  Config nowhere;
  nowhere.set("url", "null:");
  Cache none(nowhere);
  const auto report = [](Cache &cache) {
    pgcache_dependency what[2] = {PGCACHE_DEPENDENCY_INIT, PGCACHE_DEPENDENCY_INIT};
    for (pgcache_dependency &each : what) {
      each.kind = PGCACHE_DEPENDS_ON_TAG;
      each.name = "tag";
      each.name_len = 3;
    }
    pgcache_value *made = nullptr;
    const pgcache_status status = pgcache_dependents(cache.raw(), &made, what, 2, nullptr, nullptr);
    CHECK((made != nullptr) == (status == PGCACHE_OK));
    pgcache_value_free(made);
    return status;
  };
  for (Cache *cache : {&store.cache, &none}) {
    REQUIRE(report(*cache) == PGCACHE_OK);
    {
      const Allocations first(1, Failing::Once); /* that there was an outcome of this kind is remembered */
      CHECK(report(*cache) == PGCACHE_NO_MEMORY);
    }
    CHECK(fail_each_allocation([&] { return report(*cache); }) > 1);
  }
}
