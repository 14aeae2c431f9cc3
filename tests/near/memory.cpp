/*
 * memory.cpp - memory that runs out while requests go through the near cache: each still ends, once and truly, and no copy is
 * left that is not what the server holds.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include "support/alloc_fail.hpp"
#include "support/requests.hpp"

using namespace test;
using std::string;

namespace {

using Submit = std::function<Submitted(const Requests &)>;

/* Both ways of a read: what is held, and what has to be asked for. */
const std::vector<std::pair<string, Submit>> &reads() {
  static const auto many = [](std::vector<string> keys) {
    return [keys](const Requests &requests) {
      Items items;
      for (const string &key : keys)
        items.add(key);
      return requests.many(pgcache_submit_get_many, items);
    };
  };
  static const std::vector<std::pair<string, Submit>> all = {
      {"get of a copy", [](const Requests &r) { return r.get("held"); }},
      {"get of what is not held", [](const Requests &r) { return r.get("stored"); }},
      {"exists of a copy", [](const Requests &r) { return r.exists("held"); }},
      {"get_many of copies", many({"held", "held"})},
      {"get_many of some of each", many({"held", "stored", "none", "held"})},
  };
  return all;
}

bool is_right(const Completion &completion, const string &name) {
  if (completion != PGCACHE_OK)
    return completion == PGCACHE_NO_MEMORY;
  if (name == "get of a copy" || name == "get_many of copies")
    return completion.bytes() == "near";
  if (name == "get of what is not held")
    return completion.bytes() == "far";
  if (name == "get_many of some of each")
    return completion.bytes(0) == "near" && completion.bytes(1) == "far" &&
           completion.item(2)->status == PGCACHE_MISS && completion.bytes(3) == "near";
  return true;
}

} // namespace

TEST_CASE("Each allocation of a submitted read fails once, with a copy and without", "[memory][allocations][async]") {
  Deaf deaf;
  const Requests requests(deaf.cache);
  REQUIRE(deaf.other.put("held", "near") == PGCACHE_OK);
  REQUIRE(deaf.other.put("stored", "far") == PGCACHE_OK);
  REQUIRE(comes_near(deaf.cache, "held", "near"));
  REQUIRE(requests.wait(requests.get("none").id) == PGCACHE_MISS); /* the engine is there, and its connection */
  deaf.deafen();                                                   /* nothing else allocates, nor takes copies away */
  for (const auto &[name, submit] : reads()) {
    long failed = 0, points = 0;
    for (long n = 1; n < 200; n++) {
      INFO(name << ", allocation " << n);
      Submitted submitted;
      Completion completion;
      {
        Allocations allocations(n, Failing::Once);
        submitted = submit(requests);
        if (submitted == PGCACHE_OK)
          completion = requests.wait(submitted.id, 30000);
        points += Allocations::failed();
        if (Allocations::failed() == 0)
          n = 200;
      }
      CHECK((submitted == PGCACHE_OK || submitted == PGCACHE_NO_MEMORY));
      if (submitted == PGCACHE_OK) {
        CHECK(completion);
        CHECK(is_right(completion, name));
      }
      failed += submitted != PGCACHE_OK || completion.status() < 0;
      CHECK_FALSE(requests.take());
      CHECK(copy_of(deaf.cache, "held") == "near");
      completion = Completion();
      if (name != "get of a copy" && copy_of(deaf.cache, "stored") == "far") {
        /* Once more as what is not held. */
        REQUIRE(deaf.cache.touch("stored", 600000) == PGCACHE_OK);
      }
    }
    INFO(name << ": " << points << " points, " << failed << " failures");
    CHECK(points > 0);
    CHECK(failed > 0);
  }
  deaf.hear();
}

TEST_CASE("Each allocation of a submitted write fails once: no copy is left that the server does not hold",
          "[memory][allocations][async][rule:own]") {
  Deaf deaf;
  const Requests requests(deaf.cache);
  REQUIRE(requests.wait(requests.get("none").id) == PGCACHE_MISS);
  deaf.deafen();
  const std::vector<std::pair<string, std::function<Submitted(int64_t)>>> writes = {
      {"put", [&](int64_t) { return requests.put("k", "new"); }},
      {"replace", [&](int64_t) { return requests.replace("k", "new"); }},
      {"compare_and_swap", [&](int64_t version) { return requests.compare_and_swap("k", "new", version); }},
  };
  for (const auto &[name, submit] : writes) {
    long refused = 0, points = 0;
    for (long n = 1; n < 200; n++) {
      INFO(name << ", allocation " << n);
      const Answer old = deaf.cache.put("k", "old");
      REQUIRE(old == PGCACHE_OK);
      REQUIRE(copy_of(deaf.cache, "k") == "old");
      pgcache_status status;
      {
        Allocations allocations(n, Failing::Once);
        const Submitted submitted = submit(old.version);
        status = submitted.status;
        if (submitted == PGCACHE_OK)
          status = requests.wait(submitted.id, 30000).status();
        points += Allocations::failed();
        if (Allocations::failed() == 0)
          n = 200;
      }
      refused += status < 0;
      CHECK((status == PGCACHE_OK || status == PGCACHE_NO_MEMORY || status == PGCACHE_UNKNOWN));
      const string stored = deaf.other.get("k").bytes(), copy = copy_of(deaf.cache, "k");
      if (status == PGCACHE_OK)
        CHECK(stored == "new");
      CHECK((copy == stored || copy == "nothing"));
    }
    CHECK(points > 0);
    CHECK(refused > 0);
  }
  deaf.hear();
}
