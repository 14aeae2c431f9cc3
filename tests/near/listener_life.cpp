/*
 * listener_life.cpp - the listener's thread and the process it is in: stopped, forked, without memory, ended while it waits.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "watch.hpp"

#include "support/alloc_fail.hpp"
#include "support/fork.hpp"
#include "support/interpose.hpp"
#include "support/proxy.hpp"
#include "support/system_fails.hpp"

#include <csignal>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* What parent and child tell each other. */
struct Shared {
  std::atomic<int64_t> acknowledged{0}, acknowledged_us{0}, hits{0}, stale{0};
  std::atomic<bool> ready{false}, stop{false};
};

/* The child's part: looks all the time; a hit must not be older than the bound. */
int look(Cache cache, Shared &shared, int64_t bound_ms) {
  Reader reader(std::move(cache));
  while (!shared.stop) {
    const int64_t must = shared.acknowledged, written_us = shared.acknowledged_us;
    const bool old = written_us < pgc_now_us() - bound_ms * 1000;
    const string held = reader.held("k");
    if (held == "-") {
      if (reader.fence(5000) == PGCACHE_OK)
        reader.fill("k");
      continue;
    }
    shared.hits++;
    shared.ready = true;
    if (old && std::stoll(held) < must)
      shared.stale++;
  }
  return 0;
}

/* A process that looks is stopped so many times, for so long beyond the bound, while its key is written. */
void stop_again_and_again(const Settings &settings, int64_t bound_ms, int times, int beyond_ms) {
  Store store;
  void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  Shared &shared = *new (memory) Shared;
  int64_t value = 0;
  const auto write = [&] {
    REQUIRE(store.cache.put("k", std::to_string(value + 1), PGCACHE_TTL_NEVER) == PGCACHE_OK);
    shared.acknowledged_us = pgc_now_us(); /* first: who sees the value sees when it was */
    shared.acknowledged = ++value;
  };
  write();
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(400);
    _exit(look(store.open(settings), shared, bound_ms));
  }
  CHECK(eventually([&] { return shared.ready.load(); }));
  for (int i = 0; i < times; i++) {
    const int64_t before = shared.hits;
    CHECK(eventually([&] { return shared.hits > before; }));
    kill(child, SIGSTOP);
    write();
    for (const int64_t end = now_ms() + beyond_ms; now_ms() < end; sleep_ms(50))
      write();
    sleep_ms(static_cast<int>(bound_ms) + 50); /* the promise: now nobody gives the old value any more */
    kill(child, SIGCONT);
  }
  for (int i = 0; i < 3; i++) {
    const int64_t before = shared.hits;
    write();
    CHECK(eventually([&] { return shared.hits > before; }));
  }
  shared.stop = true;
  int status = 0;
  waitpid(child, &status, 0);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK(shared.stale == 0);
  munmap(memory, sizeof(Shared));
}

} // namespace

TEST_CASE("A process that was stopped gives no hit that is older than the bound when it goes on", "[stop]") {
  stop_again_and_again({{"near_max_bytes", "8388608"}, {"near_staleness_ms", "300"}}, 300, longer(5, 50), 0);
}

TEST_CASE("[A36] A process that was stopped for long, two minutes in a long run, with settings as they are by default",
          "[A36][stop]") {
  stop_again_and_again({{"near_max_bytes", "67108864"}}, 2000, 2, longer(1000, 120000));
}

TEST_CASE("A forked child has a near cache and a listener of its own, and leaves its parent's alone", "[rule:fork]") {
  if (!can_fork_among_threads) {
    WARN("skipped: this sanitizer's children hang");
    return;
  }
  Store store;
  const string name = store.schema();
  Reader reader(store, {}, url_with({{"application_name", name}}));
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  const auto sessions = [&] {
    return store.pg.query("SELECT pid, backend_start FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid",
                          {name});
  };
  const auto before = sessions();
  for (int round = 0; round < 2; round++) {
    CHECK(in_child([&] {
            if (reader.held("k") != "-")
              return 1; /* a fresh one */
            if (reader.fence() != PGCACHE_OK)
              return 2;
            if (!reader.fill("k") || reader.held("k") != "v")
              return 3;
            if (round == 1)
              reader.cache.free();
            return 0;
          }) == 0);
    CHECK(in_child([&] {
            reader.cache.free(); /* without having used it */
            return 0;
          }) == 0);
    CHECK(reader.held("k") == "v");
    CHECK(eventually([&] { return sessions() == before; }));
  }
  REQUIRE(store.cache.put("k", "w") == PGCACHE_OK);
  REQUIRE(reader.fence() == PGCACHE_OK);
  CHECK(reader.held("k") == "-");
}

TEST_CASE("Ending does not wait for a server that is silent, nor for a name that is not found", "[end]") {
  Store store;
  {
    Proxy proxy;
    Reader reader(store, {{"near_staleness_ms", "60000"}, {"listen_url", proxy.conninfo()}});
    REQUIRE(reader.fence() == PGCACHE_OK);
    proxy.black_hole(true);
    CHECK(reader.fence(100) == PGCACHE_TIMEOUT); /* a poll is under way, for up to 30 s */
    const int64_t begun = now_ms();
    reader.cache.free();
    CHECK(now_ms() - begun < 5000);
  }
  {
    Proxy proxy;
    proxy.black_hole(true);
    Reader reader(store, {{"listen_url", proxy.conninfo()}});
    CHECK(reader.fence(100) == PGCACHE_TIMEOUT);
    const int64_t begun = now_ms();
    reader.cache.free();
    CHECK(now_ms() - begun < 5000);
  }
  HangingNames hang;
  for (const bool of_store : {false, true}) { /* which it asks whether it is where the listener is */
    const int started = HangingNames::started();
    const string good = url(), hanging = "host=db.hangs.invalid dbname=x";
    Reader reader(store, {{"url", of_store ? hanging : good}, {"listen_url", of_store ? good : hanging}});
    const Answer waited = reader.fence(100);
    CHECK((waited == PGCACHE_TIMEOUT || waited == PGCACHE_UNAVAILABLE));
    CHECK(eventually([&] { return HangingNames::started() > started; }));
    const int64_t begun = now_ms();
    reader.cache.free();
    CHECK(now_ms() - begun < 5000);
  }
}

TEST_CASE("Who waits in a fence is woken by a shutdown", "[end][threads]") {
  Store store;
  Proxy proxy;
  Reader reader(store, {{"near_staleness_ms", "60000"}, {"listen_url", proxy.conninfo()}});
  REQUIRE(reader.fence() == PGCACHE_OK);
  proxy.black_hole(true);
  std::atomic<int> closed{0};
  std::thread ending([&] {
    sleep_ms(200);
    reader.cache.shutdown();
  });
  in_threads(4, [&](int) { closed += reader.fence() == PGCACHE_CLOSED; });
  ending.join();
  CHECK(closed == 4);
}

TEST_CASE("A near cache without memory: the handle works without, or the listener tries again", "[memory]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  int without = 0, with = 0;
  for (long n = 1; n < longer(200, 600); n += n < 60 || is_long() ? 1 : 7) {
    INFO("allocation " << n << " failing");
    const Config config = store.config({{"near_max_bytes", "1048576"}, {"near_staleness_ms", "200"}});
    {
      Allocations allocations(n, Failing::Once);
      pgcache *made = nullptr;
      Error error;
      const pgcache_status status = pgcache_new(&made, config.get(), &error);
      if (status == PGCACHE_OK) {
        Reader reader{Cache(made)};
        if (reader.near() == nullptr) {
          without++;
          CHECK(reader.fence() == PGCACHE_OK);
        } else {
          with++;
          Answer fenced;
          CHECK(eventually([&] {
            fenced = reader.fence();
            return fenced == PGCACHE_OK;
          }));
          INFO(fenced);
        }
        const Answer got = reader.cache.get("k");
        CHECK((got.bytes() == "v" || got == PGCACHE_NO_MEMORY));
      } else {
        CHECK(status == PGCACHE_NO_MEMORY);
      }
      CHECK(eventually([] { return Allocations::alive() == 0; })); /* what the pool's threads have ends soon */
    }
  }
  CHECK(without > 0);
  CHECK(with > 0);
}

TEST_CASE("Where no thread or descriptor is to be had for the listener it is said so and tried again later", "[end]") {
  Store store;
  for (const Lacking what : {Lacking::Threads, Lacking::Descriptors}) {
    Reader reader(store);
    REQUIRE(reader.cache.put("k", "v") == PGCACHE_OK); /* the store's connection has its threads */
    {
      const SystemFails none(what);
      const Answer fenced = reader.fence();
      CHECK(fenced == PGCACHE_NO_MEMORY);
      CHECK(fenced.error.text().find("no thread or file descriptor") != string::npos);
      const int refused = SystemFails::refused();
      CHECK(refused > 0);
      CHECK(reader.fence() == PGCACHE_NO_MEMORY);
      CHECK(reader.cache.get("k").bytes() == "v"); /* without a near cache */
      CHECK(SystemFails::refused() == refused);    /* it was not even tried: each call would */
      sleep_ms(260);
      CHECK(reader.fence() == PGCACHE_NO_MEMORY);
      CHECK(SystemFails::refused() > refused);
    }
    CHECK(eventually([&] { return reader.fence() == PGCACHE_OK; }));
    CHECK(reader.keep("k"));
  }
}

TEST_CASE("After a shutdown no listener is started", "[end]") {
  Store store;
  Reader reader(store);
  REQUIRE(reader.cache.put("k", "v") == PGCACHE_OK);
  reader.cache.shutdown();
  REQUIRE(reader.near() != nullptr);
  const Answer fenced = reader.fence();
  CHECK(fenced == PGCACHE_CLOSED);
  CHECK(fenced.error.text().find("shut down") != string::npos);
  CHECK(reader.held("k") == "-");
}

TEST_CASE("A forked child without memory has no near cache, or one of its own; its handle works in any case",
          "[rule:fork][memory]") {
  Store store;
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  /* The parent's listener cannot connect, so that its thread is at rest when the child is made. */
  const string nowhere = "host=/nonexistent";
  for (const bool started : {false, true}) {
    Cache cache = store.open({{"near_max_bytes", "1048576"}, {"listen_url", nowhere}});
    Reader reader(std::move(cache));
    if (started)
      REQUIRE(reader.fence() == PGCACHE_UNAVAILABLE);
    CHECK(in_child([&] {
            int without = 0;
            for (long n = 1; n < 1000; n++) {
              const int status = in_child([&] {
                Allocations allocations(n, Failing::Once);
                const bool near = reader.near() != nullptr;
                const bool failed = Allocations::failed() > 0;
                Answer got = reader.cache.get("k");
                if (got.bytes() != "v" && (failed || got != PGCACHE_NO_MEMORY))
                  return 9;
                got.value = Value();
                reader.cache.free();
                if (!eventually([] { return Allocations::alive() == 0; }, 5000))
                  return 8;
                return near ? failed ? 1 : 2 : failed ? 3 : 7;
              });
              if (status > 3)
                return 10 + status;
              without += status == 3;
              if (status == 2)
                return without > 3 ? 0 : 4;
            }
            return 5;
          }) == 0);
  }
}

TEST_CASE("A listener's connection ends with its age, as the pool's do, and nothing is lost by it", "[life][audit]") {
  Store store;
  Reader reader(store, {{"pool_max_lifetime_ms", "1000"}, {"near_audit_ms", "1500"}, {"pool_idle_ms", "3600000"}});
  REQUIRE(store.cache.put("k", "v", PGCACHE_TTL_NEVER) == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  /* Nothing else opens connections from here on. */
  const int64_t before = pgc_counted(&reader.counters().connections_opened);
  CHECK(eventually([&] { return pgc_counted(&reader.counters().connections_opened) >= before + 3; }, 20000));
  CHECK(reader.held("k") == "v");
  CHECK(reader.flushes(PGC_NEAR_FLUSH_START) == 1);
  CHECK(reader.flushes(PGC_NEAR_FLUSH_GAP) + reader.flushes(PGC_NEAR_FLUSH_EPOCH) == 0);
  CHECK(pgc_counted(&reader.counters().connections_lost) == 0);
  /* What is done seldom is done all the same. */
  CHECK(eventually([&] { return pgc_counted(&reader.counters().near_audited) > 0; }, 20000));
}
