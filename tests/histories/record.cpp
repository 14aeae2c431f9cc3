/*
 * record.cpp - see record.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "histories/record.hpp"

#include <ctime>
#include <stdexcept>
#include <utility>

namespace histories {

namespace {

constexpr int USES = 250;       /* of a key */
constexpr int USES_UNSURE = 20; /* more, after a write whose fate is not known */

const char *const names[KINDS] = {"get", "exists", "put", "add", "replace", "cas", "remove", "touch", "incr"};

/* "PGCACHE_OK" without its prefix. */
const char *word(pgcache_status status) {
  return pgcache_status_name(status) + sizeof "PGCACHE_" - 1;
}

} // namespace

int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

void Keys::name(Operation *operation) {
  Slot &slot = slots_[static_cast<size_t>(operation->slot)];
  operation->generation = slot.generation;
  if (++slot.uses == USES) {
    slot.generation++;
    slot.uses = 0;
  }
}

void Keys::unsure(const Operation &operation) {
  Slot &slot = slots_[static_cast<size_t>(operation.slot)];
  int uses = slot.uses;
  while (slot.generation == operation.generation && uses < USES - USES_UNSURE &&
         !slot.uses.compare_exchange_weak(uses, USES - USES_UNSURE)) {
  }
}

Record::Record(const std::string &path) : file_(fopen(path.c_str(), "w")) {
  if (file_ == nullptr)
    throw std::runtime_error("cannot write " + path);
}

Record::~Record() {
  if (file_ != nullptr)
    fclose(file_);
}

void Record::add(const std::vector<Operation> &operations) {
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const Operation &one : operations)
    fprintf(file_, "%s %s %lld %lld %lld %lld %s %lld %lld\n", one.key().c_str(), names[one.kind],
            static_cast<long long>(one.value), static_cast<long long>(one.expected), static_cast<long long>(one.call),
            static_cast<long long>(one.back), word(one.status), static_cast<long long>(one.found),
            static_cast<long long>(one.version));
}

void Record::wiped(int64_t call, int64_t back) {
  const std::lock_guard<std::mutex> guard(mutex_);
  fprintf(file_, "* wipe 0 0 %lld %lld OK 0 0\n", static_cast<long long>(call), static_cast<long long>(back));
}

void Record::close() {
  if (ferror(file_) != 0 || fclose(std::exchange(file_, nullptr)) != 0)
    throw std::runtime_error("the history could not be written");
}

} // namespace histories
