/*
 * order.cpp - the order of arguments, read from the declarations themselves: handle, outputs, inputs, options, error.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include "pgcache_hooks.h"

#include <array>
#include <type_traits>

namespace {

enum class Part { Handle, Output, Input, Options, Error };

template <class T> constexpr Part part_of() {
  if (std::is_same_v<T, pgcache *> || std::is_same_v<T, pgcache_load *>)
    return Part::Handle;
  if (std::is_same_v<T, const pgcache_options *>)
    return Part::Options;
  if (std::is_same_v<T, pgcache_error *>)
    return Part::Error;
  if (std::is_pointer_v<T> && !std::is_const_v<std::remove_pointer_t<T>>)
    return Part::Output;
  return Part::Input;
}

template <class T> constexpr bool is_buffer() {
  return std::is_same_v<T, const void *> || std::is_same_v<T, void *>;
}

/* True if the arguments are in order, the handle is first, options and error are last, and each buffer has its length
   right behind it. */
template <class... T> constexpr bool in_order(pgcache_status (*)(T...)) {
  constexpr size_t count = sizeof...(T);
  constexpr std::array<Part, count> parts = {part_of<T>()...};
  constexpr std::array<bool, count> buffers = {is_buffer<T>()...};
  constexpr std::array<bool, count> pointers = {std::is_pointer_v<T>...};
  constexpr std::array<bool, count> sizes = {std::is_same_v<T, size_t>...};
  static_assert(count >= 3);
  if (parts[0] != Part::Handle || parts[count - 2] != Part::Options || parts[count - 1] != Part::Error)
    return false;
  Part last = Part::Handle;
  for (size_t i = 1; i < count; i++) {
    if (buffers[i - 1] && !sizes[i])
      return false;
    if (sizes[i] && pointers[i - 1])
      continue; /* the length of what stands before it */
    if (parts[i] < last)
      return false;
    last = parts[i];
  }
  return true;
}

using Options = const pgcache_options *;
using Error = pgcache_error *;

} // namespace

TEST_CASE("arguments: handle, outputs, inputs with their lengths, options, error", "[rule:order]") {
  CHECK(in_order(pgcache_get));
  CHECK(in_order(pgcache_get_into));
  CHECK(in_order(pgcache_put));
  CHECK(in_order(pgcache_add));
  CHECK(in_order(pgcache_replace));
  CHECK(in_order(pgcache_compare_and_swap));
  CHECK(in_order(pgcache_remove));
  CHECK(in_order(pgcache_touch));
  CHECK(in_order(pgcache_exists));
  CHECK(in_order(pgcache_peek));
  CHECK(in_order(pgcache_fence));
  CHECK(in_order(pgcache_increment));
  CHECK(in_order(pgcache_get_many));
  CHECK(in_order(pgcache_put_many));
  CHECK(in_order(pgcache_load_begin));
  CHECK(in_order(pgcache_load_fill));
  CHECK(in_order(pgcache_load_fill_absent));
  CHECK(in_order(pgcache_load_fail));
  CHECK(in_order(pgcache_load_abandon));
  CHECK(in_order(pgcache_load_extend));
  CHECK(in_order(pgcache_invalidate));
  CHECK(in_order(pgcache_invalidate_on));
  CHECK(in_order(pgcache_get_or_load));
  CHECK(in_order(pgcache_submit_load_begin));
  CHECK(in_order(pgcache_submit_load_fill));
  CHECK(in_order(pgcache_submit_load_fill_absent));
  CHECK(in_order(pgcache_submit_load_fail));
  CHECK(in_order(pgcache_submit_load_abandon));
  CHECK(in_order(pgcache_submit_load_extend));
  CHECK(in_order(pgcache_submit_invalidate));
  CHECK(in_order(pgcache_remove_many));
  CHECK(in_order(pgcache_flush));
  CHECK(in_order(pgcache_cleanup));
  CHECK(in_order(pgcache_cleanup_some));
  CHECK(in_order(pgcache_set_limits));
  CHECK(in_order(pgcache_read_usage));
  CHECK(in_order(pgcache_read_published));
  CHECK(in_order(pgcache_dependents));
  CHECK(in_order(pgcache_stats));
  CHECK(in_order(pgcache_doctor));
  CHECK(in_order(pgcache_keys));
  CHECK(in_order(pgcache_init));
  CHECK(in_order(pgcache_upgrade));
  CHECK(in_order(pgcache_submit_get));
  CHECK(in_order(pgcache_submit_exists));
  CHECK(in_order(pgcache_submit_put));
  CHECK(in_order(pgcache_submit_add));
  CHECK(in_order(pgcache_submit_replace));
  CHECK(in_order(pgcache_submit_compare_and_swap));
  CHECK(in_order(pgcache_submit_remove));
  CHECK(in_order(pgcache_submit_touch));
  CHECK(in_order(pgcache_submit_increment));
  CHECK(in_order(pgcache_submit_get_many));
  CHECK(in_order(pgcache_submit_put_many));
  CHECK(in_order(pgcache_submit_remove_many));
  CHECK(in_order(pgcache_submit_init));
  CHECK(in_order(pgcache_submit_upgrade));
  CHECK(in_order(pgcache_submit_flush));
  CHECK(in_order(pgcache_submit_cleanup));
  CHECK(in_order(pgcache_submit_cleanup_some));
  CHECK(in_order(pgcache_submit_set_limits));
  CHECK(in_order(pgcache_submit_read_usage));
  CHECK(in_order(pgcache_submit_stats));
  CHECK(in_order(pgcache_submit_doctor));
  CHECK(in_order(pgcache_submit_keys));

  /* What the check itself must refuse. */
  CHECK_FALSE(in_order(+[](pgcache *, Options, const void *, size_t, Error) { return PGCACHE_OK; }));
  CHECK_FALSE(in_order(+[](pgcache *, const void *, Options, Error) { return PGCACHE_OK; }));
  CHECK_FALSE(in_order(+[](pgcache *, const void *, size_t, int64_t *, Options, Error) { return PGCACHE_OK; }));
  CHECK_FALSE(in_order(+[](pgcache *, int64_t, pgcache_value **, Options, Error) { return PGCACHE_OK; }));
  CHECK_FALSE(in_order(+[](pgcache *, const void *, size_t, Options) { return PGCACHE_OK; }));
  CHECK_FALSE(in_order(+[](const void *, size_t, pgcache *, Options, Error) { return PGCACHE_OK; }));
}
