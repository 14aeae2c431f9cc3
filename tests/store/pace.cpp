/*
 * pace.cpp - what share of a processor core walks take: after each slice they leave the server to others for as long as the
 * slice took, times what they may not take through what they may. A proxy says how long slices took. Of the pauses only the
 * shortest is looked at, so that a slow machine fails nothing.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/answers.hpp"
#include "support/catch.hpp"
#include "support/private_server.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

using namespace test;
using std::string;

namespace {

/* Of a slice for all, and of a part that a role which is kept to namespaces looks at. */
constexpr size_t SLICE_COLUMNS = 9, FINISHED = 1, SPENT_US = 7;
constexpr size_t PART_COLUMNS = 3, BLOCKS = 1;

/* now_ms() with fractions. */
double clock_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

/* Walks that never end, each slice of which is said to have taken `spent_us`; and when their answers passed. What a part took the
   library sees itself. */
class Slices {
public:
  Slices(Proxy &proxy, size_t spent_us)
      : answers_(proxy, Answers::rows([this, spent_us](Columns &row) {
                   if (row.size() == SLICE_COLUMNS) {
                     row[FINISHED] = wire::number(0, 1);
                     row[SPENT_US] = wire::number(spent_us, 8);
                   } else if (row.size() == PART_COLUMNS) {
                     row[BLOCKS] = wire::number(1000000000, 8);
                   } else {
                     return true;
                   }
                   const std::lock_guard<std::mutex> guard(lock_);
                   at_.push_back(clock_ms());
                   return true;
                 })) {}
  /* Between one answer and the next, in milliseconds, of those that passed in this time. */
  std::vector<double> gaps(double from, double to) const {
    const std::lock_guard<std::mutex> guard(lock_);
    std::vector<double> out;
    for (size_t i = 1; i < at_.size(); i++) {
      if (at_[i - 1] >= from && at_[i] < to)
        out.push_back(at_[i] - at_[i - 1]);
    }
    return out;
  }

private:
  mutable std::mutex lock_;
  std::vector<double> at_;
  Answers answers_; /* the last: its thread uses the others */
};

struct Case {
  const char *share;
  size_t spent_us;
  double pause_ms;
};

double shortest(const std::vector<double> &gaps) {
  REQUIRE_FALSE(gaps.empty());
  return *std::min_element(gaps.begin(), gaps.end());
}

} // namespace

TEST_CASE("cleanup takes 15 % of a core, and hurries in the second half of its time", "[cleanup][pace]") {
  Store store;
  Proxy proxy;
  for (const Case &one : {Case{"1", 3000, 17}, Case{"10", 6000, 34}, Case{"50", 6000, 6}, Case{"1", 900000, 100}}) {
    INFO(one.spent_us << " us with cleanup_share=" << one.share);
    Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}, {"cleanup_share", one.share}});
    REQUIRE(cache.get("k") == PGCACHE_MISS);
    Slices slices(proxy, one.spent_us);
    const double half = clock_ms() + 1000;
    const Answer late = cache.cleanup(deadline(2000));
    CHECK((late == PGCACHE_TIMEOUT || late == PGCACHE_UNKNOWN)); /* by what was under way */
    CHECK(shortest(slices.gaps(0, half)) >= one.pause_ms);
    CHECK(shortest(slices.gaps(half + 200, HUGE_VAL)) < one.pause_ms); /* the call's own time began a little later */
  }
}

TEST_CASE("A janitor takes the share of a core that it is given", "[janitor][pace]") {
  Store store;
  for (const Case &one : {Case{"10", 4000, 36}, Case{"50", 30000, 30}, Case{"1", 90000, 1000}}) {
    INFO(one.spent_us << " us with cleanup_share=" << one.share);
    Proxy proxy;
    Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}, {"cleanup_share", one.share}});
    REQUIRE(cache.get("k") == PGCACHE_MISS);
    Slices slices(proxy, one.spent_us);
    Janitor janitor(cache, 60000);
    CHECK(eventually([&] { return slices.gaps(0, HUGE_VAL).size() >= 3; }, 30000));
    CHECK(janitor.stop(30000) == PGCACHE_OK);
    CHECK(shortest(slices.gaps(0, HUGE_VAL)) >= one.pause_ms);
  }
  INFO("all of it: no pause");
  Proxy proxy;
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}, {"cleanup_share", "100"}});
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  Slices slices(proxy, 200000);
  Janitor janitor(cache, 60000);
  CHECK(eventually([&] { return slices.gaps(0, HUGE_VAL).size() >= 20; }, 30000));
  CHECK(janitor.stop(30000) == PGCACHE_OK);
  CHECK(shortest(slices.gaps(0, HUGE_VAL)) < 100);
}

TEST_CASE("A role that is kept to namespaces walks at the same pace, and can be stopped in between",
          "[janitor][roles][pace]") {
  PrivateServer server;
  Pg admin(server.conninfo());
  const auto config = [&](const string &user, const string &url, const Settings &more) {
    Config out;
    out.set("url", url + " user=" + user).set("schema", "c");
    for (const auto &[name, value] : more)
      out.set(name, value);
    return out;
  };
  admin.exec("CREATE ROLE kept LOGIN");
  const Settings only_mine = {{"app_role", "kept"}, {"grants", "functions"}, {"app_namespaces", "mine"}};
  REQUIRE(Cache(config("postgres", server.conninfo(), only_mine)).init() == PGCACHE_OK);
  Proxy proxy(server.conninfo());
  Cache cache(config("kept", proxy.conninfo(), {{"pool_max", "1"}, {"namespace", "mine"}, {"cleanup_chance", "1"}}));
  REQUIRE(cache.get("k") == PGCACHE_MISS);
  Slices slices(proxy, 0);
  proxy.delay(10); /* both ways: what a part takes is at least so much */
  {
    Janitor janitor(cache, 60000);
    CHECK(eventually([&] { return slices.gaps(0, HUGE_VAL).size() >= 4; }, 30000));
    const double before = clock_ms();
    CHECK(janitor.stop(30000) == PGCACHE_OK);
    CHECK(clock_ms() - before < 10000);
  }
  CHECK(shortest(slices.gaps(0, HUGE_VAL)) >= 10 + 9 * 10);
  CHECK(cache.counters().cleanup_failures == 0);
  proxy.delay(0);
  /* Each write does the next part of a walk. */
  const double began = clock_ms();
  for (int i = 0; i < 10; i++)
    REQUIRE(cache.put("k", "v") == PGCACHE_OK);
  CHECK(slices.gaps(began, HUGE_VAL).size() >= 5);
  /* On demand there is no end before the deadline. */
  const Answer late = cache.cleanup(deadline(500));
  CHECK((late == PGCACHE_TIMEOUT || late == PGCACHE_UNKNOWN));
}
