/*
 * reader.cpp - see reader.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/reader.hpp"

#include "harness/process.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <thread>
#include <vector>

namespace harness {

namespace {

/* One of so many reads is of BATCH keys, or from the store; the latencies of so many are told apart. */
const uint64_t MANY_EVERY = 64, STORE_EVERY = 512, TIMED_EVERY = 16;
const int64_t FENCE_EVERY_NS = 200000000;
/* Keys that are compared at the end. */
const int COMPARED_MOST = 5000;
const int RECOVERY_MS = 20000;

std::string outline(const test::Answer &answer) {
  return std::string(pgcache_status_name(answer.status)) + " '" + answer.bytes().substr(0, 40) + "' version " +
         std::to_string(answer.version);
}

void count(std::atomic<int64_t> *counter) { /* nobody else adds to it */
  counter->store(counter->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

} // namespace

Reader::Reader(Block &block, int process, int thread, test::Cache &cache)
    : block_(block), options_(block.options), figures_(block.figures[process][thread]), cache_(cache),
      process_(process), bound_ns_(block.staleness_ns()),
      random_((options_.seed + 7) * UINT64_C(0xD1B54A32D192ED03) + static_cast<uint64_t>(process * THREADS + thread)),
      known_(static_cast<size_t>(options_.keys)), next_fence_ns_(now_ns()) {
  from_store_.read_mode = PGCACHE_READ_STORE;
}

void Reader::work() {
  for (uint64_t n = 1; block_.phase == WORK || block_.phase == SETTLE; n++) {
    if (n % STORE_EVERY == 0)
      one(some_slot(), true, false);
    else if (n % MANY_EVERY == 0)
      many();
    else
      one(some_slot(), false, n % TIMED_EVERY == 0);
    if (n % MANY_EVERY == 0 && now_ns() >= next_fence_ns_)
      fence();
  }
}

void Reader::compare() {
  if (options_.near_bytes > 0 && !recover())
    return;
  const int keys = std::min(options_.keys, COMPARED_MOST);
  for (int slot = 0; slot < keys; slot++) {
    const Known &key = know(slot);
    const test::Answer near = again(key.name, near_), store = again(key.name, from_store_);
    if (near.status < 0 || store.status < 0) {
      block_.violation(std::string("a read failed when all was quiet: ") +
                       (near.status < 0 ? near.error.message : store.error.message));
      return;
    }
    std::string bytes = near.bytes();
    if (options_.fake == STALE_WHEN_QUIET && slot == 3)
      bytes += "x";
    if (near.status != store.status || bytes != store.bytes())
      block_.violation(name() + " still has an old value when all is quiet: key " + std::to_string(slot) + ", near " +
                       outline(near) + ", in the store " + outline(store));
    figures_.compared++;
  }
}

std::string Reader::name() const {
  return process_ < options_.writers ? "writer " + std::to_string(process_)
                                     : "reader " + std::to_string(process_ - options_.writers);
}

int Reader::some_slot() {
  return static_cast<int>((next_random(&random_) >> 20) % static_cast<uint64_t>(options_.keys));
}

Reader::Known &Reader::know(int slot) {
  Known &key = known_[static_cast<size_t>(slot)];
  const uint64_t generation = generation_of(block_.cells[slot].head);
  if (key.generation != generation) {
    key = Known();
    key.generation = generation;
    key.name = key_name(slot, generation);
  }
  return key;
}

void Reader::failed(pgcache_status status) {
  block_.count_error(status);
  figures_.failures++;
  test::sleep_ms(1);
}

void Reader::one(int slot, bool store, bool timed) {
  const Known &key = know(slot);
  pgcache_value *value = nullptr;
  const int64_t hits = timed ? near_hits(cache_) : 0;
  const int64_t began = now_ns();
  const pgcache_status status =
      pgcache_get(cache_.raw(), &value, key.name.data(), key.name.size(), store ? &from_store_ : nullptr, nullptr);
  const int64_t ended = now_ns();
  if (status < 0) {
    failed(status);
    return;
  }
  if (timed || store) {
    const bool near = !store && options_.threads == 1 && near_hits(cache_) > hits;
    if (near || store || options_.threads == 1)
      figures_.times[static_cast<int>(near ? Time::NEAR_HIT : Time::STORE_READ)].add(ended - began);
  }
  check(slot, value, began, ended, store);
  pgcache_value_free(value);
}

void Reader::many() {
  test::Items items;
  int slots[BATCH];
  uint64_t generations[BATCH];
  for (int i = 0; i < BATCH; i++) {
    slots[i] = some_slot();
    const Known &key = know(slots[i]);
    generations[i] = key.generation;
    names_[i] = key.name;
    items.add(names_[i]);
  }
  uint64_t id = 0;
  const bool submits = next_random(&random_) % 4 == 0;
  const int64_t began = now_ns();
  if (!submits) {
    pgcache_get_many(cache_.raw(), items.data(), items.size(), nullptr, nullptr);
    many_read(slots, generations, began, [&](size_t i) { return &items[i]; });
    return;
  }
  const pgcache_status submitted =
      pgcache_submit_get_many(cache_.raw(), &id, items.data(), items.size(), nullptr, nullptr);
  const Completion completion(cache_, submitted, id);
  if (completion.item(0) == nullptr)
    failed(completion.status());
  else
    many_read(slots, generations, began, [&](size_t i) { return completion.item(i); });
}

void Reader::many_read(const int *slots, const uint64_t *generations, int64_t began,
                       const std::function<const pgcache_item *(size_t)> &item) {
  const int64_t ended = now_ns();
  for (size_t i = 0; i < BATCH; i++) {
    if (item(i)->status < 0)
      failed(item(i)->status);
    else if (generations[i] == known_[static_cast<size_t>(slots[i])].generation)
      check(slots[i], item(i)->result, began, ended, false);
  }
}

void Reader::check(int slot, const pgcache_value *value, int64_t began, int64_t ended, bool store) {
  Known &key = known_[static_cast<size_t>(slot)];
  Sight sight = {key.generation, 0, began, ended, store ? began : std::max(began - bound_ns_, fenced_ns_), false};
  if (value != nullptr)
    sight.ticket =
        ticket_in(block_, slot, key.generation,
                  std::string_view(static_cast<const char *>(pgcache_value_data(value)), pgcache_value_size(value)));
  if (options_.fake != NO_FAKE && !store)
    mistake(slot, key, &sight);
  count(&figures_.reads);
  if (sight.ticket == 0)
    count(&figures_.misses);
  const Judgement judgement = judge(block_.cells[slot], block_.wipes, sight);
  if (judgement.wrong != nullptr)
    tell(block_, name() + (store ? ", reading the store," : ""), slot, sight, judgement);
  if (!store && judgement.stale_ns > 0)
    figures_.times[static_cast<int>(Time::STALE)].add(judgement.stale_ns);
  if (sight.ticket != 0)
    compare_with_seen(slot, key, sight, store);
}

/* Nobody sees less than before, beyond the bound. Of keys with several writers, whose writes overlap, the store knows which
   came last. */
void Reader::compare_with_seen(int slot, Known &key, const Sight &sight, bool store) {
  Judgement back;
  if (slot >= options_.contended && sight.ticket > key.highest) {
    key.highest = sight.ticket;
    key.highest_at = sight.ended;
  } else if (slot >= options_.contended && sight.ticket < key.highest && sight.cut > key.highest_at) {
    back.wrong = "an older value than before";
    back.newer = key.highest;
  }
  if (store) {
    key.stored = sight.ticket;
    key.stored_since = sight.began;
    key.stored_at = sight.ended;
  } else if (key.stored != 0 && sight.ticket != key.stored && sight.cut > key.stored_at &&
             end_of_write(block_.cells[slot], sight.generation << 40 | sight.ticket) < key.stored_since) {
    back.wrong = "an older value than the store had given";
    back.newer = key.stored;
  }
  if (back.wrong != nullptr)
    tell(block_, name(), slot, sight, back);
}

void Reader::fence() {
  const int64_t began = now_ns();
  const pgcache_status status = pgcache_fence(cache_.raw(), nullptr, nullptr);
  const int64_t ended = now_ns();
  next_fence_ns_ = ended + FENCE_EVERY_NS;
  if (status < 0) {
    failed(status);
    return;
  }
  figures_.fences++;
  figures_.times[static_cast<int>(Time::FENCE)].add(ended - began);
  fenced_ns_ = options_.fake == FENCE_WITHOUT_EFFECT ? ended : began;
}

/* The harness shows with these that it notices. */
void Reader::mistake(int slot, Known &key, Sight *sight) {
  const Cell &cell = block_.cells[slot];
  switch (options_.fake) {
  case STALE_COPY:           /* for three bounds */
  case FENCE_WITHOUT_EFFECT: /* for less than one, but beyond fences */
    if (key.copy == 0 ||
        sight->began > key.copied_at + (options_.fake == STALE_COPY ? 3 * bound_ns_ : bound_ns_ * 9 / 10)) {
      key.copy = sight->ticket;
      key.copied_at = sight->began;
    }
    sight->ticket = key.copy;
    break;
  case LOST_ENTRY:
    if (next_random(&random_) % 1000 == 0)
      sight->ticket = 0;
    break;
  case ROLLED_BACK:
    for (const Write &write : cell.ring) {
      if (write.acked == REFUSED && generation_of(write.id) == sight->generation)
        sight->ticket = ticket_of(write.id);
    }
    break;
  default:
    break;
  }
}

/* After a fault the near cache must come back; it is at work when reads are hits. */
bool Reader::recover() {
  std::string why;
  const bool back = test::eventually(
      [&] {
        const int64_t before = near_hits(cache_);
        bool any = false; /* entries at all; after a wipe and few writes there may be none */
        for (int slot = 0; slot < std::min(options_.keys, 100); slot++) {
          test::Answer answer = cache_.get(know(slot).name);
          if (answer == PGCACHE_OK)
            answer = cache_.get(know(slot).name);
          any = any || answer != PGCACHE_MISS;
          why = answer.error.message;
        }
        return !any || near_hits(cache_) > before;
      },
      RECOVERY_MS);
  if (!back)
    block_.violation(name() + ": the near cache gives no hits, though all is quiet: " + why);
  return back;
}

test::Answer Reader::again(const std::string &key, const test::Options &options) {
  test::Answer answer;
  test::eventually(
      [&] {
        answer = cache_.get(key, options);
        return answer.status >= 0;
      },
      RECOVERY_MS);
  return answer;
}

void run_reader(Block &block, int process) {
  block.ready++;
  while (block.phase < WORK)
    test::sleep_ms(1);
  test::Cache cache = open_cache(block, process);
  std::vector<std::thread> threads;
  const auto read = [&](int thread) {
    Reader reader(block, process, thread, cache);
    reader.work();
    if (thread == 0) {
      block.counters[process] = cache.counters();
      if (block.phase == COMPARE)
        reader.compare();
    }
  };
  for (int thread = 1; thread < block.options.threads; thread++)
    threads.emplace_back(read, thread);
  read(0);
  for (auto &thread : threads)
    thread.join();
  block.ready++;
  while (block.phase != END)
    test::sleep_ms(1);
}

} // namespace harness
