/*
 * model.cpp - random operations against a model in memory: whatever the order, outcome, value, version, TTL and counts
 * are what the header says. The seed is printed with a failure; PGCACHE_TEST_SEED repeats it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

#include <map>
#include <random>
#include <sstream>

using namespace test;
using std::string;

namespace {

struct Entry {
  string value;
  int32_t format = 0;
  int64_t version = 0;
  int64_t ttl = 0;      /* as given; PGCACHE_TTL_NEVER */
  bool expired = false; /* still a row */
};

/* Expiry is made certain: a life is either far longer than the test or over before the next operation. */
class Model {
public:
  Model(uint64_t seed, const Settings &settings) : random_(seed), store_(settings) {}
  void step();
  const std::vector<string> &log() const {
    return log_;
  }

private:
  using Key = std::pair<string, string>; /* namespace, key */
  uint64_t below(uint64_t n) {
    return random_() % n;
  }
  bool chance(int percent) {
    return below(100) < static_cast<uint64_t>(percent);
  }
  Entry *alive(const Key &key) {
    const auto found = rows_.find(key);
    return found != rows_.end() && !found->second.expired ? &found->second : nullptr;
  }
  void must(bool condition, const string &what) {
    if (!condition)
      throw std::runtime_error("wrong: " + what);
  }
  void must_be(const Answer &answer, pgcache_status expected) {
    std::ostringstream text;
    text << answer;
    must(answer == expected, string("expected ") + pgcache_status_name(expected) + ", got " + text.str());
  }
  void check_entry(const Entry &entry, const pgcache_value *value) {
    must(string(static_cast<const char *>(pgcache_value_data(value)), pgcache_value_size(value)) == entry.value,
         "value");
    must(pgcache_value_format(value) == entry.format, "format");
    must(pgcache_value_version(value) == entry.version, "version");
    const int64_t left = pgcache_value_ttl_ms(value);
    if (entry.ttl == PGCACHE_TTL_NEVER)
      must(left == PGCACHE_TTL_NEVER, "never expires");
    else
      must(left <= entry.ttl && left > entry.ttl - 600000, "remaining TTL");
  }
  /* A write of ours that succeeded. */
  void wrote(const Key &key, Entry entry, int64_t version) {
    must(version > highest_, "the version is the highest yet");
    highest_ = version;
    entry.version = version;
    rows_[key] = std::move(entry);
  }
  string random_value();
  void one_key(const Key &key, const Options &options);
  void many_keys(const string &name, const Options &options);
  void whole(const string &name, const Options &options);

  std::mt19937_64 random_;
  Store store_;
  std::map<Key, Entry> rows_;
  int64_t highest_ = 0;
  std::vector<string> log_;
};

string Model::random_value() {
  if (chance(30))
    return std::to_string(static_cast<int64_t>(random_()) >> below(64));
  string value(chance(5) ? below(20000) : below(40), '\0');
  for (char &c : value)
    c = static_cast<char>(random_());
  return value;
}

void Model::step() {
  static const char *const names[] = {"default", "other"};
  const string name = names[below(2)];
  const Key key{name, "k" + std::to_string(below(12))};
  Options options;
  if (name != "default" || chance(50))
    options.namespace_name = name.c_str();
  const uint64_t kind = below(100);
  if (kind < 80)
    one_key(key, options);
  else if (kind < 94)
    many_keys(name, options);
  else
    whole(name, options);
  for (const auto &[k, entry] : rows_) {
    if (entry.ttl == 1 && !entry.expired) { /* its millisecond passes now */
      sleep_ms(3);
      for (auto &[other, e] : rows_)
        e.expired = e.expired || e.ttl == 1;
      break;
    }
  }
}

void Model::one_key(const Key &key, const Options &options) {
  Cache &cache = store_.cache;
  Entry *entry = alive(key);
  const int64_t lives[] = {1, 3600000, 86400000, PGCACHE_TTL_NEVER};
  Entry fresh;
  fresh.value = random_value();
  fresh.format = chance(50) ? PGCACHE_FORMAT_JSON : static_cast<int32_t>(below(3));
  fresh.ttl = lives[chance(20) ? 0 : 1 + below(3)];
  const uint64_t operation = below(10);
  static const char *const titles[] = {"put", "put",    "get",   "add",    "replace",
                                       "cas", "remove", "touch", "exists", "increment"};
  log_.push_back(string(titles[operation]) + " " + key.first + "/" + key.second + " ttl " + std::to_string(fresh.ttl));
  switch (operation) {
  case 0:
  case 1: {
    const Answer a = cache.put(key.second, fresh.value, fresh.ttl, fresh.format, options);
    must_be(a, PGCACHE_OK);
    wrote(key, fresh, a.version);
    break;
  }
  case 2: {
    const Answer a = cache.get(key.second, options);
    must_be(a, entry != nullptr ? PGCACHE_OK : PGCACHE_MISS);
    if (entry != nullptr)
      check_entry(*entry, a.value.get());
    string buffer(below(50), '#');
    const string untouched = buffer;
    size_t size = 7;
    const pgcache_status status = pgcache_get_into(cache.raw(), buffer.data(), buffer.size(), &size, key.second.data(),
                                                   key.second.size(), &options, nullptr);
    if (entry == nullptr)
      must(status == PGCACHE_MISS && size == 0, "get_into misses");
    else if (entry->value.size() > buffer.size())
      must(status == PGCACHE_TOO_SMALL && buffer == untouched, "too small");
    else
      must(status == PGCACHE_OK && buffer.compare(0, size, entry->value) == 0, "get_into");
    if (entry != nullptr)
      must(size == entry->value.size(), "get_into's size");
    break;
  }
  case 3: {
    const Answer a = cache.add(key.second, fresh.value, fresh.ttl, fresh.format, options);
    must_be(a, entry != nullptr ? PGCACHE_EXISTS : PGCACHE_OK);
    if (entry == nullptr)
      wrote(key, fresh, a.version);
    else
      must(a.version == 0, "no version");
    break;
  }
  case 4: {
    const Answer a = cache.replace(key.second, fresh.value, fresh.ttl, fresh.format, options);
    must_be(a, entry != nullptr ? PGCACHE_OK : PGCACHE_MISS);
    if (entry != nullptr)
      wrote(key, fresh, a.version);
    else
      must(a.version == 0, "no version");
    break;
  }
  case 5: {
    const bool right = entry != nullptr && chance(60);
    const int64_t expected =
        right ? entry->version : 1 + static_cast<int64_t>(below(1000)) + (chance(50) ? highest_ : 0);
    fresh.format = PGCACHE_FORMAT_BYTES;
    const Answer a = cache.compare_and_swap(key.second, fresh.value, expected, fresh.ttl, options);
    must_be(a, entry == nullptr ? PGCACHE_MISS : expected == entry->version ? PGCACHE_OK : PGCACHE_EXISTS);
    if (a == PGCACHE_OK)
      wrote(key, fresh, a.version);
    else
      must(a.version == 0, "no version");
    break;
  }
  case 6:
    must_be(cache.remove(key.second, options), entry != nullptr ? PGCACHE_OK : PGCACHE_MISS);
    rows_.erase(key);
    break;
  case 7: {
    const Answer a = cache.touch(key.second, fresh.ttl, options);
    must_be(a, entry != nullptr ? PGCACHE_OK : PGCACHE_MISS);
    if (entry != nullptr) {
      Entry touched = *entry;
      touched.ttl = fresh.ttl;
      wrote(key, touched, a.version);
    }
    break;
  }
  case 8:
    must_be(cache.exists(key.second, options), entry != nullptr ? PGCACHE_OK : PGCACHE_MISS);
    break;
  default: {
    const int64_t delta = static_cast<int64_t>(random_()) >> below(64),
                  initial = static_cast<int64_t>(random_()) >> below(64);
    const Answer a = cache.increment(key.second, delta, initial, fresh.ttl, options);
    int64_t old = initial;
    bool counter = true;
    if (entry != nullptr) {
      try {
        old = std::stoll(entry->value);
        counter = entry->format == PGCACHE_FORMAT_JSON && std::to_string(old) == entry->value;
      } catch (const std::exception &) {
        counter = false;
      }
    }
    int64_t sum = 0;
    if (__builtin_add_overflow(initial, delta, &sum)) {
      must_be(a, PGCACHE_OVERFLOW); /* refused before anybody is asked */
    } else if (!counter) {
      must_be(a, PGCACHE_NOT_A_COUNTER);
    } else if (__builtin_add_overflow(old, delta, &sum)) {
      must_be(a, PGCACHE_OVERFLOW);
    } else {
      must_be(a, PGCACHE_OK);
      must(a.number == sum, "sum");
      fresh.value = std::to_string(sum);
      fresh.format = PGCACHE_FORMAT_JSON;
      if (entry != nullptr)
        fresh.ttl = entry->ttl;
      wrote(key, fresh, a.version);
    }
  }
  }
}

void Model::many_keys(const string &name, const Options &options) {
  Cache &cache = store_.cache;
  std::vector<string> keys, values;
  for (uint64_t n = below(20); n > 0; n--) {
    keys.push_back("k" + std::to_string(below(14)));
    values.push_back(random_value());
  }
  Items items;
  for (size_t i = 0; i < keys.size(); i++) {
    pgcache_item &item = items.add(keys[i], values[i], chance(10) ? 1 : 3600000);
    item.format = static_cast<int32_t>(below(2));
  }
  Error error;
  const uint64_t operation = below(3);
  static const char *const titles[] = {"get_many", "put_many", "remove_many"};
  log_.push_back(string(titles[operation]) + " of " + std::to_string(keys.size()) + " in " + name);
  const auto call = operation == 0 ? pgcache_get_many : operation == 1 ? pgcache_put_many : pgcache_remove_many;
  must(call(cache.raw(), items.data(), items.size(), &options, &error) == PGCACHE_OK, "status: " + error.text());
  std::map<string, size_t> last;
  for (size_t i = 0; i < keys.size(); i++)
    last[keys[i]] = i;
  const int64_t highest = highest_;
  for (size_t i = 0; i < keys.size(); i++) {
    const Key key{name, keys[i]};
    const Entry *entry = alive(key);
    if (operation == 1) {
      must(items[i].status == PGCACHE_OK && items[i].version == items[last[keys[i]]].version, "put_many");
      continue;
    }
    must(items[i].status == (entry != nullptr ? PGCACHE_OK : PGCACHE_MISS), "item's status");
    if (operation == 0 && entry != nullptr) {
      must(items[i].version == entry->version, "item's version");
      check_entry(*entry, items[i].result);
    } else {
      must(items[i].version == 0 && items[i].result == nullptr, "no result");
    }
  }
  for (const auto &[k, i] : last) {
    const Key key{name, k};
    if (operation == 2)
      rows_.erase(key);
    if (operation != 1)
      continue;
    must(items[i].version > highest, "the versions are the highest yet");
    rows_[key] = Entry{values[i], items[i].format, items[i].version, items[i].ttl_ms, false};
    highest_ = std::max(highest_, items[i].version);
  }
}

void Model::whole(const string &name, const Options &options) {
  Cache &cache = store_.cache;
  int64_t rows = 0, expired = 0, bytes = 0;
  for (const auto &[key, entry] : rows_) {
    expired += entry.expired;
    bytes += static_cast<int64_t>(entry.value.size());
    rows += key.first == name;
  }
  const uint64_t operation = below(7);
  log_.push_back("whole " + std::to_string(operation) + " in " + name);
  if (operation == 0) {
    const Answer a = cache.flush(PGCACHE_FLUSH_NAMESPACE, options);
    must_be(a, PGCACHE_OK);
    must(a.number == rows, "rows flushed");
    for (auto it = rows_.begin(); it != rows_.end();)
      it = it->first.first == name ? rows_.erase(it) : std::next(it);
  } else if (operation == 1) {
    const Answer a = cache.flush(PGCACHE_FLUSH_ALL);
    must_be(a, PGCACHE_OK);
    must(a.number == static_cast<int64_t>(rows_.size()), "all rows flushed");
    rows_.clear();
  } else if (operation == 2) {
    const Answer a = cache.cleanup();
    must_be(a, PGCACHE_OK);
    must(a.number == expired, "rows cleaned up");
    for (auto it = rows_.begin(); it != rows_.end();)
      it = it->second.expired ? rows_.erase(it) : std::next(it);
  } else if (operation == 3) {
    const pgcache_store_stats stats = cache.stats();
    must(stats.entries == static_cast<int64_t>(rows_.size()) - expired, "entries counted");
    must(stats.expired == expired, "expired rows counted");
    must(stats.value_bytes == bytes, "bytes counted");
  } else {
    std::vector<pgcache_value *> keys(1 + below(8));
    string after;
    std::vector<string> listed;
    for (size_t count = keys.size(); count == keys.size();) {
      must(pgcache_keys(cache.raw(), keys.data(), keys.size(), &count, "k1", operation == 4 ? 2 : 0, after.data(),
                        after.size(), &options, nullptr) == PGCACHE_OK,
           "keys");
      for (size_t i = 0; i < count; i++) {
        listed.push_back(Value(keys[i]).bytes());
        after = listed.back();
      }
    }
    std::vector<string> expected; /* the map has them in order */
    for (const auto &[key, entry] : rows_) {
      if (key.first == name && !entry.expired && (operation != 4 || key.second.compare(0, 2, "k1") == 0)) {
        expected.push_back(key.second);
      }
    }
    must(listed == expected, "keys listed");
  }
}

} // namespace

TEST_CASE("Random operations do what a model in memory does", "[model][property]") {
  INFO("PGCACHE_TEST_SEED=" << seed());
  for (int run = 0; run < longer(2, 20); run++) {
    Model model(seed() + static_cast<uint64_t>(run), {{"coherence", run % 2 == 0 ? "on" : "off"}});
    const int steps = longer(1500, 20000);
    int done = 0;
    string trouble;
    try {
      for (; done < steps; done++)
        model.step();
    } catch (const std::exception &error) {
      trouble = error.what();
    }
    string last;
    for (size_t i = model.log().size() > 8 ? model.log().size() - 8 : 0; i < model.log().size(); i++) {
      last += "\n  " + model.log()[i];
    }
    INFO("run " << run << ", step " << done << ": " << trouble << "\nlast operations:" << last);
    REQUIRE(done == steps);
  }
}
