/*
 * counters.cpp - the figures of the near cache, and what its settings turn off.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"
#include "pgcache_hooks.h"

using namespace test;
using std::string;

TEST_CASE("Hits, misses, fills, invalidations and flushes are counted", "[counters]") {
  Deaf deaf(Settings{{"near_absent_ms", "60000"}});
  deaf.deafen();
  pgcache_counters before = deaf.cache.counters();
  const auto rise = [&](int64_t pgcache_counters::*counter) {
    return deaf.cache.counters().*counter - before.*counter;
  };
  REQUIRE(deaf.other.put("k", "value") == PGCACHE_OK);
  CHECK(deaf.cache.get("k") == PGCACHE_OK);
  CHECK(rise(&pgcache_counters::near_misses) == 1);
  CHECK(rise(&pgcache_counters::near_fills) == 1);
  CHECK(rise(&pgcache_counters::near_hits) == 0);
  CHECK(deaf.cache.counters().near_entries == 1);
  const int64_t bytes = deaf.cache.counters().near_bytes;
  CHECK(bytes > 5);
  CHECK(deaf.cache.get("k") == PGCACHE_OK);
  CHECK(deaf.cache.exists("k") == PGCACHE_OK);
  CHECK(deaf.cache.peek("k") == PGCACHE_OK);
  CHECK(rise(&pgcache_counters::near_hits) == 3);
  CHECK(deaf.cache.get("k", from_store()) == PGCACHE_OK); /* is not asked */
  CHECK(rise(&pgcache_counters::near_hits) == 3);
  CHECK(rise(&pgcache_counters::near_misses) == 1);
  CHECK(deaf.cache.get("none") == PGCACHE_MISS);
  CHECK(deaf.cache.get("none") == PGCACHE_MISS);
  CHECK(rise(&pgcache_counters::near_absent_hits) == 1);
  CHECK(deaf.cache.flush(PGCACHE_FLUSH_NAMESPACE) == PGCACHE_OK);
  CHECK(rise(&pgcache_counters::near_flushes_stream) == 1);
  CHECK(rise(&pgcache_counters::near_flushes) == 1);
  CHECK(deaf.cache.counters().near_entries == 0);
  deaf.hear();

  /* The sum is that of the reasons. */
  const pgcache_counters all = deaf.cache.counters();
  CHECK(all.near_flushes ==
        all.near_flushes_start + all.near_flushes_epoch + all.near_flushes_gap + all.near_flushes_stream);

  /* What others change is an invalidation. */
  REQUIRE(deaf.other.put("k", "value") == PGCACHE_OK);
  REQUIRE(comes_near(deaf.cache, "k", "value"));
  const int64_t invalidations = deaf.cache.counters().near_invalidations;
  REQUIRE(deaf.other.put("k", "new") == PGCACHE_OK);
  CHECK(eventually([&] { return deaf.cache.counters().near_invalidations > invalidations; }, 20000));
  CHECK(deaf.cache.counters().near_polls > 0);
}

TEST_CASE("What own writes replace or take away counts as an invalidation, too", "[counters]") {
  Deaf deaf;
  deaf.deafen();
  const auto invalidations = [&] { return deaf.cache.counters().near_invalidations; };
  REQUIRE(deaf.cache.put("k", "value") == PGCACHE_OK);
  REQUIRE(copy_of(deaf.cache, "k") == "value");
  const int64_t before = invalidations();
  REQUIRE(deaf.cache.put("k", "new") == PGCACHE_OK);
  CHECK(invalidations() == before + 1);
  CHECK(deaf.cache.counters().near_entries == 1);
  REQUIRE(deaf.cache.remove("k") == PGCACHE_OK);
  CHECK(invalidations() == before + 2);
  REQUIRE(deaf.cache.remove("k") == PGCACHE_MISS); /* of what there is no copy of, none is dropped */
  REQUIRE(deaf.cache.put("l", "value") == PGCACHE_OK);
  CHECK(invalidations() == before + 2);
  deaf.hear();
}

TEST_CASE("Lapses are counted, and flushes by their reasons", "[counters]") {
  Deaf deaf(Settings{{"near_staleness_ms", "1000"}});
  const auto counters = [&] { return deaf.cache.counters(); };
  const auto sum = [](const pgcache_counters &all) {
    return all.near_flushes_start + all.near_flushes_epoch + all.near_flushes_gap + all.near_flushes_stream;
  };
  REQUIRE(deaf.other.put("k", "value") == PGCACHE_OK);
  REQUIRE(comes_near(deaf.cache, "k", "value"));
  CHECK(counters().near_flushes_start >= 1);

  /* It hears of nothing: what it holds is not proven any more. */
  const int64_t starts = counters().near_flushes_start;
  const int64_t lapses = counters().near_lapses;
  deaf.deafen();
  REQUIRE(eventually([&] { return copy_of(deaf.cache, "k") == "nothing"; }));
  CHECK(counters().near_lapses > lapses);
  CHECK(counters().near_flushes_start == starts);
  deaf.hear();
  CHECK(eventually([&] { return counters().near_flushes_start > starts; }));
  REQUIRE(comes_near(deaf.cache, "k", "value"));
  CHECK(counters().near_flushes_epoch == 0);
  CHECK(counters().near_flushes_gap == 0);

  /* A busy machine may be without news for a second at any time: then that is the reason, and it is tried again. */
  deaf.store.pg.exec(deaf.store.sql("TRUNCATE {s}.marker"));
  CHECK(eventually([&] { return counters().near_flushes_epoch > 0; }));
  CHECK(eventually([&] { return deaf.cache.fence(deadline(5000)) == PGCACHE_OK; }));
  for (int attempt = 0; attempt < 100 && counters().near_flushes_gap == 0; attempt++) {
    deaf.store.pg.exec(deaf.store.sql("UPDATE {s}.marker SET floor = 9000000000000000000"));
    (void)deaf.cache.fence(deadline(5000));
    deaf.store.pg.exec(deaf.store.sql("UPDATE {s}.marker SET floor = 0"));
    (void)deaf.cache.fence(deadline(5000));
  }
  CHECK(counters().near_flushes_gap > 0);
  CHECK(counters().near_flushes_stream == 0);
  deaf.cache.shutdown(); /* nothing counts while the two are compared */
  const pgcache_counters all = counters();
  CHECK(all.near_flushes == sum(all));
}

TEST_CASE("near_max_bytes 0 turns it off, and a process that only writes has none", "[counters]") {
  Store store;
  const auto nothing = [](const pgcache_counters &c) {
    return c.near_hits == 0 && c.near_absent_hits == 0 && c.near_misses == 0 && c.near_fills == 0 &&
           c.near_flushes == 0 && c.near_entries == 0 && c.near_polls == 0;
  };
  Cache off = store.open({{"near_max_bytes", "0"}});
  REQUIRE(off.put("k", "value") == PGCACHE_OK);
  for (int i = 0; i < 3; i++)
    CHECK(off.get("k").bytes() == "value");
  CHECK(off.fence() == PGCACHE_OK);
  CHECK(nothing(off.counters()));
  CHECK(off.counters().near_bytes == 0);
  CHECK(off.counters().connections_opened == 1);

  Cache writer = store.open(near_on({{"pool_max", "1"}}));
  for (int i = 0; i < 20; i++)
    REQUIRE(writer.put("k" + std::to_string(i), "value") == PGCACHE_OK);
  CHECK(writer.remove("k1") == PGCACHE_OK);
  CHECK(writer.peek("k2") == PGCACHE_MISS);
  sleep_ms(50);
  CHECK(writer.counters().connections_opened == 1);
  CHECK(writer.counters().near_entries == 0);
}

TEST_CASE("The null cache and the application's connections have no near cache", "[counters]") {
  Config config;
  config.set("url", "null:").set("near_max_bytes", "1048576");
  Cache null(config);
  CHECK(null.put("k", "v") == PGCACHE_OK);
  CHECK(null.get("k") == PGCACHE_MISS);
  CHECK(null.peek("k") == PGCACHE_MISS);
  CHECK(null.fence() == PGCACHE_OK);
  CHECK(null.counters().near_misses == 0);
  null.shutdown();
  CHECK(null.fence() == PGCACHE_CLOSED);

  Store store;
  Config borrowing = store.config(near_on({{"listen_url", url()}}));
  pgcache *self = nullptr;
  REQUIRE(pgcache_new_on_connection(&self, borrowing.get(), store.pg.raw(), nullptr) == PGCACHE_OK);
  Cache borrowed(self);
  CHECK(borrowed.put("k", "v") == PGCACHE_OK);
  CHECK(borrowed.get("k").bytes() == "v");
  CHECK(borrowed.peek("k") == PGCACHE_MISS);
  CHECK(borrowed.fence() == PGCACHE_OK);
  CHECK(borrowed.counters().near_misses == 0);
  store.pg.exec("BEGIN"); /* what is not committed is nobody's copy */
  CHECK(borrowed.put("k", "never") == PGCACHE_OK);
  CHECK(borrowed.get("k").bytes() == "never");
  store.pg.exec("ROLLBACK");
  CHECK(borrowed.get("k").bytes() == "v");
}
