/*
 * events.hpp - observers, and a provider that notes all it is told, as C++ objects. Never decides what a handle should tell.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_EVENTS_HPP
#define PGCACHE_TESTS_EVENTS_HPP

#include "pgcache_hooks.h"
#include "support/server.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace test {

const uint32_t EVERY_EVENT =
    PGCACHE_OBSERVE_OPERATIONS | PGCACHE_OBSERVE_SLOW | PGCACHE_OBSERVE_STATES | PGCACHE_OBSERVE_LOG;

/* A copy of an event that outlives it. */
struct Event {
  pgcache_event_kind kind;
  pgcache_level level;
  std::string operation, outcome, source, space, span, message, sqlstate, key;
  pgcache_status status;
  size_t key_count;
  int64_t bytes, number, began_us, duration_ns;

  explicit Event(const pgcache_event &from)
      : kind(from.kind), level(from.level), operation(from.operation), outcome(from.outcome), source(from.source),
        space(from.namespace_name), span(from.span_name), message(from.message), sqlstate(from.sqlstate),
        key(from.key != nullptr ? std::string(static_cast<const char *>(from.key), from.key_len) : ""),
        status(from.status), key_count(from.key_count), bytes(from.bytes), number(from.number), began_us(from.began_us),
        duration_ns(from.duration_ns) {
    if (from.struct_size != sizeof from)
      throw std::runtime_error("an event without its size");
  }
  /* All its texts. */
  std::string text() const {
    return operation + " " + outcome + " " + source + " " + space + " " + span + " " + message + " " + sqlstate + " " +
           key;
  }
};

class Observer {
public:
  explicit Observer(const Cache &cache, uint32_t what = EVERY_EVENT, pgcache_level level = PGCACHE_LEVEL_DEBUG,
                    size_t room = 10000) {
    Error error;
    if (pgcache_observe(cache.raw(), &self_, what, level, room, &error) != PGCACHE_OK)
      throw std::runtime_error(std::string("pgcache_observe: ") + error.message);
  }
  Observer(const Observer &) = delete;
  Observer &operator=(const Observer &) = delete;
  ~Observer() {
    free();
  }
  void free() {
    pgcache_observer_free(std::exchange(self_, nullptr));
  }
  pgcache_status next(std::vector<Event> &out, int64_t wait_ms = 0) {
    pgcache_event *event = nullptr;
    const pgcache_status status = pgcache_observer_next(self_, &event, wait_ms, nullptr);
    if (event != nullptr)
      out.emplace_back(*event);
    pgcache_event_free(event);
    return status;
  }
  /* All that wait. */
  std::vector<Event> take() {
    std::vector<Event> out;
    while (next(out) == PGCACHE_OK) {
    }
    return out;
  }
  /* Those that come until one is `last`, or for so long. */
  std::vector<Event> until(const std::function<bool(const Event &)> &last, int64_t milliseconds = 20000) {
    std::vector<Event> out;
    const int64_t end = now_ms() + milliseconds;
    while (now_ms() < end) {
      if (next(out, 100) == PGCACHE_OK && last(out.back()))
        break;
    }
    return out;
  }
  int64_t dropped() const {
    return pgcache_observer_dropped(self_);
  }

private:
  pgcache_observer *self_ = nullptr;
};

/* A provider that outlives the handle, and notes what it is told. */
class Provider {
public:
  struct Span {
    Event begin;
    std::vector<Event> ends; /* should be one */
    std::thread::id begun_by, ended_by;
  };
  std::function<void()> inside; /* called in each of its functions; set before it is added */

  Provider() = default;
  Provider(const Provider &) = delete;
  Provider &operator=(const Provider &) = delete;
  void add_to(const Cache &cache, uint32_t what = EVERY_EVENT, bool spans = true) {
    pgcache_provider provider = PGCACHE_PROVIDER_INIT;
    provider.what = what;
    provider.level = PGCACHE_LEVEL_DEBUG;
    provider.context = this;
    provider.begin = [](void *context, const pgcache_event *event) -> void * {
      auto self = static_cast<Provider *>(context);
      size_t number;
      {
        std::lock_guard<std::mutex> guard(self->mutex_);
        self->spans_.push_back({Event(*event), {}, std::this_thread::get_id(), {}});
        number = self->spans_.size();
      }
      self->call();
      return reinterpret_cast<void *>(number);
    };
    provider.end = [](void *context, void *begun, const pgcache_event *event) {
      auto self = static_cast<Provider *>(context);
      {
        std::lock_guard<std::mutex> guard(self->mutex_);
        Span &span = self->spans_.at(reinterpret_cast<size_t>(begun) - 1);
        span.ends.emplace_back(*event);
        span.ended_by = std::this_thread::get_id();
      }
      self->call();
    };
    if (!spans) {
      provider.begin = nullptr;
      provider.end = nullptr;
    }
    provider.told = [](void *context, const pgcache_event *event) {
      auto self = static_cast<Provider *>(context);
      {
        std::lock_guard<std::mutex> guard(self->mutex_);
        self->told_.emplace_back(*event);
      }
      self->call();
    };
    provider.release = [](void *context) { static_cast<Provider *>(context)->released_++; };
    Error error;
    if (pgcache_add_provider(cache.raw(), &provider, &error) != PGCACHE_OK)
      throw std::runtime_error(std::string("pgcache_add_provider: ") + error.message);
  }
  std::vector<Span> spans() const {
    std::lock_guard<std::mutex> guard(mutex_);
    return spans_;
  }
  std::vector<Event> told() const {
    std::lock_guard<std::mutex> guard(mutex_);
    return told_;
  }
  int released() const {
    return released_;
  }
  void forget() {
    std::lock_guard<std::mutex> guard(mutex_);
    spans_.clear();
    told_.clear();
  }

private:
  void call() {
    if (inside)
      inside();
  }
  mutable std::mutex mutex_;
  std::vector<Span> spans_;
  std::vector<Event> told_;
  int released_ = 0;
};

} // namespace test

#endif
