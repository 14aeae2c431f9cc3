/*
 * library.hpp - what of the near cache is public.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HARNESS_LIBRARY_HPP
#define PGCACHE_HARNESS_LIBRARY_HPP

#include "pgcache.h"

namespace harness {

template <class C> auto fence_with(C *cache, int) -> decltype(pgcache_fence(cache, nullptr, nullptr)) {
  return pgcache_fence(cache, nullptr, nullptr);
}
template <class C> pgcache_status fence_with(C *, long) {
  return PGCACHE_UNSUPPORTED;
}
inline pgcache_status fence_now(pgcache *cache) {
  return fence_with(cache, 0);
}

} // namespace harness

#endif
