/*
 * janitor.cpp - cleanup in slices, shared by all processes: it goes on where another left off, one janitor is at work at a
 * time, a dead one is replaced; and the service that does it on a thread.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* Rows of about a block each, so that few of them make a walk of many slices; a third has expired. */
void fill(Store &store, int rows) {
  store.pg.exec(store.sql("ALTER TABLE {s}.entries SET (toast_tuple_target = 8160)"));
  store.pg.exec(store.sql("SELECT count({s}.put('k' || i, decode(repeat('ab', 3000), 'hex'), CASE WHEN i % 3 = 0 THEN "
                          "interval '1 ms' ELSE '1 hour' END)) FROM generate_series(1, " +
                          std::to_string(rows) + ") i"));
  sleep_ms(5);
}

string rows(Store &store) {
  return store.pg.one(store.sql("SELECT count(*) FROM {s}.entries"));
}

string expired(Store &store) {
  return store.pg.one(store.sql("SELECT count(*) FROM {s}.entries WHERE expires_at <= clock_timestamp()"));
}

/* What another process, which has been silent since, would have left: a walk in its middle. */
void begin_elsewhere(Store &store, const string &lease_ms) {
  store.pg.exec(store.sql("SELECT {s}.clean_slice(gen_random_uuid(), 1, " + lease_ms + ", 0, true)"));
}

string walks_ended(Store &store) {
  return store.pg.one(store.sql("SELECT coalesce((SELECT ended_at::text FROM {s}.janitor), 'never')"));
}

} // namespace

TEST_CASE("cleanup_some goes on where it was, and says how far it is", "[cleanup][slices]") {
  Store store;
  fill(store, 3000);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  int calls = 0;
  int64_t seen = -1;
  while (!progress.finished && calls < 10000) {
    REQUIRE(store.cache.cleanup_some(progress, 0) == PGCACHE_OK);
    REQUIRE_FALSE(progress.busy);
    CHECK(progress.blocks_done > seen);
    seen = progress.blocks_done;
    CHECK(progress.blocks_done <= progress.blocks);
    calls++;
  }
  CHECK(calls > 3); /* one slice each */
  CHECK(progress.blocks_done == progress.blocks);
  CHECK(progress.removed == 1000);
  CHECK(progress.evicted == 0);
  CHECK(rows(store) == "2000");
  const std::vector<Row> kept = store.pg.query(store.sql("SELECT entries, removed, stage, bytes FROM {s}.janitor"));
  CHECK(kept.at(0).at(0) == "2000");
  CHECK(kept.at(0).at(1) == "1000");
  CHECK(kept.at(0).at(2) == "0");
  CHECK(std::stoll(kept.at(0).at(3)) == store.cache.usage().at(0).bytes);

  /* A budget that is enough does it all. */
  fill(store, 3000);
  progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
  CHECK(progress.finished);
  CHECK(progress.removed == 1000);
}

TEST_CASE("A walk that another process left is gone on with, and restart begins anew", "[cleanup][slices]") {
  Store store;
  fill(store, 2000);
  begin_elsewhere(store, "0");
  const int64_t left_at = std::stoll(store.pg.one(store.sql("SELECT next_block FROM {s}.janitor")));
  REQUIRE(left_at > 0);
  store.pg.exec(store.sql("UPDATE {s}.entries SET expires_at = '-infinity' WHERE ctid < '(4,0)'::tid"));
  const string behind_it = expired(store);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  REQUIRE(store.cache.cleanup_some(progress, 0) == PGCACHE_OK);
  CHECK(progress.blocks_done > left_at);
  REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
  CHECK(progress.finished);
  CHECK(expired(store) != "0"); /* what expired behind its back waits for the next walk */
  CHECK(expired(store) != behind_it);

  begin_elsewhere(store, "0");
  store.pg.exec(store.sql("UPDATE {s}.entries SET expires_at = '-infinity' WHERE ctid < '(8,0)'::tid"));
  progress.restart = 1;
  REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
  CHECK(progress.restart == 0);
  CHECK(expired(store) == "0");
}

TEST_CASE("One janitor is at work at a time: the others are told, and a dead one is replaced in time",
          "[cleanup][slices]") {
  Store store;
  fill(store, 300);
  begin_elsewhere(store, "400");
  const int64_t began = now_ms();
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  REQUIRE(store.cache.cleanup_some(progress, 1000) == PGCACHE_OK);
  CHECK(progress.busy);
  CHECK_FALSE(progress.finished);
  CHECK(progress.removed == 0);
  CHECK(eventually([&] {
    REQUIRE(store.cache.cleanup_some(progress, 1000) == PGCACHE_OK);
    return !progress.busy;
  }));
  CHECK(now_ms() - began >= 300);
  CHECK(progress.finished);
  CHECK(expired(store) == "0");

  /* A slice that is under way is not waited for either. */
  store.pg.exec("BEGIN");
  begin_elsewhere(store, "0");
  REQUIRE(store.cache.cleanup_some(progress, 1000, deadline(2000)) == PGCACHE_OK);
  CHECK(progress.busy);
  store.pg.exec("ROLLBACK");
  REQUIRE(store.cache.cleanup_some(progress, 1000) == PGCACHE_OK);
  CHECK_FALSE(progress.busy);
}

TEST_CASE("A slice deletes a few megabytes and no more, however long the values are", "[slices][limits]") {
  Store store;
  const int rows_of_a_megabyte = 60; /* in two blocks */
  const auto fill_long = [&](const string &ttl) {
    store.pg.exec(store.sql("SELECT count({s}.put('k' || i, decode(repeat('ab', 1048576), 'hex'), interval '" + ttl +
                            "')) FROM generate_series(1, " + std::to_string(rows_of_a_megabyte) + ") i"));
    sleep_ms(5);
  };
  const string walker = "'00000000-0000-0000-0000-000000000001'";
  const auto slice = [&](bool anew) {
    return store.pg.query(store.sql("SELECT now_removed + now_evicted, finished FROM {s}.clean_slice(" + walker +
                                    ", 1, 0, 0, " + (anew ? "true" : "false") + ")"));
  };
  const auto walk = [&] {
    int deleted = 0, slices = 0;
    std::vector<Row> answer = slice(true);
    for (;;) {
      CHECK(std::stoi(answer.at(0).at(0)) <= 2);
      deleted += std::stoi(answer.at(0).at(0));
      if (answer.at(0).at(1) == "t" || ++slices > 1000)
        return deleted;
      answer = slice(false);
    }
  };
  fill_long("1 ms");
  CHECK(walk() == rows_of_a_megabyte);
  fill_long("1 hour");
  store.pg.exec(store.sql("UPDATE {s}.entries SET accessed_at = accessed_at - interval '1 hour'"));
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_ALL, 10, 0) == PGCACHE_OK);
  CHECK(walk() == rows_of_a_megabyte - 10);
  CHECK(rows(store) == "10");
  CHECK(store.pg.one(store.sql("SELECT entries FROM {s}.janitor")) == "10");

  /* A cleanup beside another janitor comes to its end, too. */
  fill_long("1 ms");
  begin_elsewhere(store, "60000");
  const int waiting = std::stoi(expired(store));
  REQUIRE(waiting > 10);
  const Answer cleaned = store.cache.cleanup();
  CHECK(cleaned == PGCACHE_OK);
  CHECK(cleaned.number == waiting);
  CHECK(expired(store) == "0");
}

TEST_CASE("Who is told that another is at work is not in its way", "[cleanup][slices]") {
  Store store;
  fill(store, 300);
  const string slice = "SELECT busy FROM {s}.clean_slice($1::uuid, 1, 60000, 0, false)";
  const string first = "00000000-0000-0000-0000-000000000001", second = "00000000-0000-0000-0000-000000000002";
  REQUIRE(store.pg.one(store.sql(slice), {first}) == "f");
  Pg other(url());
  other.exec("BEGIN");
  CHECK(other.one(store.sql(slice), {second}) == "t");
  CHECK(store.pg.one(store.sql(slice), {first}) == "f");
  other.exec("COMMIT");
}

TEST_CASE("A clock that was set back keeps nobody from walking", "[cleanup][slices]") {
  Store store;
  fill(store, 300);
  begin_elsewhere(store, "60000");
  store.pg.exec(store.sql("UPDATE {s}.janitor SET until = until + interval '1 hour', began_at = began_at + interval '1 "
                          "hour'"));
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
  CHECK_FALSE(progress.busy);
  CHECK(progress.finished);
  CHECK(expired(store) == "0");
  store.pg.exec(store.sql("UPDATE {s}.janitor SET ended_at = ended_at + interval '1 hour'"));
  fill(store, 300);
  Janitor janitor(store.cache, 1000);
  CHECK(eventually([&] { return expired(store) == "0"; }));
  CHECK(janitor.stop(30000) == PGCACHE_OK);
}

TEST_CASE("What was told busy begins anew the next time, if it was to", "[cleanup][slices]") {
  Store store;
  fill(store, 300);
  begin_elsewhere(store, "60000");
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  progress.restart = 1;
  REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
  CHECK(progress.busy);
  CHECK(progress.restart == 1);
  store.pg.exec(store.sql("UPDATE {s}.janitor SET until = clock_timestamp(), next_block = 1000000"));
  REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
  CHECK(progress.finished);
  CHECK(progress.restart == 0);
  CHECK(expired(store) == "0");
}

TEST_CASE("[A50] A janitor goes on with what a dead one left before its own interval is over", "[A50][janitor]") {
  Store store;
  fill(store, 2000);
  begin_elsewhere(store, "500");
  Janitor janitor(store.cache, 3600000);
  CHECK(eventually([&] { return expired(store) == "0"; }, 20000));
  CHECK(janitor.stop(30000) == PGCACHE_OK);
}

TEST_CASE("Nobody can hold the lease for longer than a minute", "[cleanup][slices]") {
  Store store;
  fill(store, 300);
  begin_elsewhere(store, "2000000000");
  CHECK(store.pg.one(store.sql("SELECT until BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute' "
                               "FROM {s}.janitor")) == "t");
}

TEST_CASE("[A05] cleanup does its work also while another janitor is at its own", "[A05][cleanup][slices]") {
  Store store;
  fill(store, 300);
  begin_elsewhere(store, "60000");
  fill(store, 600); /* some behind the other one's back */
  const int64_t waiting = std::stoll(expired(store));
  REQUIRE(waiting > 0);
  const Answer cleaned = store.cache.cleanup();
  CHECK(cleaned == PGCACHE_OK);
  CHECK(cleaned.number == waiting);
  CHECK(expired(store) == "0");
  CHECK(store.pg.one(store.sql("SELECT until > clock_timestamp() FROM {s}.janitor")) == "t"); /* left to the other */
}

TEST_CASE("A janitor whose process is killed in the middle of a slice is replaced", "[cleanup][slices]") {
  Store store;
  fill(store, 2000);
  /* The slice hangs on the tally, which somebody holds. */
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("LOCK TABLE {s}.tally"));
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
    store.cache.cleanup_some(progress, 10000);
    _exit(0);
  }
  Pg pg(url());
  const auto hangs = [&] {
    return pg.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%" +
                  store.schema() + "%clean_slice%'") == "1";
  };
  CHECK(eventually(hangs));
  kill(child, SIGKILL);
  int status;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(eventually([&] { return !hangs(); }, 10000)); /* the server notices that its client is gone */
  store.pg.exec("COMMIT");
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  CHECK(eventually([&] {
    REQUIRE(store.cache.cleanup_some(progress, 60000) == PGCACHE_OK);
    return progress.finished == 1;
  }));
  CHECK(expired(store) == "0");
}

TEST_CASE("A crash of the server empties the janitor's row; the next slice makes it anew", "[cleanup][slices][crash]") {
  PrivateServer server;
  Store store({{"table", "logged"}}, server.conninfo());
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  REQUIRE(store.cache.put("live", "v", 60000) == PGCACHE_OK);
  REQUIRE(store.cache.set_limits(PGCACHE_LIMIT_ALL, 1000, 0) == PGCACHE_OK);
  REQUIRE(store.cache.cleanup() == PGCACHE_OK);
  REQUIRE(store.cache.put("again", "v", 1) == PGCACHE_OK);
  begin_elsewhere(store, "3600000"); /* its lease does not outlive the server */
  server.crash();
  server.start();
  store.pg = Pg(server.conninfo());
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.janitor")) == "0");
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  Answer cleaned;
  CHECK(eventually([&] { return (cleaned = store.cache.cleanup_some(progress, 10000)) == PGCACHE_OK; }));
  INFO(cleaned);
  CHECK_FALSE(progress.busy);
  CHECK(progress.finished);
  CHECK(rows(store) == "1");
  CHECK(store.cache.usage().at(0).max_entries == 1000); /* limits are logged */
}

TEST_CASE("Progress of an older, smaller size is filled as far as it reaches", "[cleanup][rule:sizes]") {
  Store store;
  REQUIRE(store.cache.put("k", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  struct {
    pgcache_cleanup_progress progress;
    char guard[16];
  } box;
  for (const size_t size : {offsetof(pgcache_cleanup_progress, blocks_done), sizeof(pgcache_cleanup_progress)}) {
    INFO("size " << size);
    memset(&box, '#', sizeof box);
    box.progress = PGCACHE_CLEANUP_PROGRESS_INIT;
    memset(reinterpret_cast<char *>(&box) + size, '#', sizeof box - size);
    box.progress.struct_size = size;
    CHECK(store.cache.cleanup_some(box.progress, 1000) == PGCACHE_OK);
    CHECK(box.progress.struct_size == size);
    CHECK(box.progress.finished);
    const char *bytes = reinterpret_cast<const char *>(&box);
    for (size_t i = size; i < sizeof box; i++) {
      if (bytes[i] != '#')
        FAIL("wrote behind the end, at byte " << i);
    }
  }
  for (const size_t size : {size_t{0}, size_t{8}, offsetof(pgcache_cleanup_progress, evicted)}) {
    box.progress.struct_size = size;
    CHECK(store.cache.cleanup_some(box.progress, 1000) == PGCACHE_INVALID);
  }
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  CHECK(store.cache.cleanup_some(progress, -1) == PGCACHE_INVALID);
  CHECK(store.cache.cleanup_some(progress, PGCACHE_JANITOR_INTERVAL_MAX + 1) == PGCACHE_INVALID);
  CHECK(store.cache.cleanup_some(progress, INT64_MIN) == PGCACHE_INVALID);
}

TEST_CASE("One of so many writes does a slice, and what fails there is only counted", "[cleanup][chance]") {
  Store store;
  Cache always = store.open({{"cleanup_chance", "1"}});
  Cache never = store.open();
  REQUIRE(never.put("expired", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  REQUIRE(never.put("k", "v") == PGCACHE_OK);
  CHECK(rows(store) == "2");
  CHECK(walks_ended(store) == "never");
  REQUIRE(always.get("k") == PGCACHE_OK);
  CHECK(walks_ended(store) == "never"); /* reads do not */
  /* A slice has 200 ms, planning included, and may be late on a busy machine: then the next one does it. */
  const auto walked = [&](const string &since) {
    return eventually([&] {
      REQUIRE(always.increment("n") == PGCACHE_OK);
      return walks_ended(store) != since;
    });
  };
  CHECK(walked("never"));
  CHECK(rows(store) == "2"); /* k and n */
  const string first = walks_ended(store);
  /* Every kind of write may, but walks begin a minute apart. */
  REQUIRE(never.put("expired", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  REQUIRE(always.increment("n") == PGCACHE_OK);
  CHECK(walks_ended(store) == first);
  store.pg.exec(store.sql("UPDATE {s}.janitor SET ended_at = ended_at - interval '59 seconds'"));
  const string early = walks_ended(store);
  REQUIRE(always.increment("n") == PGCACHE_OK);
  CHECK(walks_ended(store) == early);
  store.pg.exec(store.sql("UPDATE {s}.janitor SET ended_at = ended_at - interval '1 second'"));
  CHECK(walked(walks_ended(store)));
  CHECK(rows(store) == "2");
  const int64_t late = always.counters().cleanup_failures;

  /* One of a hundred: about ten of a thousand; the bounds are wide. */
  Cache rarely = store.open({{"cleanup_chance", "100"}});
  int slices = 0;
  for (int i = 0; i < 1000; i++) {
    store.pg.exec(store.sql("UPDATE {s}.janitor SET ended_at = '-infinity'"));
    REQUIRE(rarely.put("k", "v") == PGCACHE_OK);
    slices += walks_ended(store) != "-infinity";
  }
  CHECK(slices >= 1);
  CHECK(slices <= 60);

  store.pg.exec(store.sql("ALTER TABLE {s}.tally RENAME TO hidden; UPDATE {s}.janitor SET ended_at = '-infinity'"));
  const Answer put = always.put("k", "w");
  CHECK(put == PGCACHE_OK);
  CHECK(always.get("k").bytes() == "w");
  CHECK(always.counters().cleanup_failures == late + 1);
}

TEST_CASE("A slice on a writer's way ends soon, whatever it meets", "[cleanup][chance]") {
  Store store;
  Cache cache = store.open({{"cleanup_chance", "1"}});
  REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  store.pg.exec(store.sql("UPDATE {s}.janitor SET ended_at = '-infinity'"));
  const int64_t late = cache.counters().cleanup_failures; /* the first one plans, too */
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("LOCK TABLE {s}.tally"));
  int puts = 0;
  CHECK(in_one_of(5, [&] {
    const int64_t began = now_ms();
    CHECK(cache.put("k", "w") == PGCACHE_OK);
    const int64_t took = now_ms() - began;
    CHECK(took < 10000); /* less than its deadline, for which the other one would wait */
    puts++;
    return took < 400; /* a slice has 200 ms */
  }));
  store.pg.exec("COMMIT");
  CHECK(cache.counters().cleanup_failures == late + puts);
  CHECK(cache.get("k").bytes() == "w");
}

TEST_CASE("[A50] A janitor walks at once and then every interval, and stops twice without harm", "[A50][janitor]") {
  Store store;
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  REQUIRE(store.cache.cleanup_some(
              *std::make_unique<pgcache_cleanup_progress>(pgcache_cleanup_progress(PGCACHE_CLEANUP_PROGRESS_INIT)),
              1000) == PGCACHE_OK);
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  sleep_ms(5);
  {
    Janitor once(store.cache, 3600000);
    CHECK(eventually([&] { return rows(store) == "0"; })); /* at once, and not after its interval */
    CHECK(once.stop(30000) == PGCACHE_OK);
  }
  Janitor janitor(store.cache, 200);
  const string first = walks_ended(store);
  CHECK(eventually([&] { return walks_ended(store) != first; }));
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  CHECK(eventually([&] { return rows(store) == "0"; }));
  CHECK(janitor.stop(30000) == PGCACHE_OK);
  const string last = walks_ended(store);
  CHECK(janitor.stop(30000) == PGCACHE_OK);
  CHECK(janitor.stop(0) == PGCACHE_OK);
  sleep_ms(500);
  CHECK(walks_ended(store) == last);
  CHECK(store.cache.get("k") == PGCACHE_MISS); /* the handle is none the worse */
  CHECK(store.cache.counters().cleanup_failures == 0);
}

TEST_CASE("[A50] An interval that is none is refused", "[A50][janitor][rule:refuse]") {
  Store store;
  for (const int64_t interval :
       {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX, int64_t{PGCACHE_JANITOR_INTERVAL_MAX + 1}}) {
    INFO(interval);
    pgcache_janitor *janitor = reinterpret_cast<pgcache_janitor *>(1);
    Error error;
    CHECK(pgcache_janitor_start(&janitor, store.cache.raw(), interval, &error) == PGCACHE_INVALID);
    CHECK(janitor == nullptr);
    CHECK(error.text().find("interval_ms") != string::npos);
  }
  Janitor longest(store.cache, PGCACHE_JANITOR_INTERVAL_MAX);
  Janitor shortest(store.cache, 1);
  CHECK(pgcache_janitor_stop(nullptr, 0, nullptr) == PGCACHE_INVALID);
  CHECK(shortest.stop(-1) == PGCACHE_INVALID);
}

TEST_CASE("[A50] Stopping says whether the janitor has stopped", "[A50][janitor]") {
  Store store;
  REQUIRE(store.cache.cleanup() == PGCACHE_OK);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("LOCK TABLE {s}.tally"));
  {
    Janitor janitor(store.cache, 100);
    CHECK(eventually([&] {
      return store.pg.one("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '" + store.schema() +
                          ".tally'::regclass") == "1";
    }));
    CHECK(janitor.stop(0) == PGCACHE_TIMEOUT);
    const int64_t began = now_ms();
    CHECK(janitor.stop(200) == PGCACHE_TIMEOUT);
    CHECK(now_ms() - began >= 190);
    store.pg.exec("COMMIT");
    CHECK(janitor.stop(30000) == PGCACHE_OK);
  }
}

TEST_CASE("[A50] A janitor survives failures, counts them, and works on when they are over", "[A50][janitor]") {
  Store store;
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"timeout_ms", "300"}});
  Janitor janitor(cache, 50);
  CHECK(eventually([&] { return walks_ended(store) != "never"; }));
  store.pg.exec(store.sql("ALTER TABLE {s}.tally RENAME TO hidden"));
  CHECK(eventually([&] { return cache.counters().cleanup_failures >= 2; }));
  const int64_t failures = cache.counters().cleanup_failures;
  sleep_ms(1000);
  CHECK(cache.counters().cleanup_failures - failures <= 4); /* it backs off: 20 intervals have passed */
  store.pg.exec(store.sql("ALTER TABLE {s}.hidden RENAME TO tally"));
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  CHECK(eventually([&] { return rows(store) == "0"; }, 10000));
  /* A server that does not answer is another failure. */
  proxy.black_hole(true);
  const int64_t before = cache.counters().cleanup_failures;
  CHECK(eventually([&] { return cache.counters().cleanup_failures > before; }, 10000));
  proxy.black_hole(false);
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  CHECK(eventually([&] { return rows(store) == "0"; }, 10000));
  CHECK(janitor.stop(30000) == PGCACHE_OK);
}

TEST_CASE("[A50] Of several janitors one walks in each interval", "[A50][janitor]") {
  Store store;
  std::vector<Cache> caches;
  std::vector<std::unique_ptr<Janitor>> janitors;
  for (int i = 0; i < 4; i++)
    caches.push_back(store.open());
  for (Cache &cache : caches)
    janitors.push_back(std::make_unique<Janitor>(cache, 300));
  sleep_ms(200); /* each has begun with a walk */
  std::vector<string> ends{walks_ended(store)};
  const int64_t began = now_ms();
  while (now_ms() - began < 2400 || (ends.size() < 3 && now_ms() - began < 30000)) {
    const string end = walks_ended(store);
    if (end != ends.back())
      ends.push_back(end);
    sleep_ms(2);
  }
  CHECK(ends.size() >= 3);
  /* Four of them on their own would make four in each interval. */
  CHECK(static_cast<int64_t>(ends.size()) <= (now_ms() - began) / 300 + 2);
}

TEST_CASE("[A50] The shutdown of the handle ends its janitors, which may be freed before and after it",
          "[A50][janitor]") {
  Store store;
  Cache cache = store.open();
  Janitor before(cache, 1), after(cache, 1), idle(cache, 1000000);
  CHECK(eventually([&] { return walks_ended(store) != "never"; }));
  before.free();
  cache.shutdown();
  CHECK(after.stop(30000) == PGCACHE_OK);
  CHECK(idle.stop(30000) == PGCACHE_OK);
  pgcache_janitor *late = nullptr;
  CHECK(pgcache_janitor_start(&late, cache.raw(), 1000, nullptr) == PGCACHE_CLOSED);
  CHECK(late == nullptr);
  cache.free();
  after.free();

  Cache other = store.open();
  Janitor running(other, 1);
  other.free(); /* waits until the thread uses it no more */
  CHECK(running.stop(0) == PGCACHE_OK);
}

TEST_CASE("[A50] The null cache has janitors, too, with nothing to do", "[A50][janitor][null]") {
  Config config;
  config.set("url", "null:");
  Cache cache(config);
  Janitor janitor(cache, 1);
  pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
  CHECK(cache.cleanup_some(progress, 1000) == PGCACHE_OK);
  CHECK(progress.finished);
  CHECK(cache.set_limits(PGCACHE_LIMIT_ALL, 5, 5) == PGCACHE_OK);
  CHECK(cache.usage().empty());
  CHECK(janitor.stop(30000) == PGCACHE_OK);
}

TEST_CASE("[A50] A forked child has no janitor, and may start one", "[A50][janitor][rule:fork]") {
  Store store;
  Janitor janitor(store.cache, 20);
  CHECK(eventually([&] { return walks_ended(store) != "never"; }));
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    if (janitor.stop(1000) != PGCACHE_OK)
      _exit(1);
    janitor.free();
    if (store.cache.put("k", "child", 60000) != PGCACHE_OK)
      _exit(2);
    pgcache_janitor *own = nullptr;
    if (pgcache_janitor_start(&own, store.cache.raw(), 1, nullptr) != PGCACHE_OK)
      _exit(3);
    if (pgcache_janitor_stop(own, 10000, nullptr) != PGCACHE_OK)
      _exit(4);
    pgcache_janitor_free(own);
    store.cache.free();
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  REQUIRE(store.cache.put("expired", "v", 1) == PGCACHE_OK);
  CHECK(eventually([&] { return rows(store) == "1"; })); /* the parent's is still at work: the child's entry is left */
  CHECK(janitor.stop(30000) == PGCACHE_OK);
}

TEST_CASE("[A10] Janitors and cleanups that race refreshes never delete a refreshed entry",
          "[A10][janitor][cleanup][threads]") {
  Store store;
  const int keys = 40;
  const int rounds = longer(20, 500);
  std::atomic<int> lost{0}, failed{0};
  Cache caches[] = {store.open({{"cleanup_share", "100"}}), store.open({{"cleanup_share", "100"}})};
  Janitor first(caches[0], 1), second(caches[1], 1);
  std::atomic<bool> done{false};
  std::thread cleaner([&] {
    Cache cache = store.open();
    while (!done)
      failed += cache.cleanup() != PGCACHE_OK;
  });
  in_threads(2, [&](int thread) {
    Cache cache = store.open({{"cleanup_chance", "10"}});
    for (int round = 0; round < rounds; round++) {
      for (int i = 0; i < keys; i++)
        failed += cache.put(std::to_string(thread * 1000 + i), "short", 2) != PGCACHE_OK;
      sleep_ms(3);
      for (int i = 0; i < keys; i++) {
        const string key = std::to_string(thread * 1000 + i);
        failed += cache.put(key, "refreshed", 60000) != PGCACHE_OK;
        lost += cache.get(key).bytes() != "refreshed";
      }
    }
  });
  done = true;
  cleaner.join();
  CHECK(failed == 0);
  CHECK(lost == 0);
  CHECK(first.stop(30000) == PGCACHE_OK);
  CHECK(second.stop(30000) == PGCACHE_OK);
  CHECK(store.cache.cleanup() == PGCACHE_OK);
  CHECK(expired(store) == "0");
}
