/*
 * requests.hpp - loads as requests, for tests. Thin: each is one call of the C function of its name.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LOADS_REQUESTS_HPP
#define PGCACHE_TESTS_LOADS_REQUESTS_HPP

#include "loads.hpp"
#include "support/requests.hpp"

namespace test {

inline Submitted submit_begin(pgcache *self, std::string_view key, const How &how = {}, const Options &options = {}) {
  Submitted s;
  s.status = pgcache_submit_load_begin(self, &s.id, key.data(), key.size(), &how, &options, &s.error);
  return s;
}

inline Submitted submit_begin(const Cache &cache, std::string_view key, const How &how = {},
                              const Options &options = {}) {
  return submit_begin(cache.raw(), key, how, options);
}

inline Submitted submit_fill(const Load &load, std::string_view value, const Options &options = {}) {
  Submitted s;
  s.status = pgcache_submit_load_fill(load.raw(), &s.id, value.data(), value.size(), 0, &options, &s.error);
  return s;
}

using End = decltype(pgcache_submit_load_fail);
inline Submitted submit_end(End *call, const Load &load, const Options &options = {}) {
  Submitted s;
  s.status = call(load.raw(), &s.id, &options, &s.error);
  return s;
}

inline Submitted submit_extend(const Load &load, int64_t lease_ms, const Options &options = {}) {
  Submitted s;
  s.status = pgcache_submit_load_extend(load.raw(), &s.id, lease_ms, &options, &s.error);
  return s;
}

inline Submitted submit_invalidate(const Cache &cache, Names names, const Options &options = {}) {
  Submitted s;
  s.status = pgcache_submit_invalidate(cache.raw(), &s.id, names.data(), names.size(), &options, &s.error);
  return s;
}

/* The load of a completion, which is then its taker's. */
inline Load take_load(const Completion &completion) {
  return Load(pgcache_completion_load(const_cast<pgcache_completion *>(completion.get())));
}

} // namespace test

#endif
