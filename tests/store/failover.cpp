/*
 * failover.cpp - a primary with a streaming standby: the handle follows when the one dies and the other is promoted, no
 * version repeats, and what was acknowledged afterwards is there. And what a crash must not bring back.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <thread>

using namespace test;
using std::string;

namespace {

string both(const PrivateServer &one, const PrivateServer &other, const string &more) {
  return "host=" + one.socket_folder() + "," + other.socket_folder() +
         " port=5432 user=postgres dbname=postgres connect_timeout=2 " + more;
}

/* The standby has all that the primary has now. */
void wait_until_caught_up(Pg &primary) {
  const string position = primary.one("SELECT pg_current_wal_lsn()");
  if (!eventually(
          [&] {
            return primary.one("SELECT count(*) > 0 FROM pg_stat_replication WHERE replay_lsn >= $1::pg_lsn",
                               {position}) == "t";
          },
          20000))
    throw std::runtime_error("the standby does not follow");
}

/* Writers that never stop, each with keys of its own. */
class Load {
public:
  std::atomic<bool> promoted{false};
  std::atomic<int> before{0}, after{0}, twice{0}, lost{0}, odd{0}, came_back{0};
  std::atomic<int64_t> served_ms{0};

  Load(Cache &cache, int threads) : cache_(cache) {
    for (int thread = 0; thread < threads; thread++)
      threads_.emplace_back([this, thread] { run(thread); });
  }
  void stop() {
    stop_ = true;
    for (auto &thread : threads_)
      thread.join();
    threads_.clear();
  }
  ~Load() {
    stop();
  }

private:
  bool expected(const Answer &answer) {
    const bool is = answer.status >= 0 || answer == PGCACHE_UNAVAILABLE || answer == PGCACHE_UNKNOWN ||
                    answer == PGCACHE_TIMEOUT || answer == PGCACHE_READ_ONLY;
    if (!is && odd++ == 0)
      fprintf(stderr, "failover: %s %s\n", pgcache_status_name(answer.status), answer.error.message);
    return is;
  }
  void note_version(const Answer &answer) {
    std::lock_guard<std::mutex> lock(mutex_);
    twice += !versions_.insert(answer.version).second;
  }
  void run(int thread) {
    const string own = "t" + std::to_string(thread) + ".";
    for (int i = 0; !stop_; i++) {
      const bool late = promoted; /* then it is the new primary that acknowledges */
      const string key = own + std::to_string(i % 7), value = std::to_string(i);
      const Answer put = cache_.put(key, value, PGCACHE_TTL_NEVER, 0, deadline(2000));
      if (!expected(put) || put.status < 0) {
        sleep_ms(1);
        continue;
      }
      note_version(put);
      if (!late) {
        before++;
        const Answer counted = cache_.increment("counter", 1, 0, PGCACHE_TTL_NEVER, deadline(2000));
        if (expected(counted) && counted == PGCACHE_OK)
          note_version(counted);
        continue;
      }
      int64_t none = 0;
      served_ms.compare_exchange_strong(none, now_ms());
      after++;
      const Answer got = cache_.get(key, deadline(2000));
      if (expected(got) && got.status >= 0)
        lost += got.bytes() != value;
      if (i % 3 == 0 && cache_.remove(key, deadline(2000)) == PGCACHE_OK) {
        const Answer gone = cache_.get(key, deadline(2000));
        came_back += expected(gone) && gone.status >= 0 && gone != PGCACHE_MISS;
      }
    }
  }
  Cache &cache_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::set<int64_t> versions_;
  std::vector<std::thread> threads_;
};

} // namespace

TEST_CASE(
    "A handle follows its primary to the promoted standby under load; no version repeats, nothing acknowledged there "
    "is lost",
    "[failover][hosts][version][threads]") {
  int64_t best_ms = INT64_MAX;
  for (const bool logged : {false, true}) {
    INFO((logged ? "logged" : "unlogged"));
    PrivateServer primary;
    {
      Config config;
      Cache cache(config.set("url", primary.conninfo()).set("table", logged ? "logged" : "unlogged"));
      REQUIRE(cache.init() == PGCACHE_OK);
    }
    PrivateServer standby(&primary);
    Config config;
    config.set("url", both(primary, standby, "target_session_attrs=primary"));
    config.set("table", logged ? "logged" : "unlogged").set("breaker_pause_ms", "200");
    Cache cache(config);
    REQUIRE(cache.put("early", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
    const int32_t epoch = cache.stats().epoch;
    {
      Pg pg(primary.conninfo());
      wait_until_caught_up(pg);
    }
    Load load(cache, 4);
    REQUIRE(eventually([&] { return load.before > 200; }, 60000));
    primary.crash();
    sleep_ms(300);
    standby.promote();
    load.promoted = true;
    const int64_t promoted = now_ms();
    CHECK(eventually([&] { return load.after > 200; }, 60000));
    load.stop();
    printf("fail-over (%s): served %lld ms after the promotion; %d writes before, %d after\n",
           logged ? "logged" : "unlogged", static_cast<long long>(load.served_ms - promoted), load.before.load(),
           load.after.load());
    CHECK(load.served_ms - promoted < 20000);
    best_ms = std::min<int64_t>(best_ms, load.served_ms - promoted);
    CHECK(load.twice == 0);
    CHECK(load.lost == 0);
    CHECK(load.came_back == 0);
    CHECK(load.odd == 0);
    CHECK(cache.stats().epoch >= epoch + 16);
    const Answer early = cache.get("early");
    INFO(early);
    if (logged)
      CHECK(early.bytes() == "v");
    else
      CHECK(early == PGCACHE_MISS); /* unlogged tables are empty on the new primary, and no error */
  }
  CHECK(best_ms < 1000);
}

TEST_CASE("An old primary that was made read-only is left for the new one after one READ_ONLY",
          "[failover][readonly]") {
  PrivateServer old_primary;
  Config config;
  config.set("url", old_primary.conninfo()).set("table", "logged");
  REQUIRE(Cache(config).init() == PGCACHE_OK);
  PrivateServer new_primary(&old_primary);
  config.set("url", both(old_primary, new_primary, "target_session_attrs=read-write"));
  config.set("pool_min", "4").set("pool_max", "4");
  Cache cache(config);
  const Answer first = cache.put("k", "old");
  REQUIRE(first == PGCACHE_OK);
  REQUIRE(eventually([&] { return cache.stats().pool_idle == 4; }));
  Pg admin(old_primary.conninfo());
  wait_until_caught_up(admin);
  admin.exec("ALTER SYSTEM SET default_transaction_read_only = on");
  admin.exec("SELECT pg_reload_conf()");
  REQUIRE(eventually([&] { return Pg(old_primary.conninfo()).one("SHOW default_transaction_read_only") == "on"; }));
  sleep_ms(200); /* the sessions there are have read it, too */
  new_primary.promote();
  const Answer told = cache.put("k", "new");
  INFO(told);
  CHECK(told == PGCACHE_READ_ONLY);
  CHECK(string(told.error.sqlstate) == "25006");
  for (int i = 0; i < 8; i++) { /* not one for each connection that was open */
    const Answer next = cache.put("k", "new" + std::to_string(i));
    INFO(next);
    CHECK(next == PGCACHE_OK);
    CHECK(next.version > first.version);
  }
  CHECK(Pg(new_primary.conninfo()).one("SELECT convert_from(pgcache.get('k'), 'UTF8')") == "new7");
  CHECK(Pg(old_primary.conninfo()).one("SELECT convert_from(pgcache.get('k'), 'UTF8')") == "old");
}

TEST_CASE("A streaming standby is refused: its reads would lag behind", "[failover][readonly]") {
  PrivateServer primary;
  for (const bool logged : {false, true}) {
    INFO((logged ? "logged" : "unlogged"));
    Config config;
    config.set("url", primary.conninfo()).set("schema", logged ? "logged" : "unlogged");
    config.set("table", logged ? "logged" : "unlogged");
    Cache cache(config);
    REQUIRE(cache.init() == PGCACHE_OK);
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  }
  PrivateServer standby(&primary);
  for (const bool logged : {false, true}) {
    INFO((logged ? "logged" : "unlogged"));
    Config config;
    config.set("url", standby.conninfo()).set("schema", logged ? "logged" : "unlogged");
    config.set("table", logged ? "logged" : "unlogged");
    Cache cache(config);
    Items items;
    items.add("k");
    CHECK(pgcache_get_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_READ_ONLY);
    for (const Answer &answer : {cache.get("k"), cache.exists("k"), cache.put("k", "w"), cache.remove("k")}) {
      INFO(answer);
      CHECK(answer == PGCACHE_READ_ONLY);
      CHECK(answer.error.text().find("target_session_attrs=primary") != string::npos);
    }
    CHECK(Cache(config.set("on_error", "miss")).get("k") == PGCACHE_MISS);
  }
}

TEST_CASE("A logged entry whose removal was acknowledged does not come back after a crash, with synchronous_commit off",
          "[crash][failover]") {
  /* Commits that do not wait stay in memory for up to ten seconds. */
  PrivateServer server({"synchronous_commit = off", "wal_writer_delay = 10s"});
  Config config;
  Cache cache(config.set("url", server.conninfo()).set("table", "logged"));
  REQUIRE(cache.init() == PGCACHE_OK);
  int lost = 0;
  const std::pair<const char *, std::function<pgcache_status()>> removals[] = {
      {"remove", [&] { return cache.remove("k").status; }},
      {"remove_many",
       [&] {
         Items items;
         items.add("k");
         items.add("other");
         return pgcache_remove_many(cache.raw(), items.data(), 2, nullptr, nullptr);
       }},
      {"flush of a namespace", [&] { return cache.flush(PGCACHE_FLUSH_NAMESPACE).status; }},
      {"flush of all", [&] { return cache.flush(PGCACHE_FLUSH_ALL).status; }},
  };
  for (const auto &[name, removal] : removals) {
    INFO(name);
    REQUIRE(cache.put("k", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
    Pg(server.conninfo()).exec("CHECKPOINT");
    REQUIRE(removal() == PGCACHE_OK);
    REQUIRE(cache.put("unimportant", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
    server.crash();
    server.start();
    Answer answer;
    CHECK(eventually([&] { return (answer = cache.get("k")).status >= 0; }, 20000));
    CHECK(answer == PGCACHE_MISS);
    lost += cache.get("unimportant") == PGCACHE_MISS;
  }
  printf("crashes with synchronous_commit=off: %d of 4 lost a put that came later than a removal that was kept\n",
         lost);
  CHECK(lost > 0); /* else the removals would have been kept without any doing */
}
