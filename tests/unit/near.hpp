/*
 * near.hpp - a near cache, and words to speak to it, for its tests.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_UNIT_NEAR_HPP
#define PGCACHE_TESTS_UNIT_NEAR_HPP

#include "unit.hpp"

#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* C's flexible array members */
extern "C" {
#include "state/near.h"
}
#pragma GCC diagnostic pop

namespace test {

inline pgc_digest digest_of(const std::string &key) {
  pgc_digest digest;
  pgc_digest_of_key(&digest, "near", key.data(), key.size());
  return digest;
}

/* What a hit gave. */
struct Found {
  pgc_near_answer answer = PGC_NEAR_NOTHING;
  int64_t version = 0;
  std::string text;
};

class Near {
public:
  static constexpr int64_t bound_us = 2000000;
  static constexpr int64_t absent_us = 60000000;

  explicit Near(int64_t bytes = 8 << 20, int64_t entries = 0, int64_t absent = absent_us)
      : self(pgc_near_new(bytes, entries, bound_us, absent)) {
    if (self != nullptr)
      pgc_near_prove(self, now, 0);
  }
  Near(const Near &) = delete;
  Near &operator=(const Near &) = delete;
  ~Near() {
    pgc_near_free(self);
  }

  pgc_near_key key(const std::string &name) const {
    return pgc_near_key_of(self, "near", name.data(), name.size());
  }
  static pgcache_value *value(int64_t version, const std::string &text, int64_t expires_at_us = INT64_MAX) {
    pgcache_value *made = pgc_value_new(text.size());
    if (made == nullptr)
      return nullptr;
    memcpy(made->own, text.data(), text.size());
    made->version = version;
    made->expires_at_us = expires_at_us;
    return made;
  }

  pgc_near_ticket begin(const std::string &name) const {
    pgc_digest digest = digest_of(name);
    return pgc_near_begin(self, &digest);
  }
  bool fill(const std::string &name, pgc_near_ticket ticket, int64_t version, const std::string &text,
            const std::vector<pgc_digest> &tags = {}, int64_t expires_at_us = INT64_MAX) const {
    pgc_digest digest = digest_of(name);
    pgc_near_key k = key(name);
    pgcache_value *made = value(version, text, expires_at_us);
    if (made == nullptr)
      return false;
    bool done = pgc_near_fill(self, &k, &digest, tags.data(), tags.size(), ticket, made, now);
    pgc_value_release(made);
    return done;
  }
  bool fill(const std::string &name, int64_t version, const std::string &text = "text") const {
    return fill(name, begin(name), version, text);
  }
  bool fill_absent(const std::string &name, pgc_near_ticket ticket) const {
    pgc_digest digest = digest_of(name);
    pgc_near_key k = key(name);
    return pgc_near_fill(self, &k, &digest, nullptr, 0, ticket, nullptr, now);
  }
  /* text nullptr: without a value */
  void written(const std::string &name, pgc_near_ticket ticket, int64_t version, const char *text) const {
    pgc_digest digest = digest_of(name);
    pgc_near_key k = key(name);
    pgcache_value *made = text == nullptr ? nullptr : value(version, text);
    pgc_near_written(self, &k, &digest, nullptr, 0, ticket, made, version);
    if (made != nullptr)
      pgc_value_release(made);
  }
  void changed(const std::string &name, int64_t version) const {
    pgc_digest digest = digest_of(name);
    pgc_near_changed(self, &digest, version);
  }
  void invalidated(const std::string &name) const {
    pgc_digest digest = digest_of(name);
    pgc_near_invalidated(self, &digest);
  }
  bool holds(const std::string &name, int64_t version) const {
    pgc_digest digest = digest_of(name);
    return pgc_near_holds(self, &digest, version);
  }
  Found find(const std::string &name, int64_t later_us = 0) const {
    Found found;
    pgcache_value *got = nullptr;
    pgc_near_key k = key(name);
    found.answer = pgc_near_find(self, &k, now + later_us, &got);
    if (found.answer == PGC_NEAR_HIT) {
      found.version = got->version;
      found.text.assign(static_cast<const char *>(pgcache_value_data(got)), got->size);
      pgc_value_release(got);
    }
    return found;
  }
  bool hit(const std::string &name) const {
    return find(name).answer == PGC_NEAR_HIT;
  }
  pgc_near_counts counts() const {
    pgc_near_counts out;
    pgc_near_count(self, &out);
    return out;
  }

  int64_t now = 1000000000;
  pgc_near *self;
};

} // namespace test

#endif
