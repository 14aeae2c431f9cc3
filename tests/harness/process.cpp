/*
 * process.cpp - see process.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/process.hpp"

#include "support/server.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace harness {

/* All write the same one of the keys that everybody writes, for so long; then nobody does until its turn comes again, so that
   what went wrong stays wrong. */
static const int64_t TOGETHER_NS = 20000000;

uint64_t next_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(0x2545F4914F6CDD1D);
}

std::string application_name(int process) {
  return "harness-" + std::to_string(process);
}

test::Cache open_cache(const Block &block, int process) {
  const Options &options = block.options;
  const auto named = [&](const char *address) {
    return test::conninfo_with(address, {{"application_name", application_name(process)}});
  };
  test::Config config;
  config.set("url", named(block.address[process]))
      .set("schema", block.schema)
      .set("table", options.logged ? "logged" : "unlogged")
      .set("pool_max", std::to_string(2 + options.threads))
      .set("timeout_ms", "1000")
      .set("near_max_bytes", std::to_string(options.near_bytes))
      .set("near_staleness_ms", std::to_string(options.staleness_ms))
      .set("near_absent_ms", std::to_string(options.absent_ms));
  if (options.fake == GUARD_OFF)
    config.set("guard", "off");
  if (block.listen_address[0] != '\0')
    config.set("listen_url", named(block.listen_address));
  return test::Cache(config);
}

int64_t near_hits(test::Cache &cache) {
  const pgcache_counters counters = cache.counters();
  return counters.near_hits + counters.near_absent_hits;
}

Pace::Pace(const Block &block, int process, int thread)
    : block_(block), process_(process), thread_(thread),
      state_((block.options.seed + 1) * UINT64_C(0x9E3779B97F4A7C15) +
             static_cast<uint64_t>(process * THREADS + thread)),
      next_ns_(now_ns()) {
  const Options &options = block.options;
  const double threads =
      options.writers * (options.sql ? 1.3 : 1.0); /* those of SQL are slower: they sleep in between */
  const double mine = static_cast<double>(options.writes_per_second) / threads * (thread == 0 ? 1.0 : 0.3);
  interval_ns_ = static_cast<int64_t>(1e9 / std::max(mine, 0.1));
  for (int i = 0; i < 10; i++)
    next_random(&state_);
}

void Pace::start() {
  next_ns_ = now_ns();
}

bool Pace::wait() {
  const int64_t now = now_ns();
  next_ns_ = std::max(next_ns_ + interval_ns_, now - 200000000); /* after a pause it does not catch up with all */
  for (int64_t left; (left = next_ns_ - now_ns()) > 0 && block_.phase == WORK;) {
    const int64_t part = std::min<int64_t>(left, 20000000);
    timespec pause = {0, static_cast<long>(part)};
    nanosleep(&pause, nullptr);
  }
  return block_.phase == WORK;
}

uint64_t Pace::random(uint64_t below) {
  return (next_random(&state_) >> 20) % below;
}

int Pace::slot() {
  const Options &options = block_.options;
  if (options.contended > 0 && random(4) == 0)
    return static_cast<int>(now_ns() / TOGETHER_NS % options.contended);
  const int rows = (options.keys - options.contended) / threads();
  return options.contended + static_cast<int>(random(static_cast<uint64_t>(rows))) * threads() + process_ +
         thread_ * options.writers;
}

/* That write; slots are theirs in turns. */
int Pace::threads() const {
  return block_.options.sql ? block_.options.writers * 2 : block_.options.writers;
}

std::vector<int> Pace::own_slots() const {
  std::vector<int> out;
  for (int slot = block_.options.contended + process_ + thread_ * block_.options.writers; slot < block_.options.keys;
       slot += threads())
    out.push_back(slot);
  return out;
}

std::string_view value_of(const Options &options, std::string_view key, uint64_t id, std::string &room) {
  const int length = snprintf(room.data(), room.size(), "%llu %.*s ", static_cast<unsigned long long>(ticket_of(id)),
                              static_cast<int>(key.size()), key.data());
  const size_t written = std::min(static_cast<size_t>(length), room.size() - 1);
  memset(room.data() + written, 'x', room.size() - written);
  return std::string_view(room).substr(0, std::max(written, static_cast<size_t>(options.value_bytes)));
}

uint64_t ticket_in(Block &block, int slot, uint64_t generation, std::string_view value) {
  uint64_t ticket = 0;
  size_t at = 0;
  while (at < value.size() && value[at] >= '0' && value[at] <= '9')
    ticket = ticket * 10 + static_cast<uint64_t>(value[at++] - '0');
  if (is_counter(block.options, slot) && at == value.size() && at > 0)
    return ticket;
  const std::string key = key_name(slot, generation);
  if (at == 0 || value.substr(at, key.size() + 2) != " " + key + " ")
    block.violation("key " + std::to_string(slot) +
                    " gave a value of another key, or none: " + std::string(value.substr(0, 60)));
  return ticket;
}

Completion::Completion(test::Cache &cache, pgcache_status submitted, uint64_t id)
    : completion_(nullptr, pgcache_completion_free), status_(submitted) {
  if (submitted != PGCACHE_OK)
    return;
  pgcache_completion *taken = nullptr;
  status_ = pgcache_wait(cache.raw(), &taken, id, PGCACHE_DEADLINE_DEFAULT, nullptr);
  completion_.reset(taken);
  if (taken != nullptr)
    status_ = pgcache_completion_status(taken);
}

void tell(Block &block, const std::string &who, int slot, const Sight &sight, const Judgement &judgement) {
  const auto ms = [&](int64_t ns) {
    char text[32];
    snprintf(text, sizeof text, "%.3f ms", static_cast<double>(ns) / 1e6);
    return std::string(text);
  };
  std::string text = who + " saw " + judgement.wrong + ": key " + std::to_string(slot) + ", generation " +
                     std::to_string(sight.generation) + ", ticket " + std::to_string(sight.ticket);
  if (judgement.newer != 0)
    text += ", where " + std::to_string(judgement.newer) + " had been acknowledged";
  if (judgement.stale_ns > 0)
    text += " " + ms(judgement.stale_ns) + " before the read";
  text += sight.own_alone ? ", its own" : ", may be " + ms(sight.began - sight.cut) + " old";
  text += "; the read took " + ms(sight.ended - sight.began);
  block.violation(text);
}

} // namespace harness
