/*
 * loader.cpp - see loader.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/loader.hpp"

#include "harness/process.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace harness {

std::string loaded_key(int row, int variant) {
  return "row:" + std::to_string(row) + "/" + std::to_string(variant);
}

namespace {

constexpr int64_t LEASE_MS = 100;
constexpr int TAGS_MANY = 16;

struct LoadOptions : pgcache_load_options {
  LoadOptions() : pgcache_load_options(PGCACHE_LOAD_OPTIONS_INIT) {}
};

class Loader {
public:
  Loader(Block &block, int process, int thread, test::Cache &cache)
      : block_(block), options_(block.options), figures_(block.loads), cache_(cache), process_(process),
        state_((options_.seed + 3) * UINT64_C(0x9E3779B97F4A7C15) +
               static_cast<uint64_t>(getpid() * THREADS + thread)) {
    for (int i = 0; i < 10; i++)
      next_random(&state_);
  }

  void work() {
    while (block_.phase == WORK || block_.phase == SETTLE) {
      const uint64_t choice = random(100);
      const int row = some_row(), variant = static_cast<int>(random(KEYS_OF_ROW));
      if (choice < 70)
        load(row, variant);
      else if (choice < 90)
        get(row, variant, choice < 80);
      else if (choice < 94)
        get_many();
      else if (choice < 96)
        count(cache_.touch(loaded_key(row, variant), some(10, 300)).status);
      else if (choice < 97)
        count(cache_.remove(loaded_key(row, variant)).status);
      else if (choice < 98)
        invalidate(row);
      else if (choice < 99)
        count(cache_.put("noise:" + std::to_string(random(50)), "x", some(1, 1000)).status);
      else
        count(cache_.increment("count:" + std::to_string(random(50)), 1, 0, 60000).status);
    }
  }

  /* When nobody writes: every key shows its row, near and in the store. */
  void compare() {
    for (int row = 0; row < options_.keys; row++) {
      const int64_t is = read(row);
      for (int variant = 0; variant < KEYS_OF_ROW; variant++) {
        for (const pgcache_read_mode mode : {PGCACHE_READ_NEAR, PGCACHE_READ_STORE}) {
          test::Options how;
          how.read_mode = mode;
          const test::Answer got = cache_.get(loaded_key(row, variant), how);
          if (got.status == PGCACHE_OK && number_in(row, got.value.get()) != is)
            block_.violation("loader " + std::to_string(process_) + " has an old value when all is quiet: key " +
                             loaded_key(row, variant) + (mode == PGCACHE_READ_STORE ? ", in the store, " : ", near, ") +
                             std::to_string(number_in(row, got.value.get())) + " where the row has " +
                             std::to_string(is));
          figures_.compared++;
        }
      }
    }
  }

private:
  uint64_t random(uint64_t below) {
    return (next_random(&state_) >> 20) % below;
  }
  int64_t some(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(random(static_cast<uint64_t>(most - least + 1)));
  }
  /* Some rows are hot. */
  int some_row() {
    const auto rows = static_cast<uint64_t>(options_.keys);
    return static_cast<int>(random(2) == 0 ? random(std::max<uint64_t>(rows / 10, 1)) : random(rows));
  }
  void count(pgcache_status status) {
    if (status >= 0)
      return;
    block_.count_error(status);
    test::sleep_ms(1);
  }

  /* The row as it is now, with a connection of the application's. */
  int64_t read(int row) {
    for (int attempt = 0;; attempt++) {
      try {
        if (!connection_)
          connection_ = std::make_unique<test::Pg>(block_.sql_address);
        const char *table = is_watched(row) ? "watched_rows" : "rows";
        return std::stoll(connection_->one("SELECT n FROM " + rows_schema(block_.schema) + "." + table +
                                           " WHERE id = " + std::to_string(row)));
      } catch (const std::exception &) {
        connection_.reset();
        if (attempt > 2000 || block_.phase == END)
          throw;
        test::sleep_ms(10);
      }
    }
  }

  int64_t number_in(int row, const pgcache_value *value) {
    const std::string text(static_cast<const char *>(pgcache_value_data(value)), pgcache_value_size(value));
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.substr(space + 1) != "of row " + std::to_string(row)) {
      block_.violation("row " + std::to_string(row) + " gave a value of another: " + text);
      return 0;
    }
    return std::stoll(text);
  }

  /* began: of the read; from the store nothing may be old, from a copy as much as the bound. */
  void judge(int row, int variant, const pgcache_value *value, const char *how, int64_t began, bool near) {
    const int64_t number = number_in(row, value);
    const int64_t outdated = block_.rows[row].outdated_at(number);
    const int64_t cut = near ? began - block_.staleness_ns() : began;
    figures_.reads++;
    if (outdated != 0 && outdated < cut)
      block_.violation("loader " + std::to_string(process_) + " was given, by " + how +
                       ", what a commit had made false: " + loaded_key(row, variant) + " is " + std::to_string(number) +
                       ", where a later commit, up to " + std::to_string(block_.rows[row].last) +
                       ", had been acknowledged " + std::to_string(static_cast<double>(began - outdated) / 1e6) +
                       " ms before" + (near ? "; may be near" : "; from the store"));
  }

  bool may_be_near(const test::Options &how) const {
    return options_.near_bytes > 0 && how.read_mode == PGCACHE_READ_NEAR;
  }

  void get(int row, int variant, bool store) {
    test::Options how;
    how.read_mode = store ? PGCACHE_READ_STORE : PGCACHE_READ_NEAR;
    const int64_t began = now_ns();
    const test::Answer got = cache_.get(loaded_key(row, variant), how);
    count(got.status);
    if (got.status == PGCACHE_OK)
      judge(row, variant, got.value.get(), "get", began, may_be_near(how));
  }

  void get_many() {
    std::vector<int> rows, variants;
    std::vector<std::string> keys;
    for (int i = 0; i < 6; i++) {
      rows.push_back(some_row());
      variants.push_back(static_cast<int>(random(KEYS_OF_ROW)));
      keys.push_back(loaded_key(rows.back(), variants.back()));
    }
    test::Items items;
    for (const std::string &key : keys)
      items.add(key);
    const int64_t began = now_ns();
    count(pgcache_get_many(cache_.raw(), items.data(), items.size(), nullptr, nullptr));
    for (size_t i = 0; i < items.size(); i++) {
      if (items[i].status == PGCACHE_OK)
        judge(rows[i], variants[i], items[i].result, "get_many", began, options_.near_bytes > 0);
    }
  }

  /* Of what has not changed: an entry may go at any time. */
  void invalidate(int row) {
    const std::string tag = "row:" + std::to_string(row);
    pgcache_dependency what = PGCACHE_DEPENDENCY_INIT;
    what.name = tag.data();
    what.name_len = tag.size();
    count(pgcache_invalidate(cache_.raw(), &what, 1, nullptr, nullptr));
  }

  std::vector<std::string> tags_of(int row, int variant) const {
    std::vector<std::string> tags;
    if (variant == 0 && !is_watched(row))
      return tags;
    tags.push_back("row:" + std::to_string(row));
    for (int i = 1; variant == 2 && i < TAGS_MANY; i++)
      tags.push_back("other:" + std::to_string(i) + ":" + std::to_string(row % 7));
    std::reverse(tags.begin(), tags.end());
    return tags;
  }

  void load(int row, int variant) {
    const std::string key = loaded_key(row, variant);
    LoadOptions how;
    how.ttl_ms = some(5, 300);
    how.stale_ms = random(2) == 0 ? 30 : 0;
    how.fail_safe_ms = random(2) == 0 ? 200 : 0;
    how.throttle_ms = 20;
    how.lease_ms = LEASE_MS;
    how.wait_ms = some(0, 50);
    how.early_percent = random(4) == 0 ? 100 : 0;
    test::Options options;
    options.read_mode = random(4) == 0 ? PGCACHE_READ_STORE : PGCACHE_READ_NEAR;
    pgcache_value *value = nullptr;
    pgcache_load *load = nullptr;
    const int64_t began = now_ns();
    const pgcache_status status =
        pgcache_load_begin(cache_.raw(), &value, &load, key.data(), key.size(), &how, &options, nullptr);
    count(status);
    const test::Value own(value);
    if (value != nullptr) {
      (status == PGCACHE_STALE ? figures_.stale : figures_.hits)++;
      judge(row, variant, value, "load_begin", began, may_be_near(options));
    } else if (load == nullptr && status >= 0) {
      figures_.waited++;
    }
    if (load != nullptr)
      finish(load, row, variant);
  }

  void finish(pgcache_load *load, int row, int variant) {
    figures_.leases++;
    die_if_doomed();
    const uint64_t choice = random(200);
    if (options_.fake == LOADS_BEFORE_LEASE && before_[row % 64].first == row && choice < 100)
      return fill(load, row, variant, before_[row % 64].second);
    const int64_t number = read(row);
    before_[row % 64] = {row, number};
    die_if_doomed();
    if (choice == 0) {
      pgcache_value *stale = nullptr;
      const int64_t began = now_ns();
      count(pgcache_load_fail(load, &stale, nullptr, nullptr));
      const test::Value own(stale);
      if (stale != nullptr)
        judge(row, variant, stale, "load_fail", began, false);
    } else if (choice < 3) {
      if (choice == 1)
        count(pgcache_load_abandon(load, nullptr, nullptr));
    } else if (choice < 6) {
      const pgcache_status extended = pgcache_load_extend(load, LEASE_MS + 50, nullptr, nullptr);
      count(extended);
      if (extended != PGCACHE_REFUSED)
        return fill(load, row, variant, number);
    } else if (choice == 6) {
      figures_.late++;
      test::sleep_ms(static_cast<int>(some(LEASE_MS - 20, LEASE_MS + 100)));
      return fill(load, row, variant, number);
    } else {
      return fill(load, row, variant, number);
    }
    figures_.ended_otherwise++;
    pgcache_load_free(load);
  }

  void fill(pgcache_load *load, int row, int variant, int64_t number) {
    const std::vector<std::string> tags = tags_of(row, variant);
    std::vector<pgcache_dependency> dependencies;
    for (const std::string &tag : tags) {
      pgcache_dependency one = PGCACHE_DEPENDENCY_INIT;
      one.name = tag.data();
      one.name_len = tag.size();
      dependencies.push_back(one);
    }
    test::Options how;
    how.dependencies = dependencies.data();
    how.dependency_count = dependencies.size();
    const std::string value = std::to_string(number) + " of row " + std::to_string(row);
    const pgcache_status status =
        pgcache_load_fill(load, nullptr, value.data(), value.size(), PGCACHE_FORMAT_BYTES, &how, nullptr);
    count(status);
    (status == PGCACHE_OK ? figures_.fills : figures_.refused)++;
    pgcache_load_free(load);
  }

  void die_if_doomed() {
    int doomed = block_.doomed;
    if (doomed > 0 && block_.doomed.compare_exchange_strong(doomed, doomed - 1)) {
      figures_.killed++;
      raise(SIGKILL);
    }
  }

  Block &block_;
  const Options &options_;
  LoadFigures &figures_;
  test::Cache &cache_;
  const int process_;
  uint64_t state_;
  std::unique_ptr<test::Pg> connection_;
  std::pair<int, int64_t> before_[64] = {};
};

void load_and_compare(Block &block, int process) {
  test::Cache cache = open_cache(block, process);
  std::vector<std::thread> threads;
  const auto run = [&](int thread) {
    Loader loader(block, process, thread, cache);
    loader.work();
    if (thread == 0) {
      block.counters[process] = cache.counters();
      if (block.phase == COMPARE)
        loader.compare();
    }
  };
  for (int thread = 1; thread < block.options.threads; thread++)
    threads.emplace_back(run, thread);
  run(0);
  for (std::thread &thread : threads)
    thread.join();
}

/* Gives what waitpid() says. */
int in_a_child(Block &block, int process) {
  const pid_t parent = getpid(), child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
      _exit(1);
    int status = 0;
    try {
      load_and_compare(block, process);
    } catch (const std::exception &error) {
      block.violation("loader " + std::to_string(process) + " ended: " + error.what());
      status = 1;
    }
    _exit(status);
  }
  int status = 0;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  return status;
}

} // namespace

void run_loader(Block &block, int process) {
  block.ready++;
  while (block.phase < WORK)
    test::sleep_ms(1);
  for (int status = -1; status != 0;) {
    status = in_a_child(block, process);
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
      throw std::runtime_error("a loader ended with the wait status " + std::to_string(status));
  }
  block.ready++;
  while (block.phase != END)
    test::sleep_ms(1);
}

} // namespace harness
