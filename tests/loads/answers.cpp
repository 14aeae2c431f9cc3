/*
 * answers.cpp - whatever shape the server's answers about loads have, each call ends with a status that is true, no lease stays
 * for long, and the handle works on.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

#include "support/answers.hpp"
#include "support/proxy.hpp"

using namespace test;
using std::string;

namespace {

enum Column { LEASED, FAILED, OTHERS_MS, ENTRY, VERSION, FORMAT, FRESH_UNTIL, EXPIRES_AT, NOW, FLAGS, ACCESSED_AT };
const size_t begin_columns = 13;
const string yes(1, '\1'), no(1, '\0');

/* Changes the rows that have so many columns. */
Answers::Edit of(size_t columns, std::function<bool(Columns &)> change) {
  return Answers::rows([=](Columns &row) { return row.size() != columns || change(row); });
}

Answers::Edit null_at(size_t columns, size_t column) {
  return of(columns, [column](Columns &row) {
    row[column].reset();
    return true;
  });
}

struct Scene {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});

  explicit Scene(const Settings &more = {}) {
    Settings all{{"url", proxy.conninfo()}, {"pool_max", "1"}};
    all.insert(all.end(), more.begin(), more.end());
    cache = store.open(all);
  }
  /* A begin that does not wait, whose answer was edited. */
  Begun begun(const string &key, const Answers::Edit &edit, const How &how = waits(kept(60000, 60000, 60000), 0)) {
    const Answers answers(proxy, edit);
    return begin(cache, key, how);
  }
};

} // namespace

TEST_CASE("A begin's answer of another shape is SCHEMA_CHANGED, with an entry and without", "[answers][changed]") {
  Scene scene;
  load(scene.cache, "k", "v", kept(600000, 60000, 60000));
  for (const size_t column :
       {LEASED, FAILED, OTHERS_MS, FORMAT, FRESH_UNTIL, EXPIRES_AT, NOW, FLAGS, ACCESSED_AT, ENTRY}) {
    INFO("column " << column << " is NULL");
    const Begun got = scene.begun("k", null_at(begin_columns, column));
    INFO(got);
    CHECK(got == PGCACHE_SCHEMA_CHANGED);
    CHECK_FALSE(got.load);
    const Begun right = begin(scene.cache, "k");
    INFO(right);
    CHECK(right.bytes() == "v");
  }
  /* What is not there is no entry. */
  CHECK(scene.begun("k", null_at(begin_columns, VERSION)) == PGCACHE_BUSY);
  for (const size_t column : {LEASED, FAILED, OTHERS_MS}) {
    INFO("without an entry, column " << column << " is NULL");
    const string key = "none" + std::to_string(column);
    const Begun got = scene.begun(key, null_at(begin_columns, column));
    CHECK(got == PGCACHE_SCHEMA_CHANGED);
    CHECK_FALSE(got.load);
  }
}

TEST_CASE("What says that there is no value: fresh it is a miss, with the lease or stale it is to be loaded",
          "[answers]") {
  Scene scene;
  load(scene.cache, "k", "v", kept(600000, 60000, 60000));
  const auto absent = [&](const string &leased, bool fresh) {
    return scene.begun("k", of(begin_columns, [=](Columns &row) {
                         row[FLAGS] = wire::number(64, 4);
                         row[LEASED] = leased;
                         if (!fresh)
                           row[FRESH_UNTIL] = wire::number(1, 8);
                         return true;
                       }));
  };
  CHECK(absent(no, true) == PGCACHE_MISS);
  CHECK(absent(no, false) == PGCACHE_BUSY);
  Begun leased = absent(yes, true);
  CHECK(leased == PGCACHE_LEASE);
  CHECK(leased.load.abandon().status >= 0);
  leased = absent(yes, false);
  CHECK(leased == PGCACHE_LEASE);
  CHECK(leased.load.abandon().status >= 0);
  CHECK(begin(scene.cache, "k").bytes() == "v");
}

TEST_CASE("What is longer than this handle lets in: stale it is loaded anew, fresh it is refused", "[answers]") {
  Scene scene(Settings{{"max_value_bytes", "10"}});
  const string longer(100, 'x');
  load(scene.store.cache, "fresh", longer, kept(600000, 60000, 60000));
  load(scene.store.cache, "stale", longer, kept(1, 60000, 60000));
  REQUIRE(eventually([&] { return scene.store.cache.get("stale") == PGCACHE_MISS; }));
  CHECK(begin(scene.cache, "fresh") == PGCACHE_TOO_LARGE);
  Begun got = begin(scene.cache, "stale");
  REQUIRE(got == PGCACHE_LEASE);
  CHECK(got.value.get() == nullptr);
  CHECK(got.load.fill("short") == PGCACHE_OK);
  CHECK(begin(scene.cache, "stale").bytes() == "short");
}

TEST_CASE("Fills, extensions and reports whose answers have another shape", "[answers][changed]") {
  Scene scene;
  int number = 0;
  const auto leased = [&] {
    Begun got = begin(scene.cache, "k" + std::to_string(number++));
    REQUIRE(got == PGCACHE_LEASE);
    return got;
  };
  {
    Begun got = leased();
    REQUIRE(got.load.extend(60000) == PGCACHE_OK);
    for (const bool null : {true, false}) {
      const Answers answers(scene.proxy, of(1, [null](Columns &row) {
                              row[0] = string("two");
                              if (null)
                                row[0].reset();
                              return true;
                            }));
      CHECK(got.load.extend(60000) == PGCACHE_SCHEMA_CHANGED);
    }
    {
      const Answers answers(scene.proxy, of(1, [](Columns &) { return false; }));
      CHECK(got.load.extend(60000) == PGCACHE_REFUSED);
    }
  }
  {
    Begun got = leased();
    const Answers answers(scene.proxy, of(2, [](Columns &row) {
                            row[0] = "short";
                            return true;
                          }));
    CHECK(got.load.fill("v") == PGCACHE_SCHEMA_CHANGED);
  }
  {
    Begun got = leased();
    const Answers answers(scene.proxy, null_at(2, 0));
    CHECK(got.load.fill("v") == PGCACHE_REFUSED);
  }
  { /* No row at all is how a lost marker shows; after a few new epochs that is no accident any more. */
    Begun got = leased();
    const Answers answers(scene.proxy, of(2, [](Columns &) { return false; }));
    CHECK(got.load.fill("v") == PGCACHE_CONFLICT);
  }
  {
    const Begun got = scene.begun("lost", of(begin_columns, [](Columns &) { return false; }));
    CHECK(got == PGCACHE_CONFLICT);
    CHECK_FALSE(got.load);
  }
  Names names;
  names.tag("t");
  const auto report = [&] {
    pgcache_value *text = nullptr;
    const pgcache_status status =
        pgcache_dependents(scene.cache.raw(), &text, names.data(), names.size(), nullptr, nullptr);
    CHECK((text != nullptr) == (status == PGCACHE_OK));
    pgcache_value_free(text);
    return status;
  };
  REQUIRE(report() == PGCACHE_OK);
  {
    const Answers answers(scene.proxy, null_at(1, 0));
    CHECK(report() == PGCACHE_SCHEMA_CHANGED);
  }
  {
    const Answers answers(scene.proxy, of(1, [](Columns &) { return false; }));
    CHECK(report() == PGCACHE_SCHEMA_CHANGED);
  }
  {
    const Answers answers(scene.proxy, [](const Message &message) -> std::vector<Message> {
      return message.type == 'D' ? std::vector<Message>{wire::error("XX000")} : std::vector<Message>{message};
    });
    CHECK(report() == PGCACHE_SERVER_ERROR);
  }
  CHECK(report() == PGCACHE_OK);
}
