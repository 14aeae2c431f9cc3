/*
 * watch.cpp - see watch.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/watch.hpp"

#include "soak/calls.hpp"
#include "soak/faults.hpp"
#include "soak/process.hpp"
#include "support/sanitizer.hpp"

#include <algorithm>
#include <cstdio>

namespace soak {

using std::string;

namespace {

/* What may be more at the end than it was after the warm-up. Resident memory: heaps of many threads fragment, and how much
   they do so differs from run to run by some MiB. What is in use of them differs by the answers under way. Descriptors and
   connections: a pool need not have been full at the moment of a sample, so they are compared with what full pools hold;
   one that was just closed is seen a moment longer. */
constexpr int64_t MEMORY_ROOM_KIB = 16 * 1024;
constexpr int64_t HEAP_ROOM_KIB = 1024;
constexpr int64_t DESCRIPTORS_ROOM = 2;
constexpr int64_t CONNECTIONS_ROOM = 4; /* closed, and the server has not noticed yet */
/* What libraries keep for the life of the process once they were used. */
constexpr int64_t LEFT_HEAP_KIB = 128;
/* The live entries take some MiB. What was overwritten waits for the next vacuum: at 15 MB/s of values and a naptime of 5 s
   that comes to 150 MiB. */
constexpr int64_t RELATION_MOST = 512 << 20;

const bool memory_is_ours = !test::is_sanitized(); /* a sanitizer keeps freed memory, and shadows */

double mib(double bytes) {
  return bytes / 1048576;
}

template <class Get> int64_t middle(const std::vector<const Sample *> &samples, Get get) {
  std::vector<int64_t> values;
  for (const Sample *sample : samples)
    values.push_back(get(*sample));
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

template <class Get> int64_t most(const std::vector<const Sample *> &samples, Get get) {
  int64_t out = 0;
  for (const Sample *sample : samples)
    out = std::max(out, get(*sample));
  return out;
}

template <class Get> int64_t least(const std::vector<const Sample *> &samples, Get get) {
  int64_t out = samples.empty() ? 0 : INT64_MAX;
  for (const Sample *sample : samples)
    out = std::min(out, get(*sample));
  return out;
}

} // namespace

Watch::Watch(Block &block, string admin, std::array<int, PROCESSES> pids, bool verbose)
    : block_(block), admin_(std::move(admin)), pids_(pids), verbose_(verbose) {
  if (verbose_)
    printf("%6s %9s %9s %8s %7s  %-17s %-9s %-7s %5s %8s %5s  %s\n", "second", "ops/s", "hits/s", "misses/s", "errors",
           "memory (heap) MiB", "descr.", "threads", "conn.", "relation", "wrong", "faults");
}

void Watch::ask_server(Sample *sample) {
  if (!samples_.empty()) { /* if it cannot be asked now */
    sample->connections = samples_.back().connections;
    sample->relation_bytes = samples_.back().relation_bytes;
  }
  try {
    if (!pg_)
      pg_ = std::make_unique<test::Pg>(admin_ + " connect_timeout=2 options='-c statement_timeout=900'");
    const auto row = pg_->query("SELECT (SELECT count(*) FROM pg_stat_activity WHERE usename = '" + string(role) +
                                "'), sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE c.relkind = 'r' "
                                "AND c.relnamespace = to_regnamespace('" +
                                block_.schema + "')");
    if (!row.empty()) {
      sample->connections = std::stoll(row[0][0]);
      sample->relation_bytes = row[0][1] == "NULL" ? 0 : std::stoll(row[0][1]);
    }
  } catch (const std::exception &) {
    pg_.reset();
  }
}

void Watch::look(double second, bool quiet, const string &fault) {
  Sample sample;
  sample.second = second;
  sample.quiet = quiet;
  for (int process = 0; process < PROCESSES; process++) {
    sample.memory_kib[process] = memory_of(pids_[static_cast<size_t>(process)]);
    sample.heap_kib[process] = block_.heap_bytes[process] / 1024;
    sample.descriptors[process] = descriptors_of(pids_[static_cast<size_t>(process)]);
    sample.threads[process] = threads_of(pids_[static_cast<size_t>(process)]);
    sample.hits += block_.outcomes[process][PGCACHE_OK];
    sample.misses += block_.outcomes[process][PGCACHE_MISS];
    sample.others += block_.outcomes[process][PGCACHE_EXISTS] + block_.outcomes[process][PGCACHE_TOO_SMALL];
    for (int status = 1; status < ERRORS; status++)
      (status == -PGCACHE_NOT_A_COUNTER ? sample.others : sample.errors) += block_.errors[process][status];
  }
  for (const auto &count : block_.operations)
    sample.operations += count;
  ask_server(&sample);
  if (!fault.empty())
    faults_ += (faults_.empty() ? "" : ", ") + fault;
  if (second - printed_.second >= 9.5 && verbose_)
    print_row(sample, faults_);
  samples_.push_back(sample);
}

void Watch::print_row(const Sample &now, const string &faults) {
  const double seconds = now.second - printed_.second;
  const auto rate = [&](int64_t Sample::*count) { return static_cast<double>(now.*count - printed_.*count) / seconds; };
  const auto both = [](const int64_t(&of)[PROCESSES], int64_t divisor) {
    string out;
    for (const int64_t one : of)
      out += (out.empty() ? "" : " + ") + std::to_string(one / divisor);
    return out;
  };
  printf("%6.0f %9.0f %9.0f %8.0f %7lld  %-17s %-9s %-7s %5lld %6.1f M %5d  %s\n", now.second,
         rate(&Sample::operations), rate(&Sample::hits), rate(&Sample::misses),
         static_cast<long long>(now.errors - printed_.errors),
         (both(now.memory_kib, 1024) + " (" + both(now.heap_kib, 1024) + ")").c_str(), both(now.descriptors, 1).c_str(),
         both(now.threads, 1).c_str(), static_cast<long long>(now.connections),
         mib(static_cast<double>(now.relation_bytes)), block_.violations.load(), faults.c_str());
  fflush(stdout);
  printed_ = now;
  faults_.clear();
}

std::vector<string> Watch::judge(int64_t connections_left) const {
  std::vector<string> findings;
  char text[300];
  for (int i = 0; i < NOTES && block_.note_written[i]; i++)
    findings.emplace_back(block_.notes[i]);
  if (block_.violations > NOTES)
    findings.push_back("and " + std::to_string(block_.violations - NOTES) + " more");

  /* The warm-up is the first third, at most 2 minutes; the end is the quiet time after the last fault. */
  std::vector<const Sample *> warm, end;
  const double total = samples_.empty() ? 0 : samples_.back().second;
  for (const auto &sample : samples_) {
    if (sample.second > 1 && sample.second <= std::min(total / 3, 120.0))
      warm.push_back(&sample);
    if (sample.second > total - 4 && sample.quiet)
      end.push_back(&sample);
  }
  if (end.size() >= 2) { /* whatever struck before, all works again */
    const int64_t calls = end.back()->operations - end.front()->operations;
    const int64_t errors = end.back()->errors - end.front()->errors;
    if (errors * 20 > calls || calls == 0)
      findings.push_back(std::to_string(errors) + " of " + std::to_string(calls) +
                         " calls failed in the last seconds, though nothing strikes");
  }
  for (int process = 0; process < PROCESSES && !warm.empty() && !end.empty(); process++) {
    const int64_t memory_then = most(warm, [&](const Sample &s) { return s.memory_kib[process]; });
    const int64_t memory_now = middle(end, [&](const Sample &s) { return s.memory_kib[process]; });
    if (memory_is_ours && memory_now > memory_then + memory_then / 10 + MEMORY_ROOM_KIB) {
      snprintf(text, sizeof text, "process %d: memory grew from %.1f MiB after the warm-up to %.1f MiB", process,
               static_cast<double>(memory_then) / 1024, static_cast<double>(memory_now) / 1024);
      findings.emplace_back(text);
    }
    const int64_t heap_then = most(warm, [&](const Sample &s) { return s.heap_kib[process]; });
    const int64_t heap_now = middle(end, [&](const Sample &s) { return s.heap_kib[process]; });
    if (memory_is_ours && heap_now > heap_then + HEAP_ROOM_KIB) {
      snprintf(text, sizeof text, "process %d: memory in use grew from %lld KiB after the warm-up to %lld KiB", process,
               static_cast<long long>(heap_then), static_cast<long long>(heap_now));
      findings.emplace_back(text);
    }
    const int64_t then =
        std::max<int64_t>(most(warm, [&](const Sample &s) { return s.descriptors[process]; }), 2 * POOL_MAX);
    const int64_t now = middle(end, [&](const Sample &s) { return s.descriptors[process]; });
    if (now > then + DESCRIPTORS_ROOM) {
      snprintf(text, sizeof text, "process %d: descriptors grew from %lld after the warm-up to %lld", process,
               static_cast<long long>(then), static_cast<long long>(now));
      findings.emplace_back(text);
    }
  }
  /* One that was closed lasts for as long as a busy server takes to notice; one that leaks is there in every sample. */
  const int64_t connections = least(end, [](const Sample &s) { return s.connections; });
  constexpr int64_t held = static_cast<int64_t>(PROCESSES) * (POOL_MAX + 1); /* with that of the near cache */
  if (connections > held + CONNECTIONS_ROOM)
    findings.push_back("the server has " + std::to_string(connections) + " connections of the workers, who hold " +
                       std::to_string(held));
  int64_t relation_most = 0;
  for (const auto &sample : samples_)
    relation_most = std::max(relation_most, sample.relation_bytes);
  if (relation_most > RELATION_MOST) {
    snprintf(text, sizeof text, "the tables grew to %.1f MiB, more than %.1f MiB",
             mib(static_cast<double>(relation_most)), mib(static_cast<double>(RELATION_MOST)));
    findings.emplace_back(text);
  }
  for (int process = 0; process < PROCESSES; process++) {
    if (memory_is_ours && block_.left_heap_bytes[process] > LEFT_HEAP_KIB * 1024)
      findings.push_back("process " + std::to_string(process) + ": " +
                         std::to_string(block_.left_heap_bytes[process] / 1024) +
                         " KiB of memory left in use after pgcache_free()");
    if (block_.left_descriptors[process] != 0)
      findings.push_back("process " + std::to_string(process) + ": " +
                         std::to_string(block_.left_descriptors[process]) + " descriptors left after pgcache_free()");
    if (block_.left_threads[process] != 0)
      findings.push_back("process " + std::to_string(process) + ": " + std::to_string(block_.left_threads[process]) +
                         " threads left after pgcache_free()");
  }
  if (connections_left != 0)
    findings.push_back(std::to_string(connections_left) + " connections left on the server after pgcache_free()");
  if (block_.operations[static_cast<int>(Op::GET)] == 0)
    findings.emplace_back("no operation was done");
  return findings;
}

void Watch::print_summary(double seconds, const std::vector<string> &findings) const {
  const Sample last = samples_.empty() ? Sample() : samples_.back();
  int64_t statuses[OUTCOMES + ERRORS] = {}; /* from the lowest error up */
  for (int process = 0; process < PROCESSES; process++) {
    for (int i = 0; i < OUTCOMES; i++)
      statuses[ERRORS - 1 + i] += block_.outcomes[process][i];
    for (int i = 1; i < ERRORS; i++)
      statuses[ERRORS - 1 - i] += block_.errors[process][i];
  }
  printf("\n%-14s %11s %9s\n", "operation", "calls", "per s");
  for (int op = 0; op < static_cast<int>(Op::COUNT); op++) {
    const int64_t count = block_.operations[op];
    printf("%-14s %11lld %9.0f\n", op_name(static_cast<Op>(op)), static_cast<long long>(count),
           static_cast<double>(count) / seconds);
  }
  printf("\n%-32s %11s\n", "status", "calls");
  string json;
  for (int i = OUTCOMES + ERRORS - 2; i >= 0; i--) {
    if (statuses[i] == 0)
      continue;
    const char *name = pgcache_status_name(static_cast<pgcache_status>(i - ERRORS + 1));
    printf("%-32s %11lld\n", name, static_cast<long long>(statuses[i]));
    json += (json.empty() ? "\"" : ",\"") + string(name) + "\":" + std::to_string(statuses[i]);
  }
  const double over_ms = static_cast<double>(block_.worst_over_us) / 1000;
  printf("\nwipes of everything: %d; the latest end of a call: %.0f ms past its deadline (%s)\n",
         block_.wipes_done.load(), over_ms, op_name(static_cast<Op>(block_.worst_over_op.load())));
  int64_t relation_most = 0, memory_most = 0;
  for (const auto &sample : samples_) {
    relation_most = std::max(relation_most, sample.relation_bytes);
    memory_most = std::max(memory_most, std::max(sample.memory_kib[0], sample.memory_kib[1]));
  }
  printf(
      "{\"case\":\"soak\",\"seed\":%llu,\"seconds\":%.0f,\"operations\":%lld,\"hits\":%lld,\"misses\":%lld,"
      "\"errors\":%lld,\"statuses\":{%s},\"wipes\":%d,\"worst_over_deadline_ms\":%.0f,\"memory_kib\":[%lld,%lld],"
      "\"heap_kib\":[%lld,%lld],\"heap_left_bytes\":[%lld,%lld],"
      "\"memory_most_kib\":%lld,\"descriptors\":[%lld,%lld],\"threads\":[%lld,%lld],\"connections\":%lld,"
      "\"relation_bytes\":%lld,\"relation_most_bytes\":%lld,\"violations\":%d,\"findings\":%zu,\"library\":\"%s\"}\n",
      static_cast<unsigned long long>(block_.seed), seconds, static_cast<long long>(last.operations),
      static_cast<long long>(last.hits), static_cast<long long>(last.misses), static_cast<long long>(last.errors),
      json.c_str(), block_.wipes_done.load(), over_ms, static_cast<long long>(last.memory_kib[0]),
      static_cast<long long>(last.memory_kib[1]), static_cast<long long>(last.heap_kib[0]),
      static_cast<long long>(last.heap_kib[1]), static_cast<long long>(block_.left_heap_bytes[0]),
      static_cast<long long>(block_.left_heap_bytes[1]), static_cast<long long>(memory_most),
      static_cast<long long>(last.descriptors[0]), static_cast<long long>(last.descriptors[1]),
      static_cast<long long>(last.threads[0]), static_cast<long long>(last.threads[1]),
      static_cast<long long>(last.connections), static_cast<long long>(last.relation_bytes),
      static_cast<long long>(relation_most), block_.violations.load(), findings.size(), pgcache_version());
}

} // namespace soak
