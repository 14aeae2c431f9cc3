/*
 * writer.cpp - see writer.hpp. Each thread does one write after the other, at the pace that it was given.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/writer.hpp"

#include "harness/process.hpp"
#include "harness/reader.hpp"
#include "harness/sql_writer.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

namespace harness {

namespace {

const size_t BATCH = 8;

/* The thread of a process that writes through the library. */
class Writer {
public:
  Writer(Block &block, int process, test::Cache &cache)
      : block_(block), options_(block.options), figures_(block.figures[process][0]), cache_(cache),
        pace_(block, process, 0), reader_(block, process, 0, cache) {
    for (auto &value : values_)
      value.resize(static_cast<size_t>(std::max(options_.value_bytes, 32)));
  }

  /* Stores each of its keys once, so that there is something to read. */
  void fill() {
    const std::vector<int> slots = pace_.own_slots();
    for (size_t i = 0; i < slots.size(); i += BATCH)
      put_many({slots.begin() + static_cast<std::ptrdiff_t>(i),
                slots.begin() + static_cast<std::ptrdiff_t>(std::min(i + BATCH, slots.size()))});
    figures_.writes = 0;
  }

  void work() {
    pace_.start();
    while (pace_.wait()) {
      const int slot = pace_.slot();
      const uint64_t choice = pace_.random(100);
      if (is_counter(options_, slot))
        increment(slot);
      else if (!options_.all_operations || slot < options_.contended || choice < 70)
        put(slot);
      else if (choice < 80)
        put_some();
      else if (choice < 90)
        remove(slot);
      else
        touch(slot);
      /* Of what others write, too, its own writes may be near. */
      if (options_.contended > 0)
        reader_.look(static_cast<int>(pace_.random(static_cast<uint64_t>(options_.contended))), choice % 4 == 0);
    }
  }

  /* When nobody writes any more. */
  void compare() {
    if (options_.all_operations)
      reader_.compare();
  }

private:
  Cell &cell(int slot) {
    return block_.cells[slot];
  }

  /* What the library says became of a write, for the history. */
  void ended(int slot, uint64_t id, pgcache_status status) {
    if (status >= 0) {
      write_acknowledged(cell(slot), id);
      return;
    }
    end_write(cell(slot), id, status == PGCACHE_UNKNOWN ? UNKNOWN : REFUSED);
    block_.count_error(status);
    figures_.failures++;
  }

  void put(int slot) {
    const uint64_t id = begin_write(cell(slot), PUT);
    if (id == 0)
      return;
    const std::string key = key_name(slot, generation_of(id));
    const int64_t began = now_ns();
    const pgcache_status status = store(key, value_of(options_, key, id, values_[0]));
    figures_.times[static_cast<int>(Time::WRITE)].add(now_ns() - began);
    figures_.writes++;
    ended(slot, id, status);
    if (status >= 0)
      read_own(slot, id);
  }

  /* Sometimes as a request. */
  pgcache_status store(const std::string &key, std::string_view value) {
    if (!options_.all_operations || pace_.random(4) != 0)
      return cache_.put(key, value, TTL_MS).status;
    uint64_t id = 0;
    const pgcache_status submitted = pgcache_submit_put(cache_.raw(), &id, key.data(), key.size(), value.data(),
                                                        value.size(), PGCACHE_FORMAT_BYTES, TTL_MS, nullptr, nullptr);
    return Completion(cache_, submitted, id).status();
  }

  void put_some() {
    std::vector<int> slots;
    for (size_t i = 0; i < BATCH; i++) {
      const int slot = pace_.slot();
      if (!is_counter(options_, slot) && slot >= options_.contended &&
          std::find(slots.begin(), slots.end(), slot) == slots.end())
        slots.push_back(slot);
    }
    put_many(slots);
  }

  /* At most BATCH different ones of its own. */
  void put_many(const std::vector<int> &slots) {
    std::vector<std::pair<int, uint64_t>> writes;
    test::Items items;
    for (const int slot : slots) {
      const uint64_t id = begin_write(cell(slot), PUT);
      if (id == 0)
        continue;
      const size_t i = writes.size();
      keys_[i] = key_name(slot, generation_of(id));
      items.add(keys_[i], value_of(options_, keys_[i], id, values_[i]), TTL_MS);
      writes.emplace_back(slot, id);
    }
    pgcache_put_many(cache_.raw(), items.data(), items.size(), nullptr, nullptr);
    for (size_t i = 0; i < writes.size(); i++)
      ended(writes[i].first, writes[i].second, items[i].status);
    for (size_t i = 0; i < writes.size(); i++) {
      if (items[i].status >= 0)
        read_own(writes[i].first, writes[i].second);
    }
    figures_.writes += static_cast<int64_t>(writes.size());
  }

  void remove(int slot) {
    const uint64_t id = begin_write(cell(slot), REMOVE);
    if (id == 0)
      return;
    const pgcache_status status = cache_.remove(key_name(slot, generation_of(id))).status;
    figures_.writes++;
    ended(slot, id, status);
    if (status >= 0)
      read_own(slot, id);
  }

  /* Another version of the same value. */
  void touch(int slot) {
    const test::Answer answer = cache_.touch(key_name(slot, generation_of(cell(slot).head)), TTL_MS);
    block_.count_error(answer.status);
    figures_.writes++;
    read_own(slot, 0);
  }

  /* Counts up to the ticket, whatever the counter was. */
  void increment(int slot) {
    Cell &own = cell(slot);
    /* A write that is refused leaves the counter behind the ticket, so it is read first. */
    const uint64_t head = own.head;
    const std::string key = key_name(slot, generation_of(head));
    test::Options from_store;
    from_store.read_mode = PGCACHE_READ_STORE;
    const test::Answer before = cache_.get(key, from_store);
    if (before.status < 0)
      return;
    const int64_t is = before.status == PGCACHE_OK ? std::stoll(before.bytes()) : 0;
    const uint64_t id = begin_write(own, PUT);
    if (id == 0)
      return;
    /* Between the two everything may have been removed: then it begins at what it was. */
    const test::Answer answer = cache_.increment(key, static_cast<int64_t>(ticket_of(id)) - is, is, TTL_MS);
    figures_.writes++;
    ended(slot, id, answer.status);
    if (answer.status >= 0)
      read_own(slot, id);
  }

  /* One's own writes are seen at once. */
  void read_own(int slot, uint64_t id) {
    if (!options_.all_operations || slot < options_.contended)
      return;
    const uint64_t generation = generation_of(id != 0 ? id : cell(slot).head.load());
    const std::string key = key_name(slot, generation);
    const int64_t began = now_ns();
    const test::Answer answer = cache_.get(key);
    if (answer.status < 0) {
      block_.count_error(answer.status);
      return;
    }
    figures_.own_reads++;
    Sight sight = {generation, 0, began, now_ns(), began, true};
    if (answer.status == PGCACHE_OK)
      sight.ticket = ticket_in(block_, slot, generation, answer.bytes());
    const Judgement judgement = judge(cell(slot), block_.wipes, sight);
    if (judgement.wrong != nullptr)
      tell(block_, "the writer itself", slot, sight, judgement);
  }

  Block &block_;
  const Options &options_;
  Figures &figures_;
  test::Cache &cache_;
  Pace pace_;
  Reader reader_;
  std::string keys_[BATCH], values_[BATCH];
};

} // namespace

void run_writer(Block &block, int process) {
  block.ready++;
  while (block.phase == WAIT)
    test::sleep_ms(1);
  test::Cache cache = open_cache(block, process);
  Writer writer(block, process, cache);
  if (!block.options.all_operations)
    writer.fill();
  block.ready++;
  while (block.phase == FILL)
    test::sleep_ms(1);
  std::thread sql;
  if (block.options.sql)
    sql = std::thread([&] { write_through_sql(block, process); });
  writer.work();
  if (sql.joinable())
    sql.join();
  block.counters[process] = cache.counters();
  block.ready++;
  while (block.phase == SETTLE)
    test::sleep_ms(1);
  if (block.phase == COMPARE)
    writer.compare();
  block.ready++;
  while (block.phase != END)
    test::sleep_ms(1);
}

} // namespace harness
