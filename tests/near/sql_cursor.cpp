/*
 * sql_cursor.cpp - the cursor of the change stream is a whole snapshot: whatever transactions do, each committed event is
 * read once, and no other is.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near/stream.hpp"
#include "support/catch.hpp"
#include "support/private_server.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>

using namespace test;
using std::string;
using stream::Event;
using stream::Poller;

namespace {

std::vector<int64_t> versions(const std::vector<Event> &events) {
  std::vector<int64_t> out;
  for (const Event &event : events)
    out.push_back(event.version);
  std::sort(out.begin(), out.end());
  return out;
}

int64_t put(Pg &pg, const Store &store, const string &key) {
  return std::stoll(pg.one(store.sql("SELECT {s}.put('" + key + "'::text, 'v')")));
}

} // namespace

TEST_CASE("What a long transaction wrote before the cursor is read when it commits, and nothing else again",
          "[cursor]") {
  Store store;
  Pg longer(url());
  longer.exec("BEGIN");
  const int64_t first = put(longer, store, "long");
  const int64_t second = put(store.pg, store, "short");
  Poller poller(store.schema());
  CHECK(poller.poll().empty());
  const int64_t third = put(store.pg, store, "short");
  CHECK(versions(poller.poll()) == std::vector<int64_t>{third});
  longer.exec("SAVEPOINT s");
  const int64_t fourth = put(longer, store, "in a savepoint");
  longer.exec("RELEASE s");
  longer.exec("SAVEPOINT s");
  put(longer, store, "rolled back");
  longer.exec("ROLLBACK TO s");
  for (int i = 0; i < 50; i++) { /* its number is far below all that was read since; `xid > last` would miss it */
    put(store.pg, store, "short");
    poller.poll();
  }
  const int64_t before = poller.position();
  CHECK(poller.poll().empty());
  longer.exec("COMMIT");
  CHECK(versions(poller.poll()) == std::vector<int64_t>{first, fourth});
  CHECK(poller.position() > before);
  CHECK(poller.poll().empty());
  CHECK(second < third);
}

TEST_CASE("A prepared transaction is read when it is committed", "[cursor]") {
  PrivateServer server({"max_prepared_transactions = 2"});
  Store store({}, server.conninfo());
  store.pg.exec("BEGIN");
  const int64_t version = put(store.pg, store, "k");
  store.pg.exec(store.sql("PREPARE TRANSACTION '{s}'"));
  Poller poller(store.schema(), server.conninfo());
  put(store.pg, store, "l");
  CHECK(poller.poll().size() == 1);
  store.pg.exec(store.sql("COMMIT PREPARED '{s}'"));
  CHECK(versions(poller.poll()) == std::vector<int64_t>{version});
}

TEST_CASE("A transaction that was prepared before a crash brings its event with its entry", "[cursor]") {
  PrivateServer server({"max_prepared_transactions = 2"});
  Store store({{"table", "logged"}}, server.conninfo());
  store.pg.exec("BEGIN");
  const int64_t version = put(store.pg, store, "k");
  store.pg.exec(store.sql("PREPARE TRANSACTION '{s}'"));
  server.crash();
  server.start();
  Pg pg(server.conninfo());
  pg.exec(store.sql("SELECT {s}.new_epoch()"));
  Poller poller(store.schema(), server.conninfo());
  CHECK(pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "0");
  pg.exec(store.sql("COMMIT PREPARED '{s}'"));
  CHECK(pg.one(store.sql("SELECT version FROM {s}.entries")) == std::to_string(version));
  CHECK(versions(poller.poll()) == std::vector<int64_t>{version});
}

TEST_CASE("An old cursor reads all that came since, and a poll without one nothing", "[cursor]") {
  Store store;
  Poller poller(store.schema());
  const string old = poller.cursor;
  std::vector<int64_t> written;
  for (int i = 0; i < 20; i++) {
    written.push_back(put(store.pg, store, "k"));
    poller.poll();
  }
  poller.cursor = old;
  CHECK(versions(poller.poll()) == written);
  poller.cursor = "";
  CHECK(poller.poll().empty());
  CHECK(poller.last[6].empty());
}

TEST_CASE("More than 64 MiB are not given but said", "[cursor]") {
  Store store;
  Poller poller(store.schema());
  const string cursor = poller.cursor;
  const auto fill = [&](int rows) {
    store.pg.exec(
        store.sql("INSERT INTO {s}.changes (slot, kind, event) SELECT 0, 0, convert_to(repeat('x', 2400), 'UTF8') "
                  "FROM generate_series(1, " +
                  std::to_string(rows) + ")"));
  };
  const auto size = [&] {
    const auto rows =
        store.pg.query(store.sql("SELECT octet_length(frames) FROM {s}.library_poll_changes($1)"), {cursor});
    return rows.at(0).at(0);
  };
  fill(27892);
  CHECK(size() == std::to_string(27892 * 2406));
  fill(1);
  CHECK(size() == "NULL");
  store.pg.exec(store.sql("DELETE FROM {s}.changes"));
  CHECK(size() == "0");
  store.pg.exec(store.sql("INSERT INTO {s}.changes (slot, kind, event) SELECT 0, 0, "
                          "string_agg(convert_to(repeat('x', 65000), 'UTF8'), '') FROM generate_series(1, 1040)"));
  CHECK(size() == "NULL");
  poller.poll();
  CHECK(poller.poll().empty());
  CHECK(poller.last[6].empty());
}

TEST_CASE(
    "Each event of random transactions is read exactly once, while what is old is trimmed; or the poll says that it "
    "comes too late",
    "[cursor][trim][property][threads]") {
  Store store;
  INFO("PGCACHE_TEST_SEED=" << seed());
  const int writers = 5, pollers = 3, rounds = longer(120, 3000);
  struct Poll {
    string from, to;
    std::vector<int64_t> versions;
    bool forgotten;
  };
  std::vector<std::vector<Poll>> polls(pollers);
  std::vector<std::pair<int64_t, uint64_t>> committed; /* version and transaction */
  std::mutex mutex;
  std::atomic<int> writing{writers}, trimmed{0};
  const auto writer = [&](int thread, std::mt19937 &random) {
    Pg pg(url());
    for (int i = 0; i < rounds || (trimmed <= 3 && i < 10 * rounds); i++) {
      std::vector<int64_t> kept, tentative;
      bool savepoint = false;
      pg.exec("BEGIN");
      for (int step = 1 + static_cast<int>(random() % 5); step > 0; step--) {
        /* Keys of its own: otherwise transactions would deadlock. */
        (savepoint ? tentative : kept)
            .push_back(put(pg, store, std::to_string(thread) + " " + std::to_string(random() % 50)));
        if (random() % 8 == 0)
          sleep_ms(static_cast<int>(random() % 40));
        if (savepoint && random() % 2 == 0) {
          pg.exec("ROLLBACK TO s; RELEASE s");
          tentative.clear();
          savepoint = false;
        } else if (!savepoint && random() % 2 == 0) {
          pg.exec("SAVEPOINT s");
          savepoint = true;
        }
      }
      const uint64_t xid = std::stoull(pg.one("SELECT pg_current_xact_id()"));
      kept.insert(kept.end(), tentative.begin(), tentative.end());
      const bool commit = random() % 4 != 0;
      pg.exec(commit ? "COMMIT" : "ROLLBACK");
      const std::lock_guard<std::mutex> lock(mutex);
      for (size_t k = 0; commit && k < kept.size(); k++)
        committed.emplace_back(kept[k], xid);
    }
    writing--;
  };
  const auto poll = [&](std::vector<Poll> &made, std::mt19937 &random) {
    Poller poller(store.schema());
    for (bool last = false; !last;) {
      last = writing == 0;
      const string from = poller.cursor;
      const auto found = versions(poller.poll());
      made.push_back({from, poller.cursor, found, poller.forgotten});
      sleep_ms(
          static_cast<int>(random() % 40 == 0 ? 500 : random() % 8)); /* at times for longer than anything is kept */
    }
  };
  in_threads(writers + pollers + 1, [&](int thread) {
    std::mt19937 random(static_cast<unsigned>(seed()) + static_cast<unsigned>(thread));
    if (thread < writers) {
      writer(thread, random);
    } else if (thread < writers + pollers) {
      poll(polls[static_cast<size_t>(thread - writers)], random);
    } else {
      Pg pg(url());
      for (; writing > 0; sleep_ms(5))
        trimmed += pg.one(store.sql("SELECT {s}.trim_changes_older(100, 1)")) == "t";
    }
  });
  int forgotten = 0, complete = 0, wrong = 0;
  for (const auto &made : polls) {
    for (const Poll &one : made) {
      std::vector<int64_t> expected;
      for (const auto &[version, xid] : committed) {
        if (!stream::sees(one.from, xid) && stream::sees(one.to, xid))
          expected.push_back(version);
      }
      std::sort(expected.begin(), expected.end());
      forgotten += one.forgotten;
      complete += !one.forgotten && !expected.empty();
      /* What is forgotten may be missed, but nothing else may come. */
      wrong += one.forgotten
                   ? !std::includes(expected.begin(), expected.end(), one.versions.begin(), one.versions.end())
                   : one.versions != expected;
    }
  }
  CHECK(wrong == 0);
  CHECK(complete > 0);
  CHECK(trimmed > 3);
  CHECK(store.pg.one(store.sql("SELECT floor > 0 FROM {s}.marker")) == "t");
  WARN(committed.size() << " events, " << complete << " polls with events, " << forgotten << " too late, " << trimmed
                        << " steps of trimming");
}
