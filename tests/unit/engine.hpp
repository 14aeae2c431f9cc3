/*
 * engine.hpp - the engine of requests with a store that answers from a script, on the engine's thread, without waiting.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_UNIT_ENGINE_HPP
#define PGCACHE_TESTS_UNIT_ENGINE_HPP

#include "unit.hpp"

extern "C" {
#include "engine/inside.h"
}

#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>

namespace test {

inline pgc_digest digest_of(unsigned number) {
  pgc_digest digest{};
  memcpy(digest.bytes, &number, sizeof number);
  return digest;
}

/* A request for one key, to be given to Engine::submit(). */
inline pgc_request *request_for(pgc_op_kind kind, unsigned number, const char *namespace_name = "n",
                                int64_t deadline_ms = 60000) {
  void *room = nullptr;
  pgc_request *request = pgc_request_new(sizeof(pgc_part) + sizeof(pgc_op_load), &room);
  request->kind = kind;
  request->deadline = pgc_deadline_in(deadline_ms);
  request->namespace_name = namespace_name;
  request->parts = static_cast<pgc_part *>(room);
  if (pgc_op_has_load(kind))
    request->u.load = reinterpret_cast<pgc_op_load *>(request->parts + 1);
  request->part_count = 1;
  request->parts[0].key.digest = digest_of(number);
  return request;
}

class Engine {
public:
  using Script = std::function<pgcache_status(pgc_op &)>;
  explicit Engine(Script script) : script_(std::move(script)) {
    store_.base.run = [](pgc_store *store, pgc_op *op, pgcache_error *) {
      return reinterpret_cast<Store *>(store)->engine->script_(*op);
    };
    store_.engine = this;
    pgc_engine_limits limits{};
    limits.connections = 1;
    limits.requests_max = 100000;
    limits.bytes_max = 1000;
    REQUIRE(pgc_engine_new(&self, &store_.base, &limits, nullptr) == PGCACHE_OK);
  }
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;
  ~Engine() {
    shutdown();
    pgc_engine_free(self);
  }
  void shutdown() {
    if (!shut_)
      pgc_engine_shutdown(self);
    shut_ = true;
  }
  uint64_t submit(pgc_request *request) const { /* on any thread: no assertion */
    uint64_t id = 0;
    if (pgc_engine_submit(self, request, &id, nullptr) != PGCACHE_OK)
      throw std::runtime_error("pgc_engine_submit");
    return id;
  }
  void rouse(unsigned number) const {
    const pgc_digest digest = digest_of(number);
    pgc_engine_rouse(self, &digest);
  }
  /* NULL: it did not end in time. To be given to pgc_request_free(). */
  pgc_request *await(uint64_t id, int64_t timeout_ms = 30000) const {
    pgc_request *out = nullptr;
    (void)pgc_engine_wait(self, &out, id, pgc_deadline_in(timeout_ms));
    return out;
  }

  pgc_engine *self = nullptr;

private:
  struct Store {
    pgc_store base{};
    Engine *engine = nullptr;
  };
  Store store_;
  Script script_;
  bool shut_ = false;
};

} // namespace test

#endif
