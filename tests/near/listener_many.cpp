/*
 * listener_many.cpp - many listening handles on one server: what they cost when nobody writes and when several do, and how
 * soon each hears. The long form has 200 of them for half a minute.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "reader.hpp"

#include "support/private_server.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <dirent.h>
#include <fstream>
#include <memory>
#include <sstream>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* Seconds of a CPU that the server's processes have used; of those that live. */
double spent_by(pid_t server) {
  double ticks = 0;
  DIR *processes = opendir("/proc");
  for (const dirent *entry; (entry = readdir(processes)) != nullptr;) {
    std::ifstream file(string("/proc/") + entry->d_name + "/stat");
    string line;
    if (!std::getline(file, line))
      continue;
    std::istringstream fields(line.substr(line.rfind(')') + 2));
    string word;
    long number = 0, parent = 0;
    fields >> word >> parent;
    if (parent != server && std::atoi(entry->d_name) != server)
      continue;
    for (int i = 3; i <= 11; i++)
      fields >> word;
    for (int i = 0; i < 2 && fields >> number; i++) /* user, system */
      ticks += static_cast<double>(number);
  }
  closedir(processes);
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double spent_here() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double resident_mib() {
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

/* Of a CPU, in percent: the server's part and that of this process, with all handles. */
struct Cost {
  explicit Cost(pid_t server) : server_(server) {}
  string text() const {
    const double seconds = static_cast<double>(now_ms() - begun_) / 1000;
    char out[100];
    snprintf(out, sizeof out, "server %.1f %%, here %.1f %% of a CPU", (spent_by(server_) - servers_) / seconds * 100,
             (spent_here() - own_) / seconds * 100);
    return out;
  }

private:
  pid_t server_;
  int64_t begun_ = now_ms();
  double servers_ = spent_by(server_), own_ = spent_here();
};

/* Writes other keys at this rate, as long as it lives. */
class Writers {
public:
  Writers(const Store &store, int threads, int per_second) {
    for (int t = 0; t < threads; t++)
      threads_.emplace_back([this, t, threads, per_second, cache = std::make_shared<Cache>(store.open())] {
        const int64_t begun = pgc_monotonic_us();
        for (int64_t i = 0; !stop_; i++) {
          written +=
              cache->put("w" + std::to_string(t) + "-" + std::to_string(i % 1000), string(100, 'x')) == PGCACHE_OK;
          const int64_t ahead = begun + (i + 1) * 1000000 * threads / per_second - pgc_monotonic_us();
          if (ahead > 0)
            usleep(static_cast<useconds_t>(ahead));
        }
      });
  }
  ~Writers() {
    stop_ = true;
    for (std::thread &thread : threads_)
      thread.join();
  }
  std::atomic<int64_t> written{0};

private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

} // namespace

TEST_CASE("[A31] Many handles listen to one server; each hears in time, beside writers", "[A31][many]") {
  const int handles = longer(24, 200), seconds = longer(2, 30), per_second = longer(200, 1000);
  const int64_t bound_ms = 2000;
  PrivateServer server({"max_connections = 300", "fsync = off"});
  Store store({}, server.conninfo());
  std::vector<std::unique_ptr<Reader>> readers;
  const double before_mib = resident_mib();
  for (int i = 0; i < handles; i++) {
    readers.push_back(std::make_unique<Reader>(
        store, Settings{{"near_staleness_ms", std::to_string(bound_ms)}, {"near_max_bytes", "1048576"}},
        server.conninfo()));
    REQUIRE(readers.back()->fence(60000) == PGCACHE_OK);
  }
  const double mib = (resident_mib() - before_mib) / handles;
  const Cost idle(server.pid());
  sleep_ms(longer(500, 5000));
  const string idle_cost = idle.text();

  std::vector<double> ages;
  int64_t written = 0, oldest_hit_us = 0;
  string busy_cost;
  {
    Writers writers(store, 4, per_second);
    const Cost busy(server.pid());
    const size_t samples = 4;
    for (int64_t end = now_ms() + seconds * 1000, round = 0; now_ms() < end; round++) {
      REQUIRE(store.cache.put("k", std::to_string(round)) == PGCACHE_OK);
      for (size_t i = 0; i < samples; i++)
        REQUIRE(readers[i * readers.size() / samples]->keep("k"));
      REQUIRE(store.cache.put("k", "new") == PGCACHE_OK);
      const int64_t acknowledged = pgc_monotonic_us();
      bool heard[samples] = {};
      for (size_t left = samples; left > 0; usleep(100)) {
        for (size_t i = 0; i < samples; i++) {
          const int64_t age = pgc_monotonic_us() - acknowledged; /* at least, if it is still held */
          if (heard[i])
            continue;
          if (readers[i * readers.size() / samples]->held("k") != "-") {
            oldest_hit_us = std::max(oldest_hit_us, age);
            continue;
          }
          heard[i] = true;
          left--;
          ages.push_back(static_cast<double>(pgc_monotonic_us() - acknowledged) / 1000);
        }
      }
    }
    busy_cost = busy.text();
    written = writers.written;
  }
  std::sort(ages.begin(), ages.end());
  const auto at = [&](double part) { return ages[static_cast<size_t>(part * static_cast<double>(ages.size() - 1))]; };
  printf(
      "%d listeners, %.2f MiB each; idle: %s; %.0f puts/s: %s; a write was heard of after %.1f ms (p50), %.1f (p99), "
      "%.1f (max of %zu)\n",
      handles, mib, idle_cost.c_str(), static_cast<double>(written) / seconds, busy_cost.c_str(), at(0.5), at(0.99),
      ages.back(), ages.size());
  CHECK(oldest_hit_us < bound_ms * 1000); /* what is not heard is no hit any more */
  int64_t gaps = 0;
  for (const auto &reader : readers)
    gaps += reader->flushes(PGC_NEAR_FLUSH_GAP) + reader->flushes(PGC_NEAR_FLUSH_EPOCH);
  CHECK(gaps == 0);
}
