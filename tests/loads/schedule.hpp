/*
 * schedule.hpp - every order of the steps of several actors, each of whom does his own in their order.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_LOADS_SCHEDULE_HPP
#define PGCACHE_TESTS_LOADS_SCHEDULE_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace loads {

/* Whose turn it is, step by step. */
using Order = std::vector<int>;

class Schedules {
public:
  /* The number of steps of each actor. `alike`: the first two are, so that orders in which the second begins are left out. */
  explicit Schedules(const std::vector<size_t> &steps, bool alike = false) : alike_(alike) {
    for (size_t actor = 0; actor < steps.size(); actor++)
      first_.insert(first_.end(), steps[actor], static_cast<int>(actor));
  }
  int64_t count() const {
    int64_t all = 1;
    size_t left = first_.size(), same = 0;
    for (size_t i = 0; i < first_.size(); i++, left--) {
      same = i > 0 && first_[i] == first_[i - 1] ? same + 1 : 1;
      all = all * static_cast<int64_t>(i + 1) / static_cast<int64_t>(same);
    }
    return alike_ ? all / 2 : all;
  }
  /* Calls `visit` with every order, or with so many random ones, until it gives false. */
  template <typename Visit> void each(int64_t most, std::mt19937_64 &random, const Visit &visit) const {
    Order order = first_;
    if (count() <= most) {
      do {
        if ((!alike_ || begins_right(order)) && !visit(order))
          return;
      } while (std::next_permutation(order.begin(), order.end()));
      return;
    }
    for (int64_t i = 0; i < most; i++) {
      do
        std::shuffle(order.begin(), order.end(), random);
      while (alike_ && !begins_right(order));
      if (!visit(order))
        return;
    }
  }

private:
  static bool begins_right(const Order &order) {
    for (const int actor : order) {
      if (actor < 2)
        return actor == 0;
    }
    return true;
  }
  Order first_;
  bool alike_;
};

} // namespace loads

#endif
