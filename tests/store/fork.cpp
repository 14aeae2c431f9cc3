/*
 * fork.cpp - a child goes on with its parent's handle, on connections of its own, and the parent's sessions do not
 * notice. A child here never returns into the test framework: it ends with a code that the parent checks.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/fork.hpp"
#include "support/server.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <functional>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* In a child, which cannot use the test framework: says what went wrong, and gives the step's number. */
int tell(const Answer &answer, int step) {
  fprintf(stderr, "child: step %d: %s [%s] %s\n", step, pgcache_status_name(answer.status), answer.error.sqlstate,
          answer.error.message);
  return step;
}

/* The sessions of one application name: their process ids and start times, which nothing may change. */
std::vector<Row> sessions(Store &store, const string &name) {
  return store.pg.query("SELECT pid, backend_start FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid",
                        {name});
}

struct Family {
  Store store;
  string name = store.schema();
  Cache cache = store.open({{"url", url_with({{"application_name", name}})}, {"pool_max", "4"}});
};

} // namespace

TEST_CASE("[A53] A child works on connections of its own; the parent's session is the same afterwards",
          "[A53][rule:fork]") {
  Family f;
  REQUIRE(f.cache.put("k", "parent") == PGCACHE_OK);
  const auto before = sessions(f.store, f.name);
  REQUIRE(before.size() == 1);
  const Answer got = f.cache.get("k");
  for (int round = 0; round < 3; round++) {
    CHECK(in_child([&] {
            if (got.bytes() != "parent")
              return 1; /* values live on */
            if (f.cache.get("k").bytes() != "parent" && round == 0)
              return 2;
            if (f.cache.put("k", "child") != PGCACHE_OK)
              return 3;
            if (f.cache.get("k").bytes() != "child")
              return 4;
            if (f.cache.increment("n") != PGCACHE_OK)
              return 5;
            return 0;
          }) == 0);
    CHECK(f.cache.get("k").bytes() == "child");
    CHECK(eventually([&] { return sessions(f.store, f.name) == before; }));
  }
  CHECK(f.cache.get("n").bytes() == "3");
  CHECK(sessions(f.store, f.name) == before);
}

TEST_CASE("[A53] A child that frees or shuts down the handle harms nobody", "[A53][rule:fork]") {
  Family f;
  REQUIRE(f.cache.put("k", "v") == PGCACHE_OK);
  const auto before = sessions(f.store, f.name);
  CHECK(in_child([&] {
          f.cache.free();
          return 0;
        }) == 0);
  CHECK(in_child([&] {
          f.cache.shutdown();
          if (f.cache.get("k") != PGCACHE_CLOSED)
            return 1;
          f.cache.free();
          return 0;
        }) == 0);
  CHECK(in_child([&] {
          if (f.cache.put("k", "child") != PGCACHE_OK)
            return 1;
          f.cache.shutdown();
          f.cache.shutdown();
          if (f.cache.get("k") != PGCACHE_CLOSED)
            return 2;
          f.cache.free();
          return 0;
        }) == 0);
  CHECK(in_child([&] { return 0; }) == 0); /* and one that does nothing at all */
  CHECK(f.cache.get("k").bytes() == "child");
  CHECK(f.cache.put("k", "w") == PGCACHE_OK);
  CHECK(eventually([&] { return sessions(f.store, f.name) == before; }));
}

TEST_CASE("[A53] A handle that was never used, one that was shut down, and a grandchild", "[A53][rule:fork]") {
  Family f;
  CHECK(in_child([&] { return f.cache.put("k", "first") == PGCACHE_OK ? 0 : 1; }) == 0);
  CHECK(f.cache.get("k").bytes() == "first");
  const auto before = sessions(f.store, f.name);
  CHECK(in_child([&] {
          if (f.cache.put("k", "child") != PGCACHE_OK)
            return 1;
          const int grandchild = in_child([&] {
            if (f.cache.get("k").bytes() != "child")
              return 1;
            if (f.cache.put("k", "grandchild") != PGCACHE_OK)
              return 2;
            return 0;
          });
          if (grandchild != 0)
            return 10 + grandchild % 200;
          if (f.cache.get("k").bytes() != "grandchild")
            return 3;
          return 0;
        }) == 0);
  CHECK(f.cache.get("k").bytes() == "grandchild");
  CHECK(eventually([&] { return sessions(f.store, f.name) == before; }));
  f.cache.shutdown();
  CHECK(in_child([&] { return f.cache.get("k") == PGCACHE_CLOSED ? 0 : 1; }) == 0);
}

TEST_CASE("[A53] A child that makes and uses a handle of its own beside the inherited one", "[A53][rule:fork]") {
  Family f;
  REQUIRE(f.cache.put("k", "v") == PGCACHE_OK);
  const auto before = sessions(f.store, f.name);
  CHECK(in_child([&] {
          Cache own(f.store.config());
          if (own.get("k").bytes() != "v")
            return 1;
          if (f.cache.get("k").bytes() != "v")
            return 2;
          own.free();
          if (f.cache.put("k", "w") != PGCACHE_OK)
            return 3;
          return 0;
        }) == 0);
  CHECK(f.cache.get("k").bytes() == "w");
  CHECK(eventually([&] { return sessions(f.store, f.name) == before; }));
}

TEST_CASE("[A53] Forks while other threads are inside calls: no child hangs, no call of the parent fails",
          "[A53][rule:fork]") {
  if (!can_fork_among_threads)
    return;
  Family f;
  REQUIRE(f.cache.put("k", "v") == PGCACHE_OK);
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0}, calls{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 6; thread++) { /* more than the pool has connections: some wait for one */
    threads.emplace_back([&, thread] {
      const string key = "t" + std::to_string(thread);
      for (int i = 0; !stop; i++) {
        const string value = std::to_string(i);
        failed += f.cache.put(key, value) != PGCACHE_OK;
        failed += f.cache.get(key).bytes() != value;
        calls++;
      }
    });
  }
  int bad = 0;
  for (int round = 0; round < longer(12, 300); round++) {
    sleep_ms(round % 7);
    const int code = in_child([&] {
      const string key = "child" + std::to_string(round);
      const Answer put = f.cache.put(key, key, deadline(20000));
      if (put != PGCACHE_OK)
        return tell(put, 1);
      if (f.cache.get(key, deadline(20000)).bytes() != key)
        return 2;
      std::atomic<int> wrong{0};
      in_threads(3, [&](int) { wrong += f.cache.get(key, deadline(20000)).bytes() != key; });
      if (wrong != 0)
        return 3;
      if (round % 2 == 0)
        f.cache.free();
      return 0;
    });
    INFO("child " << round << " ended with " << code);
    CHECK(code == 0);
    bad += code != 0;
    if (bad > 2)
      break;
  }
  stop = true;
  for (auto &thread : threads)
    thread.join();
  CHECK(failed == 0);
  CHECK(calls > 20);
  CHECK(eventually([&] { return sessions(f.store, f.name).size() <= 4; })); /* the children's end by and by */
}

TEST_CASE("[A53] The null cache after a fork", "[A53][A51][rule:fork]") {
  Config config;
  Cache cache(config.set("url", "null:"));
  CHECK(cache.get("k") == PGCACHE_MISS);
  CHECK(in_child([&] { return cache.get("k") == PGCACHE_MISS && cache.put("k", "v") == PGCACHE_OK ? 0 : 1; }) == 0);
}

TEST_CASE("[A53] A child without memory says so, and goes on when there is some", "[A53][rule:fork][memory]") {
  Family f;
  REQUIRE(f.cache.put("k", "parent") == PGCACHE_OK);
  const auto before = sessions(f.store, f.name);
  CHECK(in_child([&] {
          for (int n = 1; n < 1000; n++) {
            Answer answer;
            long failed;
            {
              Allocations allocations(n, Failing::Once);
              answer = f.cache.get("k");
              failed = Allocations::failed();
            }
            if (answer != PGCACHE_NO_MEMORY && answer.bytes() != "parent")
              return tell(answer, 1);
            if (n == 1 && answer != PGCACHE_NO_MEMORY)
              return tell(answer, 2);
            if (failed > 0)
              continue;
            if (answer.bytes() == "parent")
              return n > 4 ? 0 : tell(answer, 3);
            n--; /* a pause before the next attempt to connect is on */
            sleep_ms(10);
          }
          return 4;
        }) == 0);
  CHECK(in_child([&] {
          {
            Allocations allocations(1, Failing::FromThenOn);
            f.cache.shutdown(); /* nothing of the child's to shut down */
          }
          f.cache.free();
          return 0;
        }) == 0);
  CHECK(f.cache.get("k").bytes() == "parent");
  CHECK(eventually([&] { return sessions(f.store, f.name) == before; })); /* the child's ends by and by */
}

TEST_CASE("[A53] Many threads of a child come to the handle first", "[A53][rule:fork]") {
  Family f;
  REQUIRE(f.cache.put("k", "parent") == PGCACHE_OK);
  const auto before = sessions(f.store, f.name);
  CHECK(in_child([&] {
          /* Slow allocations, so that each of them begins to make a pool of its own. */
          pgc_memory_set_hooks(
              [](size_t size) {
                usleep(3000);
                return malloc(size);
              },
              nullptr);
          std::atomic<int> wrong{0};
          in_threads(4, [&](int) { wrong += f.cache.get("k").bytes() != "parent"; });
          pgc_memory_set_hooks(nullptr, nullptr);
          if (wrong != 0)
            return 1;
          return f.cache.stats().pool_open <= 4 ? 0 : 2;
        }) == 0);
  CHECK(f.cache.get("k").bytes() == "parent");
  CHECK(eventually([&] { return sessions(f.store, f.name) == before; }));
}
