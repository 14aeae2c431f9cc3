/*
 * answers.cpp - a server that tells the near cache's listener what it never should: a poll, the auditor's question and the
 * look at where listen_url leads. Nothing is believed that could not be so; what is held is given no longer than it is true, and
 * with the next right answer everything goes on.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "reader.hpp"

#include "support/answers.hpp"
#include "support/proxy.hpp"

extern "C" {
#include "pure/changes.h"
}

using namespace test;
using std::string;

namespace {

enum PollColumn { SNAPSHOT, NONCE, FLOOR, RELAY_FREE, BUSY, CHANNEL, FRAMES, RESTRICTED, EPOCH, POLL_COLUMNS };
const size_t audit_columns = 2;

Answers::Edit polls(std::function<bool(Columns &)> change) {
  return Answers::rows([change](Columns &row) { return row.size() != POLL_COLUMNS || change(row); });
}

/* The row of each poll twice. */
std::vector<Message> twice(const Message &message) {
  if (message.type == 'D' && columns_of(message).size() == POLL_COLUMNS)
    return {message, message};
  return {message};
}

/* A near cache whose listener hears what a proxy makes of the server's words. */
struct Scene {
  explicit Scene(const Settings &more = {})
      : reader(store, [&] {
          Settings all{{"near_staleness_ms", "20000"}, {"listen_url", listening.conninfo()}};
          all.insert(all.end(), more.begin(), more.end());
          return all;
        }()) {
    REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
    REQUIRE(reader.keep("k"));
  }
  bool goes_on() {
    return eventually([&] { return reader.fence() == PGCACHE_OK && reader.keep("k"); });
  }
  Store store;
  Proxy listening;
  Reader reader;
};

} // namespace

TEST_CASE("A poll's answer of another shape is SCHEMA_CHANGED to whoever waits, and nothing of it is believed",
          "[answers]") {
  Scene scene;
  const auto refused = [&](const Answers::Edit &edit) {
    Answer answer;
    {
      const Answers answers(scene.listening, edit);
      CHECK(eventually([&] { return (answer = scene.reader.fence()) == PGCACHE_SCHEMA_CHANGED; }));
      INFO(answer);
      CHECK(answer.error.text().find("another shape") != string::npos);
    }
    CHECK(scene.goes_on());
  };
  for (const PollColumn column : {FLOOR, RELAY_FREE, BUSY, RESTRICTED, NONCE, CHANNEL, EPOCH}) {
    INFO("column " << column << " is NULL");
    refused(polls([column](Columns &row) {
      row[column].reset();
      return true;
    }));
  }
  for (const string &channel : {string("a\0b", 3), string("Upper"), string(64, 'a')}) {
    INFO("channel " << channel);
    refused(polls([channel](Columns &row) {
      row[CHANNEL] = channel;
      return true;
    }));
  }
  for (const char *snapshot : {"", "no snapshot", "5:4:"}) {
    INFO("snapshot " << snapshot);
    refused(polls([snapshot](Columns &row) {
      row[SNAPSHOT] = snapshot;
      return true;
    }));
  }
  INFO("two rows");
  refused(twice);
}

TEST_CASE(
    "A poll that leads back, or past the stream's kept part, makes the near cache forget; one too long for a cursor "
    "proves all the same",
    "[answers]") {
  Scene scene;
  const auto gaps = [&] { return scene.reader.flushes(PGC_NEAR_FLUSH_GAP); };
  const auto forgets = [&](const char *what, const std::function<void(Columns &)> &change) {
    INFO(what);
    const int64_t before = gaps();
    {
      const Answers answers(scene.listening, polls([change](Columns &row) {
                              change(row);
                              return true;
                            }));
      CHECK(eventually([&] { return gaps() > before; }));
    }
    CHECK(scene.goes_on());
  };
  forgets("back", [](Columns &row) { row[SNAPSHOT] = "3:3:"; });
  forgets("restricted", [](Columns &row) { row[RESTRICTED] = string(1, '\1'); });
  forgets("frames left out", [](Columns &row) { row[FRAMES].reset(); });

  const int64_t before = gaps();
  std::atomic<int> seen{0};
  const Answers answers(scene.listening, polls([&](Columns &row) {
                          seen++;
                          row[SNAPSHOT] = string(PGC_SNAPSHOT_TEXT_MAX + 1, '1');
                          return true;
                        }));
  CHECK(eventually([&] { return seen > 3; }));
  CHECK(scene.reader.fence() == PGCACHE_OK);
  CHECK(scene.reader.held("k") == "v");
  REQUIRE(scene.store.cache.put("k", "w") == PGCACHE_OK);
  REQUIRE(scene.reader.fence() == PGCACHE_OK);
  CHECK(scene.reader.held("k") == "-"); /* what came with it was applied, again and again */
  CHECK(gaps() == before);
}

TEST_CASE(
    "What the auditor is told in another shape counts as nothing, an entry that is gone does, and the next one is made",
    "[answers][audit]") {
  Scene scene(Settings{{"near_audit_ms", "20"}});
  const auto audited = [&] { return pgc_counted(&scene.reader.counters().near_audited); };
  const auto wrong = [&] { return pgc_counted(&scene.reader.counters().near_disagreements); };
  REQUIRE(eventually([&] { return audited() > 2; }));
  std::atomic<int> asked{0};
  int64_t counted = 0;
  const auto told = [&](const char *what, bool counts, const std::function<bool(Columns &)> &change) {
    INFO(what);
    {
      const Answers answers(scene.listening, Answers::rows([&asked, change](Columns &row) {
                              if (row.size() != audit_columns)
                                return true;
                              asked++;
                              return change(row);
                            }));
      const int before = asked;
      CHECK(eventually([&] { return asked > before + 1 && scene.goes_on(); }));
    }
    CHECK((wrong() > counted) == counts);
    counted = wrong();
    const int64_t before = audited();
    CHECK(eventually([&] { return scene.goes_on() && audited() > before; }));
  };
  told("no digest", false, [](Columns &row) {
    row[0] = "short";
    return true;
  });
  told("no version", false, [](Columns &row) {
    row[1].reset();
    return true;
  });
  told("somebody else's digest", true, [](Columns &row) {
    row[0] = string(16, 'x');
    return true;
  });
  told("no row at all", true, [](Columns &) { return false; });

  /* The poll behind the question fails: nothing is compared with what was not brought up to date. */
  {
    auto behind = std::make_shared<std::atomic<bool>>(false);
    const Answers answers(scene.listening, Answers::rows([behind](Columns &row) {
                            if (row.size() == audit_columns) {
                              row[1] = string(8, '\1');
                              *behind = true;
                            } else if (row.size() == POLL_COLUMNS && behind->exchange(false)) {
                              row[NONCE].reset();
                            }
                            return true;
                          }));
    CHECK(eventually([&] { return scene.reader.fence() == PGCACHE_SCHEMA_CHANGED; }));
  }
  CHECK(wrong() == counted);
  CHECK(scene.goes_on());

  /* An error in place of the versions. */
  {
    auto errors = std::make_shared<std::atomic<int>>(0);
    const Answers answers(scene.listening, [errors](const Message &message) -> std::vector<Message> {
      if (message.type == 'D' && columns_of(message).size() == audit_columns) {
        ++*errors;
        return {wire::error("XX000")};
      }
      return {message};
    });
    CHECK(eventually([&] { return *errors > 1; }));
  }
  CHECK(wrong() == counted);
  CHECK(scene.goes_on());
}

TEST_CASE("Where the store answers the look at its place with anything else, the near cache stays off and says so",
          "[answers]") {
  Store store;
  Proxy storing;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  const auto fails = [&](const char *what, const Answers::Edit &edit, pgcache_status expected) {
    INFO(what);
    Reader reader(store, {{"near_staleness_ms", "20000"}, {"listen_url", url()}}, storing.conninfo());
    Answer answer;
    {
      const Answers answers(storing, edit);
      answer = reader.fence();
      INFO(answer);
      CHECK(answer == expected);
      CHECK_FALSE(reader.is_valid());
    }
    if (expected != PGCACHE_BAD_SETTING) /* after which there is a long pause */
      CHECK(eventually([&] { return reader.fence() == PGCACHE_OK && reader.keep("k"); }));
    CHECK(reader.cache.get("k").bytes() == "v");
  };
  const auto changed = [](const std::function<void(Columns &)> &change) {
    return polls([change](Columns &row) {
      change(row);
      return true;
    });
  };
  fails("no row", polls([](Columns &) { return false; }), PGCACHE_BAD_SETTING);
  fails("two rows", twice, PGCACHE_BAD_SETTING);
  fails("another nonce", changed([](Columns &row) { row[NONCE] = string(16, 'x'); }), PGCACHE_BAD_SETTING);
  fails("no nonce", changed([](Columns &row) { row[NONCE] = "x"; }), PGCACHE_BAD_SETTING);
  fails("another channel", changed([](Columns &row) { row[CHANNEL] = "another"; }), PGCACHE_BAD_SETTING);
  fails(
      "an error",
      [](const Message &message) -> std::vector<Message> {
        if (message.type == 'D' && columns_of(message).size() == POLL_COLUMNS)
          return {wire::error("XX000")};
        return {message};
      },
      PGCACHE_SERVER_ERROR);
  fails(
      "a schema that is not there",
      [](const Message &message) -> std::vector<Message> {
        if (message.type == 'D' && columns_of(message).size() == 8)
          return {wire::error("42P01")};
        return {message};
      },
      PGCACHE_SCHEMA_MISSING);
}

TEST_CASE("While the queue of notifications fills, or there is too much at once, the relay says nothing; polls do",
          "[answers][relay]") {
  Scene scene;
  const string leaders = scene.store.sql("SELECT count(*) FROM {s}.relay WHERE until > clock_timestamp()");
  REQUIRE(eventually([&] { return scene.reader.fence() == PGCACHE_OK && scene.store.pg.one(leaders) == "1"; }));
  Reader other(scene.store, {{"near_staleness_ms", "2000"}});
  REQUIRE(other.keep("k"));
  const auto messages_to = [](Reader &reader) { return pgc_counted(&reader.counters().near_messages); };
  const auto heard = [&](const string &value) {
    REQUIRE(scene.store.cache.put("k", value) == PGCACHE_OK);
    return eventually([&] { return other.fence() == PGCACHE_OK && other.held("k") == "-"; });
  };
  {
    const Answers answers(scene.listening, polls([](Columns &row) {
                            row[BUSY] = string(1, '\1');
                            return true;
                          }));
    REQUIRE(scene.reader.fence() == PGCACHE_OK);
    REQUIRE(scene.reader.fence() == PGCACHE_OK);
    const int64_t before = messages_to(other);
    CHECK(heard("busy"));
    sleep_ms(50);
    CHECK(messages_to(other) == before);
  }
  REQUIRE(scene.reader.fence() == PGCACHE_OK);
  scene.store.pg.exec(
      scene.store.sql("INSERT INTO {s}.changes (slot, kind, event) SELECT m.slot, 0, decode(repeat('00', 2400), 'hex') "
                      "FROM {s}.marker m, generate_series(1, 500)"));
  REQUIRE(scene.reader.fence() == PGCACHE_OK);
  CHECK(eventually([&] { return other.fence() == PGCACHE_OK; }));
  const auto messages = [&] {
    return messages_to(other) + messages_to(scene.reader);
  }; /* whoever is the relay by now */
  const int64_t before = messages();
  CHECK(eventually([&] {
    REQUIRE(scene.store.cache.put("k", "again") == PGCACHE_OK);
    sleep_ms(30);
    return messages() > before;
  }));
}

TEST_CASE("An auditor with nothing to look at asks nothing", "[audit]") {
  Store store;
  Reader reader(store, {{"near_staleness_ms", "20000"}, {"near_audit_ms", "10"}});
  REQUIRE(reader.fence() == PGCACHE_OK);
  sleep_ms(60);
  CHECK(pgc_counted(&reader.counters().near_audited) == 0);
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  CHECK(eventually([&] { return pgc_counted(&reader.counters().near_audited) > 0; }));
}

TEST_CASE("A listen_url that is no address is refused with the handle; null: is a near cache that is off",
          "[listen_url]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  for (const char *wrong : {"postgresql://[::1", "host='", "no_such_parameter=1"}) {
    INFO(wrong);
    const Config config = store.config({{"near_max_bytes", "1048576"}, {"listen_url", wrong}});
    pgcache *made = nullptr;
    Error error;
    CHECK(pgcache_new(&made, config.get(), &error) == PGCACHE_BAD_SETTING);
    CHECK(made == nullptr);
    CHECK(error.text().find("listen_url") != string::npos);
  }
  Reader reader(store, {{"listen_url", "null:"}});
  CHECK(reader.near() == nullptr);
  CHECK(reader.fence() == PGCACHE_OK);
  CHECK(reader.cache.get("k").bytes() == "v");
}
