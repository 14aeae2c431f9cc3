/*
 * client.cpp - see client.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "histories/client.hpp"

#include "support/server.hpp"

#include <cstdlib>
#include <memory>

namespace histories {

namespace {

constexpr int64_t NEVER = PGCACHE_TTL_NEVER;
constexpr size_t MANY = 4;     /* keys of a call of many keys */
constexpr size_t AT_ONCE = 6;  /* requests of a client */
constexpr size_t BUFFER = 512; /* operations, before they are written */

bool writes(Kind kind) {
  return kind != GET && kind != EXISTS;
}

int64_t number_in(const pgcache_value *value) {
  if (value == nullptr)
    return 0;
  const std::string text(static_cast<const char *>(pgcache_value_data(value)), pgcache_value_size(value));
  return strtoll(text.c_str(), nullptr, 10);
}

} // namespace

Client::Client(test::Cache &cache, Keys &keys, Record &record, const Plan &plan)
    : cache_(cache), keys_(keys), record_(record), plan_(plan), random_(plan.seed),
      before_(static_cast<size_t>(keys.slots())) {}

void Client::work(const std::function<bool()> &enough, std::atomic<int64_t> *done) {
  while (!enough()) {
    if (plan_.requests) {
      request_some();
    } else if (below(16) == 0) {
      call_many();
    } else {
      Operation one = choose();
      call(&one);
      finish(&one);
    }
    *done += done_;
    done_ = 0;
    if (ended_.size() >= BUFFER) {
      record_.add(ended_);
      ended_.clear();
    }
  }
  record_.add(ended_);
}

Operation Client::choose() {
  static const Kind kinds[] = {GET, GET, GET,     GET, GET, EXISTS, PUT,    PUT,   PUT,       ADD,
                               ADD, ADD, REPLACE, CAS, CAS, CAS,    REMOVE, TOUCH, INCREMENT, INCREMENT};
  Operation one;
  one.slot = static_cast<int>(below(static_cast<uint64_t>(keys_.slots())));
  keys_.name(&one);
  one.kind = kinds[below(sizeof kinds / sizeof *kinds)];
  one.value = one.kind == INCREMENT ? 1 + static_cast<int64_t>(below(3)) : writes(one.kind) ? keys_.new_value() : 0;
  if (one.kind == INCREMENT)
    one.expected = keys_.new_value();
  else if (one.kind == CAS)
    one.expected = keys_.seen(one.slot);
  one.call = now_ns();
  return one;
}

test::Options Client::options() {
  test::Options out;
  if (plan_.short_deadlines && below(8) == 0)
    out.deadline_ms = 1 + static_cast<int64_t>(below(20));
  return out;
}

void Client::call(Operation *one) {
  const std::string key = one->key(), value = std::to_string(one->value);
  const test::Options how = options();
  test::Answer answer;
  switch (one->kind) {
  case GET:
    answer = cache_.get(key, how);
    one->found = number_in(answer.value.get());
    break;
  case EXISTS:
    answer = cache_.exists(key, how);
    break;
  case PUT:
    answer = cache_.put(key, value, NEVER, PGCACHE_FORMAT_JSON, how);
    break;
  case ADD:
    answer = cache_.add(key, value, NEVER, PGCACHE_FORMAT_JSON, how);
    break;
  case REPLACE:
    answer = cache_.replace(key, value, NEVER, PGCACHE_FORMAT_JSON, how);
    break;
  case CAS:
    answer.status =
        pgcache_compare_and_swap(cache_.raw(), &answer.version, key.data(), key.size(), value.data(), value.size(),
                                 PGCACHE_FORMAT_JSON, NEVER, one->expected, &how, &answer.error);
    break;
  case REMOVE:
    answer = cache_.remove(key, how);
    break;
  case TOUCH:
    answer = cache_.touch(key, NEVER, how);
    break;
  default:
    answer = cache_.increment(key, one->value, one->expected, NEVER, how);
    one->found = answer.number;
  }
  one->back = now_ns();
  one->status = answer.status;
  one->version = answer.status == PGCACHE_OK && answer.version > 0 ? answer.version : 0;
}

/* To the checker each key is an operation of its own. */
void Client::call_many() {
  std::vector<Operation> all;
  std::vector<std::string> names, values;
  const bool puts = below(2) == 0;
  while (all.size() < MANY) {
    Operation one = choose();
    bool twice = false;
    for (const Operation &other : all)
      twice = twice || other.slot == one.slot;
    if (twice)
      continue;
    one.kind = puts ? PUT : GET;
    one.value = puts ? keys_.new_value() : 0;
    one.expected = 0;
    all.push_back(one);
  }
  for (const Operation &one : all) {
    names.push_back(one.key());
    values.push_back(std::to_string(one.value));
  }
  test::Items items;
  for (size_t i = 0; i < MANY; i++) {
    pgcache_item &item = items.add(names[i], puts ? values[i] : std::string_view(), NEVER);
    item.format = PGCACHE_FORMAT_JSON;
  }
  const test::Options how = options();
  const int64_t began = now_ns();
  if (puts)
    pgcache_put_many(cache_.raw(), items.data(), items.size(), &how, nullptr);
  else
    pgcache_get_many(cache_.raw(), items.data(), items.size(), &how, nullptr);
  const int64_t back = now_ns();
  for (size_t i = 0; i < MANY; i++) {
    Operation &one = all[i];
    one.call = began;
    one.back = back;
    one.status = items[i].status;
    one.version = items[i].status == PGCACHE_OK ? items[i].version : 0;
    one.found = number_in(items[i].result);
    finish(&one);
  }
}

void Client::request_some() {
  std::vector<Operation> all;
  std::vector<uint64_t> ids;
  for (size_t i = 0, count = 1 + below(AT_ONCE); i < count; i++) {
    Operation one = choose();
    uint64_t id = 0;
    one.status = submit(one, &id);
    if (one.status != PGCACHE_OK) {
      finish(&one);
      continue;
    }
    all.push_back(one);
    ids.push_back(id);
  }
  for (size_t i = 0; i < all.size(); i++) {
    pgcache_completion *taken = nullptr;
    const pgcache_status waited = pgcache_wait(cache_.raw(), &taken, ids[i], PGCACHE_DEADLINE_DEFAULT, nullptr);
    const std::unique_ptr<pgcache_completion, void (*)(pgcache_completion *)> completion(taken,
                                                                                         pgcache_completion_free);
    Operation &one = all[i];
    one.back = now_ns();
    one.status = waited == PGCACHE_OK ? pgcache_completion_status(taken) : waited;
    if (waited == PGCACHE_OK && one.status == PGCACHE_OK) {
      const pgcache_value *value = one.kind == GET ? pgcache_completion_value(taken, 0) : nullptr; /* its own */
      one.version = value != nullptr ? pgcache_value_version(value) : pgcache_completion_version(taken);
      one.found = value != nullptr ? number_in(value) : pgcache_completion_number(taken);
    }
    finish(&one);
  }
}

pgcache_status Client::submit(const Operation &one, uint64_t *id) {
  const std::string key = one.key(), value = std::to_string(one.value);
  const test::Options how = options();
  pgcache *cache = cache_.raw();
  const char *k = key.data(), *v = value.data();
  const size_t n = key.size(), m = value.size();
  const int32_t json = PGCACHE_FORMAT_JSON;
  switch (one.kind) {
  case GET:
    return pgcache_submit_get(cache, id, k, n, &how, nullptr);
  case EXISTS:
    return pgcache_submit_exists(cache, id, k, n, &how, nullptr);
  case PUT:
    return pgcache_submit_put(cache, id, k, n, v, m, json, NEVER, &how, nullptr);
  case ADD:
    return pgcache_submit_add(cache, id, k, n, v, m, json, NEVER, &how, nullptr);
  case REPLACE:
    return pgcache_submit_replace(cache, id, k, n, v, m, json, NEVER, &how, nullptr);
  case CAS:
    return pgcache_submit_compare_and_swap(cache, id, k, n, v, m, json, NEVER, one.expected, &how, nullptr);
  case REMOVE:
    return pgcache_submit_remove(cache, id, k, n, &how, nullptr);
  case TOUCH:
    return pgcache_submit_touch(cache, id, k, n, NEVER, &how, nullptr);
  default:
    return pgcache_submit_increment(cache, id, k, n, one.value, one.expected, NEVER, &how, nullptr);
  }
}

/* An error means that nothing was changed, and says nothing; but UNKNOWN. */
void Client::finish(Operation *one) {
  if (one->version > 0)
    keys_.seen(one->slot) = one->version;
  if (one->status < 0) {
    failures_++;
    if (one->status != PGCACHE_UNKNOWN) {
      if (one->status != PGCACHE_TIMEOUT)
        test::sleep_ms(1);
      return;
    }
    unsure_++;
    one->back = 0;
    keys_.unsure(*one);
  }
  if (plan_.lies)
    lie(one);
  ended_.push_back(*one);
  done_++;
}

void Client::lie(Operation *one) {
  if (one->kind != GET)
    return;
  Operation &before = before_[static_cast<size_t>(one->slot)];
  if (below(4) == 0 && before.generation == one->generation && before.call != 0) {
    one->status = before.status;
    one->found = before.found;
    one->version = before.version;
  }
  before = *one;
}

} // namespace histories
