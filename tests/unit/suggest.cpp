/*
 * suggest.cpp - tests of finding the name that was meant.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <algorithm>
#include <random>
#include <vector>

TEST_CASE("the edit distance of words", "[suggest]") {
  CHECK(pgc_edit_distance("", "") == 0);
  CHECK(pgc_edit_distance("", "abc") == 3);
  CHECK(pgc_edit_distance("abc", "") == 3);
  CHECK(pgc_edit_distance("pool_max", "pool_max") == 0);
  CHECK(pgc_edit_distance("pool_mx", "pool_max") == 1);
  CHECK(pgc_edit_distance("pool_maxx", "pool_max") == 1);
  CHECK(pgc_edit_distance("pool_mex", "pool_max") == 1);
  CHECK(pgc_edit_distance("pool_mxa", "pool_max") == 1);
  CHECK(pgc_edit_distance("opol_max", "pool_max") == 1);
  CHECK(pgc_edit_distance("POOL-MAX", "pool_max") == 0);
  CHECK(pgc_edit_distance("AZ", "az") == 0);
  CHECK(pgc_edit_distance("kitten", "sitting") == 3);
  CHECK(pgc_edit_distance("ca", "abc") == 3); /* neighbours are swapped once, and nothing is put between them */
  CHECK(pgc_edit_distance("ba", "ac") == 2);
  CHECK(pgc_edit_distance("url", "@[`{") == 4); /* next to the letters in ASCII, and no letters */
  std::string longest(48, 'x');
  CHECK(pgc_edit_distance(longest.c_str(), longest.c_str()) == 0);
  CHECK(pgc_edit_distance((longest + "x").c_str(), "x") == SIZE_MAX);
  CHECK(pgc_edit_distance("x", (longest + "x").c_str()) == SIZE_MAX);
}

/* The same by trying out: what is said above in a few lines, without rows to mix up. */
static size_t slow_distance(const std::string &a, const std::string &b) {
  if (a.empty() || b.empty())
    return a.size() + b.size();
  std::string a1 = a.substr(1);
  std::string b1 = b.substr(1);
  size_t best = std::min(slow_distance(a1, b) + 1, slow_distance(a, b1) + 1);
  best = std::min(best, slow_distance(a1, b1) + (a[0] == b[0] ? 0 : 1));
  if (a.size() > 1 && b.size() > 1 && a[0] == b[1] && a[1] == b[0])
    best = std::min(best, slow_distance(a.substr(2), b.substr(2)) + 1);
  return best;
}

TEST_CASE("the edit distance agrees with its definition", "[suggest][property]") {
  std::mt19937 random(20260117);
  auto word = [&random] {
    std::string out(random() % 7, 'a');
    for (char &c : out)
      c = static_cast<char>('a' + random() % 3);
    return out;
  };
  for (int i = 0; i < 2000; i++) {
    std::string a = word();
    std::string b = word();
    INFO(a << " " << b);
    REQUIRE(pgc_edit_distance(a.c_str(), b.c_str()) == slow_distance(a, b));
    REQUIRE(pgc_edit_distance(b.c_str(), a.c_str()) == slow_distance(a, b));
  }
}

TEST_CASE("the nearest name is suggested, if it is near", "[suggest]") {
  const char *names[] = {"url", "pool_min", "pool_max"};
  CHECK(pgc_suggest("ulr", names, 3) == names[0]);
  CHECK(pgc_suggest("pool_nin", names, 3) == names[1]);
  CHECK(pgc_suggest("pool-max", names, 3) == names[2]);
  CHECK(pgc_suggest("pool_m", names, 3) == names[1]); /* of two equally near ones the first */
  CHECK(pgc_suggest("verbose", names, 3) == nullptr);
  CHECK(pgc_suggest("", names, 3) == nullptr);
  CHECK(pgc_suggest(std::string(500, 'p').c_str(), names, 3) == nullptr);
  CHECK(pgc_suggest("url", names, 0) == nullptr);
}
