/*
 * near_locks.cpp - that reading the near cache takes no lock: all of them are held while another thread reads.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include <chrono>
#include <future>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* C's flexible array members */
extern "C" {
#include "state/near_inside.h"
}
#pragma GCC diagnostic pop

using test::digest_of;
using test::Near;

namespace {

/* Holds every lock that there is, in their order, as a writer does who was stopped in the middle of a change. */
class AllLocks {
public:
  explicit AllLocks(pgc_near *near) : near_(near) {
    for (uint32_t i = 0; i < near_->shard_count; i++)
      pthread_mutex_lock(&near_->shards[i].lock);
    for (uint32_t i = 0; i < near_->shard_count; i++) {
      pthread_mutex_lock(&near_->maps[i].lock);
      __atomic_add_fetch(&near_->maps[i].changes, 1, __ATOMIC_ACQ_REL);
    }
    pthread_mutex_lock(&near_->recent_lock);
  }
  AllLocks(const AllLocks &) = delete;
  AllLocks &operator=(const AllLocks &) = delete;
  ~AllLocks() {
    pthread_mutex_unlock(&near_->recent_lock);
    for (uint32_t i = 0; i < near_->shard_count; i++) {
      __atomic_add_fetch(&near_->maps[i].changes, 1, __ATOMIC_ACQ_REL);
      pthread_mutex_unlock(&near_->maps[i].lock);
    }
    for (uint32_t i = 0; i < near_->shard_count; i++)
      pthread_mutex_unlock(&near_->shards[i].lock);
  }

private:
  pgc_near *near_;
};

using Read = pgc_near_answer (*)(pgc_near *, const pgc_near_key *, int64_t, pgcache_value **);

/* Of each kind of key, all answers of one function; "" if they were right. */
std::string read_all(const Near &near, Read read, bool peeks) {
  const struct {
    const char *key;
    pgc_near_answer expected;
  } keys[] = {{"value", PGC_NEAR_HIT},
              {"tagged", PGC_NEAR_HIT},
              {"absent", peeks ? PGC_NEAR_NOTHING : PGC_NEAR_ABSENT},
              {"old", PGC_NEAR_NOTHING}, /* its tag was invalidated */
              {"none", PGC_NEAR_NOTHING}};
  for (const auto &one : keys) {
    const pgc_near_key key = near.key(one.key);
    pgcache_value *value = nullptr;
    if (read(near.self, &key, near.now, &value) != one.expected)
      return one.key;
    if (value != nullptr)
      pgc_value_release(value);
  }
  return "";
}

} // namespace

TEST_CASE("finding and peeking take no lock: all of them are held by a writer that does not go on", "[near][threads]") {
  Near near;
  REQUIRE(near.fill("value", 1, "text"));
  REQUIRE(near.fill("tagged", near.begin("tagged"), 1, "text", {digest_of("tag")}));
  REQUIRE(near.fill("old", near.begin("old"), 1, "text", {digest_of("other tag")}));
  REQUIRE(near.fill_absent("absent", near.begin("absent")));
  near.invalidated("other tag");
  const struct {
    const char *name;
    Read read;
    bool peeks;
  } reads[] = {{"find", pgc_near_find, false},
               {"find_plain", pgc_near_find_plain, false},
               {"peek", pgc_near_peek, true},
               {"peek_plain", pgc_near_peek_plain, true}};
  for (const auto &one : reads) {
    CAPTURE(one.name);
    std::future<std::string> reading;
    bool waits;
    {
      const AllLocks locks(near.self);
      reading = std::async(std::launch::async, [&] { return read_all(near, one.read, one.peeks); });
      waits = reading.wait_for(std::chrono::seconds(20)) != std::future_status::ready;
    }
    CHECK_FALSE(waits); /* the locks are free again, so that it ends */
    CHECK(reading.get() == "");
  }
}

TEST_CASE("more hits than references were paid for take no lock either", "[near][threads]") {
  Near near;
  REQUIRE(near.fill("value", 1, "text"));
  const pgc_near_key key = near.key("value");
  std::future<uint32_t> reading;
  bool waits;
  {
    const AllLocks locks(near.self);
    reading = std::async(std::launch::async, [&] {
      uint32_t hits = 0;
      for (uint32_t i = 0; i < PGC_NEAR_PREPAID + PGC_NEAR_REPAY; i++) {
        pgcache_value *value = nullptr;
        if (pgc_near_find(near.self, &key, near.now, &value) != PGC_NEAR_HIT)
          break;
        pgc_value_release(value);
        hits++;
      }
      return hits;
    });
    waits = reading.wait_for(std::chrono::seconds(60)) != std::future_status::ready;
  }
  CHECK_FALSE(waits);
  CHECK(reading.get() == PGC_NEAR_PREPAID + PGC_NEAR_REPAY);
}
