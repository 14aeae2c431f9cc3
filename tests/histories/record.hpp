/*
 * record.hpp - what was asked and what came back, when: the lines that the checker reads, and the keys they are about.
 *
 * A key is used for some hundred operations and then given up for another one, sooner after a write whose fate is not known:
 * what may still happen makes a history hard to check, and the more of it the harder.
 *
 * Owns the format and the numbers of keys and values. Judges nothing.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_HISTORIES_RECORD_HPP
#define PGCACHE_HISTORIES_RECORD_HPP

#include "pgcache.h"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

namespace histories {

int64_t now_ns();

enum Kind { GET, EXISTS, PUT, ADD, REPLACE, CAS, REMOVE, TOUCH, INCREMENT, KINDS };

/* One operation on one key. The times are when it began and when its answer was there; back 0: there was none. */
struct Operation {
  int slot = 0;
  int generation = 0;
  Kind kind = GET;
  int64_t value = 0;    /* what is stored, or added */
  int64_t expected = 0; /* CAS: the version; INCREMENT: the number to begin with */
  int64_t call = 0, back = 0;
  pgcache_status status = PGCACHE_OK;
  int64_t found = 0; /* GET: the value; INCREMENT: the counter */
  int64_t version = 0;

  std::string key() const {
    return "k" + std::to_string(slot) + "-" + std::to_string(generation);
  }
};

/* The keys in use. Any thread. */
class Keys {
public:
  explicit Keys(int slots) : slots_(static_cast<size_t>(slots)) {}
  int slots() const {
    return static_cast<int>(slots_.size());
  }
  /* Names the key for an operation on a slot. */
  void name(Operation *operation);
  /* A write of this key may still happen. */
  void unsure(const Operation &operation);
  /* A number that was not stored yet, and is far from the others, so that counting from one does not reach the next. */
  int64_t new_value() {
    return ++values_ * 1000;
  }
  /* The version that somebody saw last of the slot. */
  std::atomic<int64_t> &seen(int slot) {
    return slots_[static_cast<size_t>(slot)].seen;
  }

private:
  struct Slot {
    std::atomic<int> uses{0}, generation{0};
    std::atomic<int64_t> seen{1};
  };
  std::vector<Slot> slots_;
  std::atomic<int64_t> values_{0};
};

/* The file. Any thread. */
class Record {
public:
  explicit Record(const std::string &path);
  Record(const Record &) = delete;
  Record &operator=(const Record &) = delete;
  ~Record();
  void add(const std::vector<Operation> &operations);
  /* Everything was removed in between. */
  void wiped(int64_t call, int64_t back);
  void close(); /* throws if not all could be written */

private:
  FILE *file_;
  std::mutex mutex_;
};

} // namespace histories

#endif
