/*
 * near.hpp - handles with a near cache, for its tests. A copy that answers is told from the store by a deadline of 0: who
 * would have to ask gets PGCACHE_TIMEOUT.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_NEAR_HPP
#define PGCACHE_TESTS_NEAR_HPP

#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

namespace test {

/* Settings of a handle with a near cache, and a bound that a busy machine keeps. Later ones win. */
inline Settings near_on(const Settings &more = {}) {
  Settings all{{"near_max_bytes", "16777216"}, {"near_staleness_ms", "20000"}, {"timeout_ms", "30000"}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/* Its near cache answers from now on. */
inline void listens(Cache &cache) {
  const Answer fenced = cache.fence(deadline(30000));
  INFO(fenced);
  REQUIRE(fenced == PGCACHE_OK);
}

inline Options from_store() {
  Options options;
  options.read_mode = PGCACHE_READ_STORE;
  return options;
}

/* What the near cache answers by itself: the value, "absent", or "nothing". */
inline std::string copy_of(Cache &cache, std::string_view key, Options options = {}) {
  options.deadline_ms = 0;
  const Answer got = cache.get(key, options);
  if (got == PGCACHE_OK)
    return got.bytes();
  return got == PGCACHE_MISS ? "absent" : "nothing";
}

/* Reads until there is a copy: a fill is refused when the stream is just telling of the key. */
inline bool comes_near(Cache &cache, std::string_view key, std::string_view value) {
  return eventually(
      [&] {
        (void)cache.get(key);
        return copy_of(cache, key) == value;
      },
      20000);
}

/* A store, a handle with a near cache whose listener can be held up, and another process' handle. While it is held up, the
   near cache hears of nothing, and what it holds is what its own process did. */
struct Deaf {
  explicit Deaf(const Settings &more = {})
      : store(Settings{{"timeout_ms", "30000"}}), cache(store.open([&] {
          Settings all = near_on({{"near_staleness_ms", "60000"}, {"listen_url", listening.conninfo()}});
          all.insert(all.end(), more.begin(), more.end());
          return all;
        }())),
        other(store.open()) {
    listens(cache);
  }
  void deafen() {
    listening.hold_answers(true);
  }
  void hear() {
    listening.hold_answers(false);
  }
  Proxy listening;
  Store store;
  Cache cache, other;
};

} // namespace test

#endif
