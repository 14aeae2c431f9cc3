/*
 * sugar.cpp - pgcache_get_or_load(): who calls the loader, what reaches the caller, and that each loader is released once.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "sugar.hpp"

#include "support/alloc_fail.hpp"
#include "support/fork.hpp"
#include "support/system_fails.hpp"

#include <csignal>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* An entry that is stale at once, and may be given so, or stand in, for a minute. */
How soon_stale() {
  return kept(1, 60000, 60000);
}

How soon_gone_but_kept() {
  return kept(1, 0, 60000);
}

void await_stale(Cache &cache, std::string_view key) {
  REQUIRE(eventually([&] { return cache.get(key) == PGCACHE_MISS; }));
}

} // namespace

TEST_CASE("What is missing is loaded once, by the thread that asks", "[sugar]") {
  Store store;
  const std::thread::id me = std::this_thread::get_id();
  bool here = true;
  Loader loader([&](pgcache_load *load, pgcache_error *error) {
    here = here && std::this_thread::get_id() == me;
    return pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, error);
  });
  for (int i = 0; i < 5; i++) {
    const Answer a = loader.get(store.cache, "k");
    INFO(a);
    CHECK(a == PGCACHE_OK);
    CHECK(a.bytes() == "v");
    CHECK(a.value.version() > 0);
  }
  CHECK(loader.calls() == 1);
  CHECK(here);
  CHECK(loader.released(5));
  CHECK(store.cache.get("k").bytes() == "v");
}

TEST_CASE("[A40] Twenty threads ask for what is missing: one loads, all get it", "[A40][sugar][threads]") {
  Store store;
  Loader loader([](pgcache_load *load, pgcache_error *error) {
    sleep_ms(50);
    return pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, error);
  });
  std::atomic<int> wrong{0};
  in_threads(20, [&](int) { wrong += loader.get(store.cache, "k", {}, deadline(60000)).bytes() != "v"; });
  CHECK(wrong == 0);
  CHECK(loader.calls() == 1);
  CHECK(loader.released(20));
}

TEST_CASE("[A41] What a loader fails with reaches the caller, unless something stale may stand in", "[A41][sugar]") {
  Store store;
  Loader fails([](pgcache_load *, pgcache_error *error) {
    if (error != nullptr)
      snprintf(error->message, sizeof error->message, "the orders cannot be read");
    return PGCACHE_CONFLICT;
  });
  Loader silent([](pgcache_load *, pgcache_error *) { return PGCACHE_DENIED; });
  SECTION("there is nothing") {
    const Answer a = fails.get(store.cache, "k");
    CHECK(a == PGCACHE_CONFLICT);
    CHECK(a.error.text() == "the orders cannot be read");
    CHECK(silent.get(store.cache, "k") == PGCACHE_DENIED);
    CHECK(silent.get(store.cache, "k").error.text().size() > 5);
    Loader good("v"); /* the lease was given back */
    CHECK(good.get(store.cache, "k") == PGCACHE_OK);
  }
  SECTION("something stale is there") {
    load(store.cache, "k", "old", soon_gone_but_kept());
    await_stale(store.cache, "k");
    How how = soon_gone_but_kept();
    how.throttle_ms = 60000;
    for (int i = 0; i < 3; i++) {
      const Answer a = fails.get(store.cache, "k", how);
      INFO(a);
      CHECK(a == PGCACHE_STALE);
      CHECK(a.bytes() == "old");
    }
    CHECK(fails.calls() == 1); /* then nobody tries again for a while */
    CHECK(fails.released(3));
  }
}

TEST_CASE("What others have kept for longer than this caller wants does not stand in", "[rule:freshness][sugar]") {
  Store store;
  load(store.cache, "k", "old", soon_gone_but_kept());
  await_stale(store.cache, "k");
  Loader fails([](pgcache_load *, pgcache_error *) { return PGCACHE_CONFLICT; });
  CHECK(fails.get(store.cache, "k", kept(60000)) == PGCACHE_CONFLICT);
  Begun mine = begin(store.cache, "k", kept(60000));
  REQUIRE(mine == PGCACHE_LEASE);
  CHECK(mine.load.fail() == PGCACHE_MISS);
}

TEST_CASE("A loader that does not end its load has failed", "[sugar]") {
  Store store;
  Loader lazy([](pgcache_load *, pgcache_error *) { return PGCACHE_OK; });
  const Answer a = lazy.get(store.cache, "k");
  CHECK(a == PGCACHE_INVALID);
  CHECK(a.error.text() == "the loader returned without having ended the load");
  CHECK(lazy.released(1));
  CHECK(begin(store.cache, "k") == PGCACHE_LEASE);
}

TEST_CASE("There is no value, or the load was given up: a miss", "[sugar]") {
  Store store;
  How how;
  how.absent_ttl_ms = 60000;
  Loader absent(
      [](pgcache_load *load, pgcache_error *error) { return pgcache_load_fill_absent(load, nullptr, nullptr, error); });
  CHECK(absent.get(store.cache, "k", how) == PGCACHE_MISS);
  CHECK(absent.get(store.cache, "k", how) == PGCACHE_MISS);
  CHECK(absent.calls() == 1);
  Loader gives_up([](pgcache_load *load, pgcache_error *error) { return pgcache_load_abandon(load, nullptr, error); });
  CHECK(gives_up.get(store.cache, "l") == PGCACHE_MISS);
  CHECK(gives_up.get(store.cache, "l") == PGCACHE_MISS);
  CHECK(gives_up.calls() == 2);
}

TEST_CASE("What was loaded and could not be stored is given all the same", "[sugar]") {
  Store store(Settings{{"max_value_bytes", "10"}});
  SECTION("refused") {
    Loader loader([&](pgcache_load *load, pgcache_error *error) {
      invalidate(store.cache, Names().key("k"));
      return pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, error);
    });
    CHECK(loader.get(store.cache, "k").bytes() == "v");
    CHECK(store.cache.get("k") == PGCACHE_MISS);
  }
  SECTION("too large") {
    Loader loader(string(11, 'v'));
    const Answer a = loader.get(store.cache, "k");
    CHECK(a == PGCACHE_OK);
    CHECK(a.bytes() == string(11, 'v'));
    CHECK(begin(store.cache, "k") == PGCACHE_LEASE);
  }
  SECTION("the handle was shut down meanwhile") {
    Cache other = store.open();
    Loader loader([&](pgcache_load *load, pgcache_error *error) {
      pgcache_shutdown(other.raw());
      return pgcache_load_fill(load, nullptr, "v", 1, 0, nullptr, error);
    });
    CHECK(loader.get(other, "k").bytes() == "v");
    CHECK(loader.get(other, "k") == PGCACHE_CLOSED);
    CHECK(loader.released(2));
  }
  SECTION("the server is not there [rule:on_error]") {
    Cache lost = store.open({{"url", "host=/nowhere"}, {"on_error", "miss"}});
    Loader loader("v");
    CHECK(loader.get(lost, "k").bytes() == "v");
    CHECK(loader.get(lost, "k").bytes() == "v");
    CHECK(loader.calls() == 2);
  }
}

TEST_CASE("[A45] What is stale is given at once, and refreshed in the background, also when the caller is gone",
          "[A45][sugar]") {
  Store store;
  load(store.cache, "k", "old", soon_stale());
  await_stale(store.cache, "k");
  Door door;
  std::atomic<bool> elsewhere{false}, all_blocked{false};
  Loader loader([&, me = std::this_thread::get_id()](pgcache_load *load, pgcache_error *error) {
    elsewhere = std::this_thread::get_id() != me;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    all_blocked = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGUSR1) == 1;
    door.pass();
    return pgcache_load_fill(load, nullptr, "new", 3, 0, nullptr, error);
  });
  for (int i = 0; i < 10; i++) {
    const Answer a = loader.get(store.cache, "k", kept(60000, 60000));
    CHECK(a == PGCACHE_STALE);
    CHECK(a.bytes() == "old");
  }
  CHECK(loader.released(9)); /* those who do not load */
  CHECK(eventually([&] { return door.waiting() == 1; }));
  door.open();
  CHECK(eventually([&] { return store.cache.get("k").bytes() == "new"; }));
  CHECK(loader.released(10));
  CHECK(loader.calls() == 1);
  CHECK(elsewhere);
  CHECK(all_blocked);
}

TEST_CASE("[A45] A loader that takes longer than wait_ms goes on, and something stale stands in", "[A45][sugar]") {
  Store store;
  load(store.cache, "k", "old", soon_gone_but_kept());
  await_stale(store.cache, "k");
  Door door;
  Loader loader([&](pgcache_load *load, pgcache_error *error) {
    door.pass();
    return pgcache_load_fill(load, nullptr, "new", 3, 0, nullptr, error);
  });
  const How how = waits(kept(60000, 0, 60000), 100);
  SECTION("it is late") {
    const int64_t start = now_ms();
    const Answer a = loader.get(store.cache, "k", how);
    INFO(a);
    CHECK(a == PGCACHE_STALE);
    CHECK(a.bytes() == "old");
    CHECK(now_ms() - start >= 100);
    door.open();
    CHECK(loader.released(1));
    CHECK(store.cache.get("k").bytes() == "new");
  }
  SECTION("it is in time") {
    door.open();
    const Answer a = loader.get(store.cache, "k", waits(how, 60000), deadline(60000));
    CHECK(a == PGCACHE_OK);
    CHECK(a.bytes() == "new");
    CHECK(loader.released(1));
  }
}

TEST_CASE("When enough loads wait for the threads the caller loads himself", "[sugar]") {
  Store store(Settings{{"load_threads", "1"}});
  constexpr int COUNT = 40;
  for (int i = 0; i < COUNT; i++)
    load(store.cache, "k" + std::to_string(i), "old", soon_stale());
  await_stale(store.cache, "k" + std::to_string(COUNT - 1));
  Door door;
  std::atomic<int> here{0};
  Loader loader([&, me = std::this_thread::get_id()](pgcache_load *load, pgcache_error *error) {
    if (std::this_thread::get_id() == me)
      here++;
    else
      door.pass();
    return pgcache_load_fill(load, nullptr, "new", 3, 0, nullptr, error);
  });
  int fresh = 0, stale = 0;
  for (int i = 0; i < COUNT; i++) {
    const Answer a = loader.get(store.cache, "k" + std::to_string(i), leased(kept(60000, 60000), 60000));
    fresh += a == PGCACHE_OK && a.bytes() == "new";
    stale += a == PGCACHE_STALE && a.bytes() == "old";
  }
  CHECK(fresh + stale == COUNT);
  CHECK(fresh == here);
  CHECK(fresh > 0);
  CHECK(stale > 1);
  door.open();
  CHECK(loader.released(COUNT));
  CHECK(loader.calls() == COUNT);
}

TEST_CASE("Without a thread for loaders the caller loads himself; if that fails, what is stale stays good", "[sugar]") {
  Store store;
  for (const char *key : {"a", "b", "c"})
    load(store.cache, key, "old", soon_stale());
  await_stale(store.cache, "c");
  Loader right("new"), wrong([](pgcache_load *, pgcache_error *) { return PGCACHE_SERVER_ERROR; });
  const How how = leased(kept(60000, 60000), 60000);
  {
    const SystemFails none(Lacking::Threads);
    const Answer fresh = right.get(store.cache, "a", how);
    CHECK(fresh == PGCACHE_OK);
    CHECK(fresh.bytes() == "new");
    const Answer stale = wrong.get(store.cache, "b", how);
    CHECK(stale == PGCACHE_STALE);
    CHECK(stale.bytes() == "old");
    CHECK(SystemFails::refused() > 1);
    CHECK(right.releases() == 1);
    CHECK(wrong.releases() == 1);
  }
  const Answer later = right.get(store.cache, "c", how);
  CHECK(later == PGCACHE_STALE);
  CHECK(right.released(2));
  CHECK(store.cache.get("c").bytes() == "new");
}

TEST_CASE("[A43] Loaders that have other entries loaded, in the background too, do not wait for each other's threads",
          "[A43][sugar]") {
  Store store(Settings{{"load_threads", "1"}});
  constexpr int DEPTH = 6;
  for (int i = 0; i < DEPTH; i++)
    load(store.cache, "k" + std::to_string(i), "old", soon_gone_but_kept());
  await_stale(store.cache, "k" + std::to_string(DEPTH - 1));
  std::function<pgcache_status(int, pgcache_load *, pgcache_error *)> load_level;
  std::vector<std::unique_ptr<Loader>> loaders;
  for (int i = 0; i < DEPTH; i++)
    loaders.push_back(std::make_unique<Loader>([&, i](pgcache_load *load, pgcache_error *error) {
      string below = "0";
      if (i + 1 < DEPTH)
        below = loaders[static_cast<size_t>(i) + 1]
                    ->get(store.cache, "k" + std::to_string(i + 1), kept(60000, 0, 60000), deadline(60000))
                    .bytes();
      const string value = below + "+";
      return pgcache_load_fill(load, nullptr, value.data(), value.size(), 0, nullptr, error);
    }));
  const Answer a = loaders[0]->get(store.cache, "k0", kept(60000, 0, 60000), deadline(60000));
  INFO(a);
  CHECK(a == PGCACHE_OK);
  CHECK(a.bytes() == "0" + string(DEPTH, '+'));
}

TEST_CASE("The handle goes: what is being loaded ends first, what waits is only released", "[sugar]") {
  Store store;
  constexpr int COUNT = 10;
  for (int i = 0; i < COUNT; i++)
    load(store.cache, "k" + std::to_string(i), "old", soon_stale());
  await_stale(store.cache, "k" + std::to_string(COUNT - 1));
  Door door;
  Loader loader([&](pgcache_load *load, pgcache_error *error) {
    door.pass();
    return pgcache_load_fill(load, nullptr, "new", 3, 0, nullptr, error);
  });
  {
    Cache other = store.open({{"load_threads", "2"}});
    for (int i = 0; i < COUNT; i++)
      CHECK(loader.get(other, "k" + std::to_string(i), kept(60000, 60000)) == PGCACHE_STALE);
    REQUIRE(eventually([&] { return door.waiting() == 2; }));
    pgcache_shutdown(other.raw());
    std::thread opener([&] {
      sleep_ms(20);
      door.open();
    });
    other = Cache(); /* frees it, and waits for the loaders */
    opener.join();
    CHECK(loader.releases() == COUNT);
  }
  CHECK(loader.calls() == 2);
  sleep_ms(20);
  CHECK(loader.releases() == COUNT);
}

TEST_CASE("On one connection of the application's nothing is done in the background", "[sugar][borrowed]") {
  Store store;
  load(store.cache, "k", "old", soon_stale());
  await_stale(store.cache, "k");
  const Pg pg(url());
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, store.config().get(), pg.raw(), nullptr) == PGCACHE_OK);
  const std::thread::id me = std::this_thread::get_id();
  bool here = false;
  Loader loader([&](pgcache_load *load, pgcache_error *error) {
    here = std::this_thread::get_id() == me;
    return pgcache_load_fill(load, nullptr, "new", 3, 0, nullptr, error);
  });
  const Answer a = loader.get(self, "k", kept(60000, 60000));
  CHECK(a == PGCACHE_OK);
  CHECK(a.bytes() == "new");
  CHECK(here);
  CHECK(loader.released(1));
  pgcache_free(self);
}

TEST_CASE("A loader's arguments are checked, and it is released also when it is not needed", "[sugar][rule:refuse]") {
  Store store;
  pgcache_value *value = nullptr;
  pgcache_loader loader = PGCACHE_LOADER_INIT;
  int released = 0;
  loader.release = [](void *context) { ++*static_cast<int *>(context); };
  loader.context = &released;
  Error error;
  CHECK(pgcache_get_or_load(store.cache.raw(), &value, "k", 1, nullptr, nullptr, nullptr, &error) == PGCACHE_INVALID);
  CHECK(error.text().size() > 10);
  CHECK(pgcache_get_or_load(store.cache.raw(), &value, "k", 1, nullptr, &loader, nullptr, &error) == PGCACHE_INVALID);
  loader.load = [](void *, pgcache_load *, pgcache_error *) { return PGCACHE_OK; };
  CHECK(pgcache_get_or_load(nullptr, &value, "k", 1, nullptr, &loader, nullptr, &error) == PGCACHE_INVALID);
  CHECK(pgcache_get_or_load(store.cache.raw(), nullptr, "k", 1, nullptr, &loader, nullptr, &error) == PGCACHE_INVALID);
  CHECK(pgcache_get_or_load(store.cache.raw(), &value, "", 0, nullptr, &loader, nullptr, &error) == PGCACHE_INVALID);
  pgcache_error tiny = {};
  CHECK(pgcache_get_or_load(store.cache.raw(), &value, "k", 1, nullptr, &loader, nullptr, &tiny) == PGCACHE_INVALID);
  CHECK(pgcache_get_or_load(store.cache.raw(), &value, "k", 1, nullptr, nullptr, nullptr, &tiny) == PGCACHE_INVALID);
  CHECK(released == 5);
  loader.struct_size = 8;
  CHECK(pgcache_get_or_load(store.cache.raw(), &value, "k", 1, nullptr, &loader, nullptr, &error) == PGCACHE_INVALID);
  CHECK(released == 5);
}

TEST_CASE(
    "Loads in the background by many threads at once: each loader is released once, each value is one that was loaded",
    "[sugar][threads]") {
  Store store(Settings{{"load_threads", "3"}});
  std::atomic<int> number{0}, calls{0}, wrong{0};
  Loader loader([&](pgcache_load *load, pgcache_error *error) {
    const int mine = ++number;
    if (mine % 7 == 0)
      return PGCACHE_CONFLICT;
    const string value = "v" + std::to_string(mine);
    return pgcache_load_fill(load, nullptr, value.data(), value.size(), 0, nullptr, error);
  });
  const int each = longer(100, 5000);
  in_threads(4, [&](int thread) {
    for (int i = 0; i < each; i++) {
      How how = waits(kept(1, i % 2 == 0 ? 60000 : 0, 60000), i % 3 == 0 ? 1 : 1000);
      how.throttle_ms = 0;
      const Answer a = loader.get(store.cache, "k" + std::to_string((thread + i) % 3), how, deadline(60000));
      calls++;
      const bool value = a == PGCACHE_OK || a == PGCACHE_STALE;
      wrong += value ? a.bytes()[0] != 'v' : a != PGCACHE_BUSY && a != PGCACHE_CONFLICT;
    }
  });
  CHECK(wrong == 0);
  CHECK(loader.released(calls));
}

TEST_CASE("Each allocation on the way of a load fails once: the loader is released once, and nothing leaks",
          "[sugar][memory][allocations]") {
  Store store;
  long n = 1;
  for (long reached = 1; reached > 0; n++) {
    const string key = "k" + std::to_string(n);
    load(store.cache, key, "old", soon_gone_but_kept());
    load(store.cache, key + "s", "old", soon_stale());
    await_stale(store.cache, key + "s");
    const Config config = store.config();
    Loader loader("new");
    std::vector<pgcache_status> statuses;
    size_t left = 0;
    {
      Allocations allocations(n, Failing::Once);
      pgcache *self = nullptr;
      if (pgcache_new(&self, config.get(), nullptr) == PGCACHE_OK) {
        statuses.push_back(loader.get(self, key, kept(60000, 0, 60000), deadline(15000)).status);
        statuses.push_back(loader.get(self, key + "s", kept(60000, 60000), deadline(15000)).status);
        statuses.push_back(loader.get(self, key + "m", {}, deadline(15000)).status);
      }
      pgcache_free(self);
      CHECK(loader.releases() == static_cast<int>(statuses.size()));
      eventually([&] { return (left = Allocations::alive()) == 0; });
      reached = Allocations::failed();
    }
    INFO("allocation " << n);
    CHECK(left == 0);
    for (const pgcache_status status : statuses) {
      INFO(pgcache_status_name(status));
      CHECK((status == PGCACHE_OK || status == PGCACHE_STALE || status == PGCACHE_NO_MEMORY));
    }
    REQUIRE(n < 3000);
  }
  CHECK(n > 20);
}

TEST_CASE("A forked child has threads of its own for loaders", "[sugar][fork]") {
  if (!can_fork_among_threads) {
    WARN("not with a sanitizer, whose locks a child that was forked beside other threads cannot take");
    return;
  }
  Store store;
  for (const char *key : {"parent", "child"})
    load(store.cache, key, "old", soon_stale());
  await_stale(store.cache, "child");
  Loader loader("new");
  REQUIRE(loader.get(store.cache, "parent", kept(60000, 60000)) == PGCACHE_STALE);
  CHECK(loader.released(1));
  CHECK(in_child([&] {
          Loader childs("new");
          if (childs.get(store.cache, "child", kept(60000, 60000)) != PGCACHE_STALE)
            return 1;
          return childs.released(1) && store.cache.get("child").bytes() == "new" ? 0 : 2;
        }) == 0);
}
