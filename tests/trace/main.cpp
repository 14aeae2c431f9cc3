/*
 * main.cpp - runs traces of keys against the near cache, and against plain LRU and FIFO of the same size, and prints the
 * hit ratios: whether its policy is worth having.
 *
 * Real traces cannot be part of the project; without a file it makes its own, from a seed. It speaks to the library's own
 * near cache (state/near.h), not to a model of it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <getopt.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <list>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* C's flexible array members */
extern "C" {
#include "state/near.h"
}
#pragma GCC diagnostic pop

namespace {

struct Request {
  uint32_t key;
  uint32_t size; /* of the value */
};

struct Trace {
  std::string name;
  std::vector<Request> requests;
  uint32_t keys = 0; /* numbers of keys are below */
};

/* ---- Traces from files and from a seed ----------------------------------------------------------------------------------- */

/* Either a key per line, or time,key,size. */
Trace read_trace(const std::string &path) {
  Trace trace{path.substr(path.rfind('/') + 1), {}, 0};
  std::ifstream file;
  if (path != "-")
    file.open(path);
  std::istream &in = path == "-" ? std::cin : file;
  if (!in) {
    std::fprintf(stderr, "trace: cannot read the file %s\n", path.c_str());
    exit(2);
  }
  std::unordered_map<std::string, uint32_t> numbers;
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(','), second = first == std::string::npos ? first : line.find(',', first + 1);
    std::string key = line;
    unsigned long size = 100;
    if (second != std::string::npos) {
      key = line.substr(first + 1, second - first - 1);
      char *end = nullptr;
      size = std::strtoul(line.c_str() + second + 1, &end, 10);
      if (end == line.c_str() + second + 1)
        continue; /* the line with the names of the columns */
    }
    const auto number = numbers.emplace(key, static_cast<uint32_t>(numbers.size()));
    trace.requests.push_back({number.first->second, static_cast<uint32_t>(std::min(size, 1UL << 30))});
  }
  trace.keys = static_cast<uint32_t>(numbers.size());
  return trace;
}

class Zipf {
public:
  Zipf(uint32_t keys, double exponent) {
    double sum = 0;
    for (uint32_t i = 1; i <= keys; i++)
      sums_.push_back(sum += std::pow(i, -exponent));
  }
  uint32_t operator()(std::mt19937_64 &random) const {
    const double at = std::uniform_real_distribution<double>(0, sums_.back())(random);
    return static_cast<uint32_t>(std::lower_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
  }

private:
  std::vector<double> sums_;
};

/* Sizes as they are in practice: many small, few large; the same for each request of a key. */
uint32_t size_of(uint32_t key) {
  std::mt19937 random(key);
  return static_cast<uint32_t>(std::lognormal_distribution<double>(5.5, 1.2)(random)) % 60000;
}

constexpr uint32_t generated_keys = 50000;
constexpr size_t generated_requests = 1000000;

Trace generate(const std::string &name, const std::function<uint32_t(size_t)> &key_at) {
  Trace trace{name, {}, 0};
  std::unordered_map<uint32_t, uint32_t> sizes; /* known so far */
  for (size_t i = 0; i < generated_requests; i++) {
    const uint32_t key = key_at(i);
    const auto known = sizes.find(key);
    const uint32_t size = known != sizes.end() ? known->second : sizes.emplace(key, size_of(key)).first->second;
    trace.requests.push_back({key, size});
    trace.keys = std::max(trace.keys, key + 1);
  }
  return trace;
}

std::vector<Trace> generated(uint64_t seed) {
  std::mt19937_64 random(seed);
  const Zipf flat(generated_keys, 0.8), steep(generated_keys, 1.0);
  return {
      generate("zipf 0.8", [&](size_t) { return flat(random); }),
      generate("zipf 1.0", [&](size_t) { return steep(random); }),
      /* Every fourth request belongs to somebody who reads a table from end to end, again and again. */
      generate("zipf 1.0 and a scan",
               [&](size_t i) {
                 return i % 4 == 0 ? generated_keys + static_cast<uint32_t>(i / 4 % 100000) : steep(random);
               }),
      /* Ten times in the trace all that was popular ceases to be. */
      generate("zipf 1.0, shifting",
               [&](size_t i) {
                 return (steep(random) + static_cast<uint32_t>(i / (generated_requests / 10)) * 5000) % generated_keys;
               }),
  };
}

/* ---- Caches ------------------------------------------------------------------------------------------------------------------ */

/* LRU, or FIFO, which moves nothing at a hit. */
class Queue {
public:
  Queue(int64_t room, bool by_use) : room_(room), by_use_(by_use) {}
  bool request(uint32_t key, int64_t weight) {
    const auto found = where_.find(key);
    if (found != where_.end()) {
      if (by_use_)
        order_.splice(order_.begin(), order_, found->second);
      return true;
    }
    if (weight > room_ / 8)
      return false; /* as the near cache does */
    for (taken_ += weight; taken_ > room_; order_.pop_back()) {
      taken_ -= order_.back().second;
      where_.erase(order_.back().first);
    }
    order_.emplace_front(key, weight);
    where_[key] = order_.begin();
    return false;
  }

private:
  int64_t room_, taken_ = 0;
  bool by_use_;
  std::list<std::pair<uint32_t, int64_t>> order_;
  std::unordered_map<uint32_t, std::list<std::pair<uint32_t, int64_t>>::iterator> where_;
};

/* What an entry of the near cache takes beyond its value's block: a slot and its part of the indexes and notes. */
constexpr int64_t entry_bytes = 64 + 20;

double run_queue(const Trace &trace, int64_t room, bool in_bytes, bool by_use) {
  Queue queue(room, by_use);
  size_t hits = 0;
  for (const Request &request : trace.requests) {
    const int64_t block = (static_cast<int64_t>(sizeof(pgcache_value) + request.size) + 1 + 8 + 15) / 16 * 16;
    hits += queue.request(request.key, in_bytes ? block + entry_bytes : 1) ? 1 : 0;
  }
  return 100.0 * static_cast<double>(hits) / static_cast<double>(trace.requests.size());
}

pgc_near *near_or_exit(int64_t room, bool in_bytes) {
  pgc_near *near = in_bytes ? pgc_near_new(room, 0, 1000000, 0) : pgc_near_new(INT64_C(1) << 36, room, 1000000, 0);
  if (near == nullptr) {
    std::fputs("trace: out of memory\n", stderr);
    exit(1);
  }
  pgc_near_prove(near, 0, 0);
  return near;
}

double run_near(const Trace &trace, int64_t room, bool in_bytes) {
  pgc_near *near = near_or_exit(room, in_bytes);
  for (const Request &request : trace.requests) {
    const pgc_near_key key = pgc_near_key_of(near, "trace", &request.key, sizeof request.key);
    pgcache_value *value = nullptr;
    if (pgc_near_find(near, &key, 0, &value) == PGC_NEAR_NOTHING) {
      pgc_digest digest;
      pgc_digest_of_key(&digest, "trace", &request.key, sizeof request.key);
      value = pgc_value_new(in_bytes ? request.size : 0);
      pgc_near_fill(near, &key, &digest, nullptr, 0, pgc_near_begin(near, &digest), value, 0);
    }
    pgc_value_release(value);
  }
  pgc_near_counts counts;
  pgc_near_count(near, &counts);
  pgc_near_free(near);
  if ((in_bytes ? counts.bytes : counts.entries) > room) {
    std::fprintf(stderr, "trace: the near cache is over its limit\n");
    exit(1);
  }
  return 100.0 * static_cast<double>(counts.hits) / static_cast<double>(trace.requests.size());
}

/* The near cache's own size when it is empty: LRU and FIFO get as much less. */
int64_t empty_bytes(int64_t room) {
  pgc_near *near = near_or_exit(room, true);
  pgc_near_counts counts;
  pgc_near_count(near, &counts);
  pgc_near_free(near);
  return counts.bytes;
}

/* ---- The command --------------------------------------------------------------------------------------------------------------- */

constexpr double target_average = 2, target_worst = -2;

struct Result {
  double sum = 0, worst = 100;
  int cells = 0;
};

void compare(const Trace &trace, int64_t room, bool in_bytes, Result &result) {
  const int64_t for_queues = in_bytes ? room - empty_bytes(room) : room;
  const double lru = run_queue(trace, for_queues, in_bytes, true), fifo = run_queue(trace, for_queues, in_bytes, false),
               near = run_near(trace, room, in_bytes);
  std::printf("%-22s %10zu %9u %12lld %-7s %7.2f %7.2f %7.2f %+7.2f\n", trace.name.c_str(), trace.requests.size(),
              trace.keys, static_cast<long long>(room), in_bytes ? "bytes" : "entries", lru, fifo, near, near - lru);
  result.sum += near - lru;
  result.worst = std::min(result.worst, near - lru);
  result.cells++;
}

std::vector<int64_t> numbers_of(const char *text) {
  std::vector<int64_t> numbers;
  for (char *end; *text != '\0'; text = *end == ',' ? end + 1 : end) {
    const int64_t number = std::strtoll(text, &end, 10);
    if (end == text || number < 1 || (*end != '\0' && *end != ',')) {
      std::fputs("trace: sizes are numbers above 0 with commas between\n", stderr);
      exit(2);
    }
    numbers.push_back(number);
  }
  return numbers;
}

void usage(FILE *out) {
  std::fputs("usage: pgcache-trace [--entries N,...] [--bytes N,...] [--seed N] [FILE...]\n"
             "  Prints the hit ratios, in percent, of LRU, FIFO and the near cache.\n"
             "  FILE       a key per line, or time,key,size; - is standard input; none: generated traces\n"
             "  --entries  sizes of the caches (default: 1, 5 and 10 % of the trace's keys)\n"
             "  --bytes    sizes with all overhead, values of the trace's sizes (100 bytes if it has none)\n"
             "  --seed     of the generated traces (default: 1)\n"
             "Traces of disk blocks (start, count, ...) become keys with: awk '{for(i=0;i<$2;i++)print $1+i}'\n",
             out);
}

} // namespace

int main(int argc, char **argv) {
  static const option options[] = {{"entries", required_argument, nullptr, 'e'},
                                   {"bytes", required_argument, nullptr, 'b'},
                                   {"seed", required_argument, nullptr, 's'},
                                   {"help", no_argument, nullptr, 'h'},
                                   {nullptr, 0, nullptr, 0}};
  std::vector<int64_t> entries, bytes;
  uint64_t seed = 1;
  for (int what; (what = getopt_long(argc, argv, "h", options, nullptr)) != -1;) {
    if (what == 'e')
      entries = numbers_of(optarg);
    else if (what == 'b')
      bytes = numbers_of(optarg);
    else if (what == 's')
      seed = std::strtoull(optarg, nullptr, 10);
    else {
      usage(what == 'h' ? stdout : stderr);
      return what == 'h' ? 0 : 2;
    }
  }
  std::vector<Trace> traces;
  for (int i = optind; i < argc; i++)
    traces.push_back(read_trace(argv[i]));
  if (traces.empty())
    traces = generated(seed);
  std::printf("%-22s %10s %9s %12s %-7s %7s %7s %7s %7s\n", "trace", "requests", "keys", "size", "", "LRU", "FIFO",
              "near", "to LRU");
  Result result;
  for (const Trace &trace : traces) {
    if (trace.requests.empty()) {
      std::fprintf(stderr, "trace: there is no request in %s\n", trace.name.c_str());
      return 2;
    }
    std::vector<int64_t> sizes = entries;
    if (entries.empty() && bytes.empty()) {
      for (const int64_t percent : {1, 5, 10})
        sizes.push_back(std::max<int64_t>(1, trace.keys * percent / 100));
    }
    for (const int64_t size : sizes)
      compare(trace, size, false, result);
    for (const int64_t size : bytes)
      compare(trace, size, true, result);
  }
  const double average = result.sum / result.cells;
  const bool good = average >= target_average && result.worst >= target_worst;
  std::printf("to LRU on average %+.2f points, at worst %+.2f; wanted: at least %+.0f and %+.0f: %s\n", average,
              result.worst, target_average, target_worst, good ? "reached" : "MISSED");
  return good ? 0 : 1;
}
