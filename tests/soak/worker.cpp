/*
 * worker.cpp - see worker.hpp.
 *
 * Each thread owns some keys, which it alone writes: of these it knows all that happened, and holds every answer against a
 * model. Beside that it reads the others' keys, whose owners tell which writes a hit may be of, and adds to counters that
 * all threads of all processes share.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/worker.hpp"

#include "soak/calls.hpp"
#include "soak/model.hpp"
#include "soak/values.hpp"
#include "support/handles.hpp"

#include <algorithm>
#include <vector>

namespace soak {

using std::string;
using test::Answer;
using test::Options;

namespace {

string name_of_key(int process, int thread, int key) {
  string name = std::to_string(process) + "." + std::to_string(thread) + "." + std::to_string(key) + "-";
  return name + string(static_cast<size_t>(key * key % 300), 'k');
}

/* The last third of a thread's keys stand in a namespace of its own, which it empties now and then. */
bool is_flushed(int key) {
  return key >= KEYS * 2 / 3;
}

string namespace_of(int process, int thread, int key) {
  return is_flushed(key) ? "flushed-" + std::to_string(process) + "." + std::to_string(thread) : "kept";
}

class Worker {
public:
  Worker(Block &block, test::Cache &cache, test::Cache &counters, int process, int thread)
      : block_(block), cache_(cache), counters_(counters), process_(process), thread_(thread),
        random_(block.seed * 1000 + static_cast<uint64_t>(process * THREADS + thread)),
        calls_(block, process, random_()), keys_(KEYS) {
    for (int key = 0; key < KEYS; key++)
      keys_[static_cast<size_t>(key)].name = name_of_key(process, thread, key);
  }
  void run() {
    while (!block_.stop)
      step();
  }

private:
  struct Key {
    string name;
    KeyModel model;
    uint64_t writes = 0; /* the number of the last one */
    int wipes = 0;       /* those that the model knows of */
  };

  uint64_t below(uint64_t n) {
    return random_() % n;
  }
  void step();
  void own_key();
  void own_keys(Op op);
  void flush();
  void cleanup();
  void others_key();
  void shared_counter();

  Op random_op();
  int64_t random_deadline_ms();
  int64_t random_ttl_ms();
  size_t random_size();
  uint64_t begin_write(int key);
  void observe(int key, const Request &request, const Reply &reply, int wipes_at_start);
  bool read_hit(const string &bytes, int32_t format, const string &name, Reply *reply, string *wrong);

  Block &block_;
  test::Cache &cache_, &counters_;
  int process_, thread_;
  std::mt19937_64 random_;
  Calls calls_;
  std::vector<Key> keys_;
};

void Worker::step() {
  const uint64_t kind = below(1000);
  if (kind < 700)
    own_key();
  else if (kind < 820)
    others_key();
  else if (kind < 900)
    shared_counter();
  else if (kind < 995)
    own_keys(kind < 935 ? Op::GET_MANY : kind < 980 ? Op::PUT_MANY : Op::REMOVE_MANY);
  else if (kind < 998)
    flush();
  else
    cleanup();
}

Op Worker::random_op() {
  static const Op ops[] = {
      Op::GET, Op::GET, Op::GET,     Op::GET,     Op::GET_INTO,         Op::EXISTS, Op::PUT,    Op::PUT,      Op::PUT,
      Op::PUT, Op::ADD, Op::REPLACE, Op::REPLACE, Op::COMPARE_AND_SWAP, Op::TOUCH,  Op::REMOVE, Op::INCREMENT};
  return ops[below(sizeof ops / sizeof *ops)];
}

int64_t Worker::random_deadline_ms() {
  const uint64_t kind = below(100);
  return kind < 88 ? 1500 : kind < 96 ? 300 : 15 + static_cast<int64_t>(below(30));
}

int64_t Worker::random_ttl_ms() {
  const uint64_t kind = below(100);
  return kind < 25 ? 20 + static_cast<int64_t>(below(900)) : kind < 35 ? 3000 : kind < 80 ? 3600000 : PGCACHE_TTL_NEVER;
}

/* Mostly small; 1 in 100 has up to 40 KiB. */
size_t Worker::random_size() {
  const uint64_t kind = below(100);
  return kind < 60 ? below(250) : kind < 90 ? below(2048) : kind < 99 ? below(8192) : below(40960);
}

uint64_t Worker::begin_write(int key) {
  const uint64_t number = ++keys_[static_cast<size_t>(key)].writes;
  block_.cells[process_][thread_][key].started = number;
  return number;
}

void Worker::observe(int key, const Request &request, const Reply &reply, int wipes_at_start) {
  Key &own = keys_[static_cast<size_t>(key)];
  const string wrong = own.model.observe(request, reply, block_.wipes_begun > own.wipes);
  own.wipes = wipes_at_start;
  block_.cells[process_][thread_][key].floor = own.model.floor();
  if (!wrong.empty())
    block_.violation("key " + own.name.substr(0, 12) + ": " + wrong);
}

/* Which write a hit is of. False and what is wrong when it cannot be one of that key. */
bool Worker::read_hit(const string &bytes, int32_t format, const string &name, Reply *reply, string *wrong) {
  reply->format = format;
  reply->counter = !bytes.empty() && bytes.size() <= 20 && bytes.find_first_not_of("-0123456789") == string::npos;
  if (reply->counter)
    reply->number = std::stoll(bytes);
  else
    reply->write = read_value(bytes, name, wrong);
  return reply->counter || reply->write != 0;
}

void Worker::own_key() {
  const int key = static_cast<int>(below(KEYS));
  Key &own = keys_[static_cast<size_t>(key)];
  Request request;
  request.op = random_op();
  if (op_writes(request.op) && own.model.crowded())
    request.op = Op::GET;
  const int64_t ttl_ms = random_ttl_ms(), deadline_ms = random_deadline_ms();
  const int wipes = block_.wipes_done;
  const int64_t highest = block_.highest_version;
  request.ttl_us = ttl_ms == PGCACHE_TTL_NEVER ? FOREVER_US : ttl_ms * 1000;
  string value;
  if (op_writes(request.op) && request.op != Op::REMOVE && request.op != Op::TOUCH) {
    request.write = begin_write(key);
    request.format = request.op == Op::COMPARE_AND_SWAP ? PGCACHE_FORMAT_BYTES : static_cast<int32_t>(below(3));
    if (request.op != Op::INCREMENT)
      value = make_value(own.name, request.write, random_size());
  }
  request.delta = static_cast<int64_t>(below(1000)) - 300;
  request.initial = static_cast<int64_t>(below(1000000));
  request.expected = own.model.known_version();
  if (request.expected == 0 || below(4) == 0)
    request.expected = highest + 1;
  const string space = namespace_of(process_, thread_, key);
  string buffer;
  size_t buffer_size = 0;
  const Called called = calls_.run(request.op, own.name, deadline_ms, [&](Options options) {
    options.namespace_name = space.c_str();
    const int64_t ttl = calls_.ttl_ms(ttl_ms);
    switch (request.op) {
    case Op::GET:
      return cache_.get(own.name, options);
    case Op::GET_INTO: {
      Answer answer;
      buffer.resize(below(4) == 0 ? 8 : 65536);
      answer.status = pgcache_get_into(cache_.raw(), buffer.data(), buffer.size(), &buffer_size, own.name.data(),
                                       own.name.size(), &options, &answer.error);
      return answer;
    }
    case Op::EXISTS:
      return cache_.exists(own.name, options);
    case Op::PUT:
      return cache_.put(own.name, value, ttl, request.format, options);
    case Op::ADD:
      return cache_.add(own.name, value, ttl, request.format, options);
    case Op::REPLACE:
      return cache_.replace(own.name, value, ttl, request.format, options);
    case Op::COMPARE_AND_SWAP:
      return cache_.compare_and_swap(own.name, value, request.expected, ttl, options);
    case Op::REMOVE:
      return cache_.remove(own.name, options);
    case Op::TOUCH:
      return cache_.touch(own.name, ttl, options);
    default:
      return counters_.increment(own.name, request.delta, request.initial, ttl, options);
    }
  });

  Reply reply;
  reply.status = called.answer.status;
  reply.began_us = called.began_us;
  reply.ended_us = called.ended_us;
  reply.version = std::max<int64_t>(called.answer.version, 0);
  reply.number = called.answer.number;
  string wrong;
  if (reply.status == PGCACHE_OK && request.op == Op::GET) {
    const int64_t left_ms = called.answer.value.ttl_ms();
    reply.ttl_left_us = left_ms == PGCACHE_TTL_NEVER ? FOREVER_US : left_ms * 1000;
    if (!read_hit(called.bytes, called.answer.value.format(), own.name, &reply, &wrong)) {
      block_.violation("get of key " + own.name.substr(0, 12) + " gave " + wrong);
      return;
    }
    block_.raise_highest_version(reply.version);
  } else if (request.op == Op::GET_INTO && (reply.status == PGCACHE_OK || reply.status == PGCACHE_TOO_SMALL)) {
    /* It gives no version and no format: enough that there is an entry, and that the bytes are of that key. */
    buffer.resize(reply.status == PGCACHE_OK ? buffer_size : 0);
    if (reply.status == PGCACHE_OK && !read_hit(buffer, 0, own.name, &reply, &wrong)) {
      block_.violation("get_into of key " + own.name.substr(0, 12) + " gave " + wrong);
      return;
    }
    reply = Reply();
    reply.began_us = called.began_us;
    reply.ended_us = called.ended_us;
    request.op = Op::EXISTS;
  } else if (reply.status == PGCACHE_OK && op_writes(request.op) && request.op != Op::REMOVE) {
    calls_.check_version(request.op, reply.version, highest);
  }
  observe(key, request, reply, wipes);
}

/* Some of the keys of one namespace, each once. */
void Worker::own_keys(Op op) {
  const bool flushed = below(3) == 0;
  const int count = 1 + static_cast<int>(below(15));
  const int first = static_cast<int>(flushed ? KEYS * 2 / 3 : below(KEYS * 2 / 3 - 15));
  const int64_t ttl_ms = random_ttl_ms(), deadline_ms = random_deadline_ms();
  const int wipes = block_.wipes_done;
  const int64_t highest = block_.highest_version;
  std::vector<Request> requests;
  std::vector<string> values;
  std::vector<int> chosen;
  for (int key = first; key < first + count; key++) {
    if (op != Op::GET_MANY && keys_[static_cast<size_t>(key)].model.crowded())
      continue;
    Request request;
    request.op = op == Op::GET_MANY ? Op::GET : op == Op::PUT_MANY ? Op::PUT : Op::REMOVE;
    request.ttl_us = ttl_ms == PGCACHE_TTL_NEVER ? FOREVER_US : ttl_ms * 1000;
    if (op == Op::PUT_MANY) {
      request.write = begin_write(key);
      request.format = static_cast<int32_t>(below(3));
    }
    values.push_back(op == Op::PUT_MANY ? make_value(keys_[static_cast<size_t>(key)].name, request.write, random_size())
                                        : string());
    requests.push_back(request);
    chosen.push_back(key);
  }
  if (chosen.empty())
    return;
  test::Items items;
  for (size_t i = 0; i < chosen.size(); i++)
    items.add(keys_[static_cast<size_t>(chosen[i])].name, values[i], calls_.ttl_ms(ttl_ms)).format = requests[i].format;
  const string space = namespace_of(process_, thread_, first);
  const Called called = calls_.run(op, "", deadline_ms, [&](Options options) {
    Answer answer;
    options.namespace_name = space.c_str();
    const auto call = op == Op::GET_MANY   ? pgcache_get_many
                      : op == Op::PUT_MANY ? pgcache_put_many
                                           : pgcache_remove_many;
    answer.status = call(cache_.raw(), items.data(), items.size(), &options, &answer.error);
    return answer;
  });
  for (size_t i = 0; i < chosen.size(); i++) {
    Reply reply;
    reply.status = items[i].status;
    reply.began_us = called.began_us;
    reply.ended_us = called.ended_us;
    reply.version = items[i].version;
    const string &name = keys_[static_cast<size_t>(chosen[i])].name;
    string wrong;
    if (called.answer.status < 0 ? reply.status != called.answer.status : reply.status < 0)
      block_.violation(string(op_name(op)) + " gave " + pgcache_status_name(called.answer.status) + ", but an item " +
                       pgcache_status_name(reply.status));
    if (op == Op::GET_MANY && reply.status == PGCACHE_OK) {
      const int64_t left_ms = pgcache_value_ttl_ms(items[i].result);
      reply.ttl_left_us = left_ms == PGCACHE_TTL_NEVER ? FOREVER_US : left_ms * 1000;
      if (!read_hit(items.bytes(i), pgcache_value_format(items[i].result), name, &reply, &wrong)) {
        block_.violation("get_many gave for key " + name.substr(0, 12) + " " + wrong);
        continue;
      }
      block_.raise_highest_version(reply.version);
    }
    if (op == Op::PUT_MANY && reply.status == PGCACHE_OK)
      calls_.check_version(op, reply.version, highest);
    observe(chosen[i], requests[i], reply, wipes);
  }
}

/* A put that went through before is gone afterwards; after an error each may be there or not. */
void Worker::flush() {
  const int wipes = block_.wipes_done;
  const string space = namespace_of(process_, thread_, KEYS - 1);
  for (int key = KEYS * 2 / 3; key < KEYS; key++) {
    if (keys_[static_cast<size_t>(key)].model.crowded())
      return;
  }
  const Called called = calls_.run(Op::FLUSH, "", 1500, [&](Options options) {
    options.namespace_name = space.c_str();
    return cache_.flush(PGCACHE_FLUSH_NAMESPACE, options);
  });
  for (int key = KEYS * 2 / 3; key < KEYS; key++) {
    Request request;
    request.op = Op::REMOVE;
    Reply reply;
    reply.began_us = called.began_us;
    reply.ended_us = called.ended_us;
    /* UNKNOWN: whether it was this key's turn is not known either. */
    reply.status = called.answer == PGCACHE_OK ? PGCACHE_MISS : PGCACHE_UNKNOWN;
    if (reply.status == PGCACHE_MISS) {
      /* Whatever it was, it is gone now: as if it had been lost, and that was seen. */
      Key &own = keys_[static_cast<size_t>(key)];
      const string wrong = own.model.observe(request, reply, true);
      own.wipes = wipes;
      block_.cells[process_][thread_][key].floor = own.model.floor();
      if (!wrong.empty())
        block_.violation("key " + own.name.substr(0, 12) + " after flush: " + wrong);
    } else {
      observe(key, request, reply, wipes);
    }
  }
}

void Worker::cleanup() {
  if (below(2) == 0) { /* a slice of it; the walk belongs to all processes */
    calls_.run(Op::CLEANUP, "", 1500, [&](const Options &options) {
      Answer answer;
      pgcache_cleanup_progress progress = PGCACHE_CLEANUP_PROGRESS_INIT;
      answer.status = pgcache_cleanup_some(cache_.raw(), &progress, 20, &options, &answer.error);
      return answer;
    });
    return;
  }
  calls_.run(Op::CLEANUP, "", 1500, [&](const Options &options) { return cache_.cleanup(options); });
}

void Worker::others_key() {
  const int process = static_cast<int>(below(PROCESSES)), thread = static_cast<int>(below(THREADS)),
            key = static_cast<int>(below(KEYS));
  const string name = name_of_key(process, thread, key), space = namespace_of(process, thread, key);
  const Cell &cell = block_.cells[process][thread][key];
  const uint64_t floor = cell.floor;
  const Called called = calls_.run(Op::GET, name, random_deadline_ms(), [&](Options options) {
    options.namespace_name = space.c_str();
    return cache_.get(name, options);
  });
  if (called.answer != PGCACHE_OK)
    return;
  Reply reply;
  string wrong;
  const uint64_t started = cell.started;
  block_.raise_highest_version(called.answer.value.version());
  if (!read_hit(called.bytes, called.answer.value.format(), name, &reply, &wrong))
    block_.violation("get of key " + name.substr(0, 12) + " of another thread gave " + wrong);
  else if (!reply.counter && (reply.write < floor || reply.write > started))
    block_.violation("get of key " + name.substr(0, 12) + " of another thread gave write " +
                     std::to_string(reply.write) + "; possible was " + std::to_string(floor) + " to " +
                     std::to_string(started));
}

/* The counter's key carries the number of wipes, so that each begins at 0; what is said of it holds if none came in
   between. */
void Worker::shared_counter() {
  const int wipes = block_.wipes_done, number = static_cast<int>(below(COUNTERS));
  const string name = "counter-" + std::to_string(wipes) + "-" + std::to_string(number);
  Counter &counter = block_.counters[wipes][number];
  const int64_t delta = 1 + static_cast<int64_t>(below(9));
  const int64_t least = counter.acked + delta, refused = counter.refused, highest = block_.highest_version;
  counter.begun += delta;
  const Called called = calls_.run(Op::INCREMENT, name, random_deadline_ms(), [&](Options options) {
    options.namespace_name = "shared";
    return counters_.increment(name, delta, 0, PGCACHE_TTL_NEVER, options);
  });
  const int64_t most = counter.begun - refused, given = called.answer.number;
  if (called.answer == PGCACHE_OK) {
    counter.acked += delta;
    calls_.check_version(Op::INCREMENT, called.answer.version, highest);
    if (block_.wipes_begun == wipes && (given < least || given > most))
      block_.violation("counter " + name + " is " + std::to_string(given) + ", possible was " + std::to_string(least) +
                       " to " + std::to_string(most));
  } else if (called.answer != PGCACHE_UNKNOWN) {
    counter.refused += delta;
  }
}

} // namespace

void work_thread(Block &block, test::Cache &cache, test::Cache &counters, int process, int thread) {
  Worker(block, cache, counters, process, thread).run();
}

} // namespace soak
