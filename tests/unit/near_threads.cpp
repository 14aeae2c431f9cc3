/*
 * near_threads.cpp - tests of the near cache under many threads: a model of a store with an event stream that comes late,
 * and no reader may ever see less than the near cache was told of.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near.hpp"

#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

using test::digest_of;
using test::Near;

namespace {

/* Keys with versions, as a store has them. What is told of a key is what no later hit may be older than. */
struct Model {
  static constexpr int keys = 48;
  struct Key {
    std::mutex lock;              /* of the store's row */
    int64_t version = 0;          /* in the store; 0: no entry */
    std::atomic<int64_t> told{0}; /* the near cache knows of this one */
  };
  std::array<Key, keys> key;
  std::atomic<int64_t> sequence{0};
  std::mutex stream_lock;
  std::deque<std::pair<int, int64_t>> stream;
};

void raise(std::atomic<int64_t> &told, int64_t version) {
  int64_t before = told;
  while (before < version && !told.compare_exchange_weak(before, version)) {
  }
}

std::string name_of(int key) {
  return "key" + std::to_string(key);
}

bool is_long() {
  return getenv("PGCACHE_LONG") != nullptr;
}

class Run {
public:
  Run(Near &near, Model &model) : near_(near), model_(model) {}

  void read(std::mt19937 &random) {
    const int k = static_cast<int>(random() % Model::keys);
    Model::Key &key = model_.key[k];
    const int64_t told = key.told;
    const test::Found found = near_.find(name_of(k));
    if (found.answer == PGC_NEAR_HIT) {
      hits++;
      if (found.version < told || found.text != name_of(k) + "=" + std::to_string(found.version))
        wrong++;
      return;
    }
    if (found.answer == PGC_NEAR_ABSENT) {
      return; /* versions of removals are in told, too; see remove() */
    }
    const pgc_near_ticket ticket = near_.begin(name_of(k));
    int64_t version;
    {
      std::lock_guard<std::mutex> guard(key.lock);
      version = key.version;
    }
    if (random() % 4 == 0)
      std::this_thread::yield(); /* on the wire */
    if (version == 0)
      near_.fill_absent(name_of(k), ticket);
    else
      near_.fill(name_of(k), ticket, version, name_of(k) + "=" + std::to_string(version));
  }

  /* A write of this process (own) or of another one. */
  void write(std::mt19937 &random, bool own) {
    const int k = static_cast<int>(random() % Model::keys);
    const bool removes = random() % 8 == 0;
    Model::Key &key = model_.key[k];
    const pgc_near_ticket ticket = near_.begin(name_of(k));
    int64_t version;
    {
      std::lock_guard<std::mutex> guard(key.lock);
      version = ++model_.sequence;
      key.version = removes ? 0 : version;
      std::lock_guard<std::mutex> stream_guard(model_.stream_lock);
      model_.stream.emplace_back(k, version);
    }
    if (!own)
      return;
    const std::string text = name_of(k) + "=" + std::to_string(version);
    near_.written(name_of(k), ticket, removes ? 0 : version, removes || random() % 4 == 0 ? nullptr : text.c_str());
    raise(key.told, version);
  }

  void apply(std::mt19937 &random) {
    std::deque<std::pair<int, int64_t>> events;
    {
      std::lock_guard<std::mutex> guard(model_.stream_lock);
      events.swap(model_.stream);
    }
    for (const auto &[k, version] : events) {
      if (random() % 16 == 0) {
        const pgc_digest digest = digest_of(name_of(k));
        pgc_near_invalidated(near_.self, &digest);
      } else {
        near_.changed(name_of(k), version);
      }
      raise(model_.key[k].told, version);
    }
    if (random() % 64 == 0) {
      std::array<int64_t, Model::keys> before{};
      for (int k = 0; k < Model::keys; k++) {
        std::lock_guard<std::mutex> guard(model_.key[k].lock);
        before[k] = model_.key[k].version;
      }
      pgc_near_flush(near_.self, PGC_NEAR_FLUSH_GAP);
      for (int k = 0; k < Model::keys; k++)
        raise(model_.key[k].told, before[k]);
    }
    near_.counts();
    pgc_digest digests[8];
    int64_t versions[8];
    pgc_near_sample(near_.self, digests, versions, 8);
    pgc_near_used(near_.self, digests, 8, near_.now, 0);
    if (random() % 256 == 0)
      pgc_near_heed_epoch(near_.self, ++epoch_);
    pgc_near_prove(near_.self, near_.now, epoch_);
  }

  std::atomic<int64_t> hits{0}, wrong{0};

private:
  Near &near_;
  Model &model_;
  int32_t epoch_ = 1;
};

} // namespace

TEST_CASE("no reader sees less than was told, whoever reads, fills, writes and hears at once", "[near][threads]") {
  /* All keys fit; some do not: slots are used again and again. */
  for (const int64_t entries : {0, 16}) {
    for (int round = 0; round < (is_long() ? 100 : 4); round++) {
      Near near(8 << 20, entries);
      Model model;
      Run run(near, model);
      std::vector<std::thread> threads;
      const int steps = is_long() ? 200000 : 15000;
      std::atomic<int> running{4};
      for (unsigned i = 0; i < 4; i++) {
        threads.emplace_back([&run, &running, i, round, steps] {
          std::mt19937 random(i + 10 * static_cast<unsigned>(round));
          for (int n = 0; n < steps; n++) {
            const unsigned what = random() % 32;
            if (what == 0)
              run.write(random, true);
            else if (what == 1)
              run.write(random, false);
            else
              run.read(random);
          }
          running--;
        });
      }
      threads.emplace_back([&run, &running, round] {
        std::mt19937 random(1000 + static_cast<unsigned>(round));
        while (running > 0) {
          run.apply(random);
          std::this_thread::yield();
        }
      });
      for (std::thread &thread : threads)
        thread.join();
      CHECK(run.wrong == 0);
      CHECK(run.hits > 0);
      /* When all is quiet and told, what it holds is what the store holds. */
      std::mt19937 random(1);
      run.apply(random);
      for (int k = 0; k < Model::keys; k++) {
        const test::Found found = near.find(name_of(k));
        if (found.answer == PGC_NEAR_HIT)
          CHECK(found.version == model.key[k].version);
        if (found.answer == PGC_NEAR_ABSENT)
          CHECK(model.key[k].version == 0);
      }
    }
  }
}

TEST_CASE("tags and hits at once: what was invalidated is not given", "[near][threads][tags]") {
  Near near(8 << 20, 8);
  const int entries = 32;
  std::atomic<int64_t> told{0}, stored{0}, wrong{0}, hits{0};
  std::atomic<int> running{3};
  std::vector<std::thread> threads;
  const int steps = is_long() ? 1000000 : 20000;
  for (unsigned i = 0; i < 3; i++) {
    threads.emplace_back([&, i] {
      std::mt19937 random(i);
      for (int n = 0; n < steps; n++) {
        const std::string name = name_of(static_cast<int>(random() % entries));
        std::vector<pgc_digest> tags = {digest_of("tag")};
        while (random() % 4 != 0 && tags.size() < PGC_NEAR_TAGS_MAX)
          tags.push_back(digest_of("other" + std::to_string(tags.size())));
        const int64_t least = told;
        const test::Found found = near.find(name);
        if (found.answer == PGC_NEAR_HIT) {
          hits++;
          if (found.version < least)
            wrong++;
          continue;
        }
        const bool plain = random() % 8 == 0; /* slots of both kinds in turn */
        if (plain) {
          near.fill("plain" + name, 1);
          continue;
        }
        const pgc_near_ticket ticket = near.begin(name);
        const int64_t version = stored;
        near.fill(name, ticket, version, "text", tags);
      }
      running--;
    });
  }
  threads.emplace_back([&] {
    while (running > 0) {
      const int64_t version = ++stored;
      near.invalidated("tag");
      told = version;
      for (int i = 0; i < 20; i++)
        std::this_thread::yield();
    }
  });
  for (std::thread &thread : threads)
    thread.join();
  CHECK(wrong == 0);
  CHECK(hits > 0);
}

TEST_CASE("many take and give one hot value back while it is replaced", "[near][threads]") {
  Near near;
  std::atomic<int> running{3};
  std::atomic<int64_t> wrong{0};
  std::vector<std::thread> threads;
  REQUIRE(near.fill("hot", 1, "hot 1"));
  for (unsigned i = 0; i < 3; i++) {
    threads.emplace_back([&] {
      const pgc_near_key key = near.key("hot");
      std::vector<pgcache_value *> held;
      int64_t last = 0;
      for (int n = 0; n < (is_long() ? 5000000 : 100000); n++) {
        pgcache_value *value = nullptr;
        if (pgc_near_find(near.self, &key, near.now, &value) != PGC_NEAR_HIT)
          continue;
        if (value->version < last || value->own[0] != 'h')
          wrong++;
        last = value->version;
        held.push_back(value);
        if (held.size() < 100)
          continue;
        for (pgcache_value *one : held)
          pgc_value_release(one);
        held.clear();
      }
      for (pgcache_value *one : held)
        pgc_value_release(one);
      running--;
    });
  }
  for (int64_t version = 2; running > 0; version++) {
    near.written("hot", near.begin("hot"), version, ("hot " + std::to_string(version)).c_str());
    if (version % 64 == 0)
      pgc_near_flush(near.self, PGC_NEAR_FLUSH_GAP);
    std::this_thread::yield();
  }
  for (std::thread &thread : threads)
    thread.join();
  CHECK(wrong == 0);
}
