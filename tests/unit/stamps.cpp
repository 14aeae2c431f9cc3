/*
 * stamps.cpp - the set of entries that were read: what is noted, when it is handed over, and that nobody waits for it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <algorithm>
#include <set>
#include <vector>

extern "C" {
#include "state/stamps.h"
}

namespace {

/* What the set gives back is at most so old. */
const int64_t stamp_us = 1000000;

pgc_digest digest(unsigned char first, unsigned char last = 1) {
  pgc_digest out = {};
  out.bytes[0] = first;
  out.bytes[15] = last;
  return out;
}

struct Stamps {
  pgc_stamps self;
  explicit Stamps(int64_t us = stamp_us) {
    pgc_stamps_init(&self, us);
    pgc_stamps_want(&self, true);
  }
  Stamps(const Stamps &) = delete;
  Stamps &operator=(const Stamps &) = delete;
  ~Stamps() {
    pgc_stamps_destroy(&self);
  }
  void note(const pgc_digest &one, int64_t age_us = stamp_us) {
    pgc_stamps_note(&self, &one, age_us);
  }
  size_t take(bool attending = false) {
    size_t count;
    taken.resize(PGC_STAMPS_MAX);
    may = pgc_stamps_take(&self, taken.data(), &count, attending);
    taken.resize(count);
    return count;
  }
  bool due() const {
    return pgc_stamps_due(&self);
  }
  std::vector<pgc_digest> taken;
  bool may = false;
};

} // namespace

TEST_CASE("only what is old is noted, only while it is wanted, and once", "[stamps]") {
  Stamps stamps;
  stamps.note(digest(1), stamp_us - 1);
  CHECK(stamps.take() == 0);
  stamps.note(digest(1));
  stamps.note(digest(1));
  CHECK(stamps.take() == 1);
  CHECK(pgc_digest_compare(&stamps.taken[0], std::vector<pgc_digest>{digest(1)}.data()) == 0);
  CHECK(stamps.take() == 0);
  pgc_stamps_want(&stamps.self, false);
  stamps.note(digest(2));
  CHECK(stamps.take() == 0);
}

TEST_CASE("digests that fall on one place are all kept", "[stamps]") {
  Stamps stamps;
  const int many = 20;
  for (unsigned char i = many; i > 0; i--) {
    stamps.note(digest(7, i));
    stamps.note(digest(7, i));
  }
  REQUIRE(stamps.take() == many);
  std::set<int> last_bytes;
  for (const pgc_digest &one : stamps.taken)
    last_bytes.insert(one.bytes[15]);
  CHECK(last_bytes.size() == many);
}

TEST_CASE("a full set takes no more, and is due at once", "[stamps]") {
  Stamps stamps;
  for (int i = 0; i < PGC_STAMPS_MAX - 1; i++)
    stamps.note(digest(static_cast<unsigned char>(i), static_cast<unsigned char>(1 + i / 256)));
  CHECK_FALSE(stamps.due());
  stamps.note(digest(1, 200));
  CHECK(stamps.due());
  stamps.note(digest(1, 201));
  CHECK(stamps.take() == PGC_STAMPS_MAX);
  CHECK_FALSE(stamps.due());
}

TEST_CASE("a few entries are due after a quarter of the time", "[stamps]") {
  Stamps stamps;
  stamps.note(digest(1));
  CHECK_FALSE(stamps.due());
  stamps.self.first_us -= stamp_us / 4;
  stamps.note(digest(2));
  CHECK(stamps.due());
}

TEST_CASE("a janitor that was here lately does it, and no caller", "[stamps]") {
  Stamps stamps;
  CHECK(stamps.take(true) == 0);
  for (unsigned char i = 1; i != 0; i++)
    stamps.note(digest(i));
  stamps.note(digest(0));
  REQUIRE(stamps.self.count == PGC_STAMPS_MAX);
  CHECK_FALSE(stamps.due());
  stamps.self.attended_until_us = 0; /* it has not come again */
  stamps.note(digest(1));
  CHECK(stamps.due());
}

TEST_CASE("noting that took long is not done again soon", "[stamps]") {
  Stamps stamps;
  for (unsigned char i = 1; i != 0; i++)
    stamps.note(digest(i));
  stamps.note(digest(0));
  pgc_stamps_spent(&stamps.self, 1000000, 10); /* nine seconds to come */
  CHECK(stamps.take() == 0);
  stamps.note(digest(0));
  CHECK_FALSE(stamps.due());
  stamps.self.not_before_us = 0;
  stamps.note(digest(0));
  CHECK(stamps.due());
  CHECK(stamps.take() == PGC_STAMPS_MAX);
}

TEST_CASE("a read does not wait for the set: what comes while somebody else has it is not noted", "[stamps]") {
  Stamps stamps;
  pthread_mutex_lock(&stamps.self.lock);
  stamps.note(digest(1)); /* returns at all */
  pthread_mutex_unlock(&stamps.self.lock);
  CHECK(stamps.take() == 0);
  stamps.note(digest(1));
  CHECK(stamps.take() == 1);
}
