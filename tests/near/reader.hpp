/*
 * reader.hpp - one process's near cache beside its listener, as the operations use it: filled from the store with a ticket,
 * looked into without asking anybody. Knows when a value came from where, which the public interface does not tell.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_READER_HPP
#define PGCACHE_TESTS_READER_HPP

#include "support/catch.hpp"
#include "support/server.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* flexible array members */
extern "C" {
#include "operations/call.h"
#include "platform/clock.h"
#include "state/near.h"
}
#pragma GCC diagnostic pop

namespace test {

/* A handle with a near cache, whose bound a busy machine keeps: tests that wait for it to be over say a shorter one. */
class Reader {
public:
  explicit Reader(const Store &store, const Settings &settings = {}, const std::string &server = {})
      : cache(store.open(with(server, settings))) {}
  explicit Reader(Cache made) : cache(std::move(made)) {}

  pgc_near *near() const {
    pgc_store *store = cache.raw()->store;
    return store->near(store, true);
  }
  Answer fence(int64_t milliseconds = 20000) const {
    pgc_store *store = cache.raw()->store;
    Answer a;
    a.status = store->fence(store, pgc_deadline_in(milliseconds), &a.error);
    return a;
  }

  /* Reads the store and lets the value in, if nothing was heard of it meanwhile. */
  bool fill(const std::string &key) {
    pgc_near *self = near();
    const pgc_near_key name = name_of(key);
    pgc_digest digest;
    pgc_digest_of_key(&digest, "default", key.data(), key.size());
    const pgc_near_ticket ticket = pgc_near_begin(self, &digest);
    const int64_t now = pgc_now_us();
    const Answer got = cache.get(key);
    return got == PGCACHE_OK &&
           pgc_near_fill(self, &name, &digest, nullptr, 0, ticket, const_cast<pgcache_value *>(got.value.get()), now);
  }
  /* What a hit gives; "-": none. */
  std::string held(const std::string &key) const {
    const pgc_near_key name = name_of(key);
    pgcache_value *found = nullptr;
    if (pgc_near_find(near(), &name, pgc_now_us(), &found) != PGC_NEAR_HIT)
      return "-";
    return Value(found).bytes();
  }
  /* Fills until the value is held: somebody may be writing. */
  bool keep(const std::string &key) {
    return kept(key) != "-";
  }
  /* And what is held then: with a short bound it need not be for long. */
  std::string kept(const std::string &key) {
    std::string found = "-";
    eventually([&] { return fence() == PGCACHE_OK && fill(key) && (found = held(key)) != "-"; });
    return found;
  }
  bool is_valid() const {
    return pgc_now_us() < pgc_near_valid_until(near());
  }
  pgc_near_counts counts() const {
    pgc_near_counts out;
    pgc_near_count(near(), &out);
    return out;
  }
  int64_t flushes(pgc_near_flush_reason reason) const {
    return counts().flushes[reason];
  }
  const pgc_counters &counters() const {
    return cache.raw()->store->counters;
  }

  Cache cache;

private:
  static Settings with(const std::string &server, const Settings &more) {
    Settings all = {{"near_max_bytes", "8388608"}, {"near_staleness_ms", "20000"}};
    if (!server.empty())
      all.emplace_back("url", server);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  pgc_near_key name_of(const std::string &key) const {
    return pgc_near_key_of(near(), "default", key.data(), key.size());
  }
};

} // namespace test

#endif
