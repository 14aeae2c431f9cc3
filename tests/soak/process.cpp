/*
 * process.cpp - see process.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/process.hpp"

#include "soak/calls.hpp"
#include "soak/worker.hpp"
#include "support/server.hpp"

#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <malloc.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace soak {

int64_t descriptors_of(int pid) {
  DIR *folder = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  if (folder == nullptr)
    return -1;
  int64_t count = 0;
  while (readdir(folder) != nullptr)
    count++;
  closedir(folder);
  return count - 2; /* . and .. */
}

static int64_t status_of(int pid, const char *field) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(field, 0) == 0)
      return std::stoll(line.substr(line.find(':') + 1));
  }
  return -1;
}

int64_t threads_of(int pid) {
  return status_of(pid, "Threads:");
}

int64_t memory_of(int pid) {
  return status_of(pid, "RssAnon:"); /* without what the processes share: its pages are touched one by one */
}

int64_t heap_bytes() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  return static_cast<int64_t>(mallinfo2().uordblks);
#else
  return 0;
#endif
}

/* The processes differ in all that may differ between users of one cache. A setting that the library does not have is left
   out, and named. */
static void use_settings(test::Config &config, int process) {
  static const struct {
    int process;
    const char *name, *value;
  } settings[] = {
      {0, "pool_max_lifetime_ms", "2000"}, /* connections come and go all the time, without a fault */
      {0, "pool_idle_ms", "500"},
      {0, "compression", "lz4"},
      {0, "keys", "env:PGCACHE_SOAK_KEYS"}, /* it reads what the other has encrypted */
      {1, "cleanup_chance", "200"},
      {1, "compression", "zstd"},
      {1, "encryption", "on"},
      {1, "keys", "env:PGCACHE_SOAK_KEYS"},
      {1, "prepared", "off"},
  };
  setenv("PGCACHE_SOAK_KEYS", "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", 1);
  for (const auto &setting : settings) {
    if (setting.process != process)
      continue;
    if (pgcache_config_set(config.get(), setting.name, setting.value, nullptr) != PGCACHE_OK)
      printf("not part of this run, the library refuses it: %s=%s\n", setting.name, setting.value);
  }
  fflush(stdout);
}

void work(Block &block, int process) {
  const int64_t descriptors = descriptors_of(getpid()), threads = threads_of(getpid()), heap = heap_bytes();
  block.ready++;
  while (!block.go)
    usleep(1000);
  {
    const int counters_pool = process == 0 ? 0 : 2; /* the rest is the other handle's */
    test::Config config;
    config.set("url", block.address[process])
        .set("schema", block.schema)
        .set("pool_max", std::to_string(POOL_MAX - counters_pool));
    use_settings(config, process);
    test::Cache cache(config), plain;
    if (counters_pool > 0) {
      test::Config unencrypted;
      unencrypted.set("url", block.address[process])
          .set("schema", block.schema)
          .set("pool_max", std::to_string(counters_pool));
      plain = test::Cache(unencrypted);
    }
    test::Cache &counters = counters_pool > 0 ? plain : cache;
    /* It survives every fault. */
    pgcache_janitor *janitor = nullptr;
    if (process == 0 && pgcache_janitor_start(&janitor, cache.raw(), 500, nullptr) != PGCACHE_OK)
      throw std::runtime_error("the janitor did not start");
    std::vector<std::thread> running;
    for (int thread = 0; thread < THREADS; thread++)
      running.emplace_back([&, thread] { work_thread(block, cache, counters, process, thread); });
    while (!block.stop) {
      block.heap_bytes[process] = heap_bytes();
      test::sleep_ms(100);
    }
    for (auto &thread : running)
      thread.join();
    pgcache_janitor_free(janitor);
  }
  /* Threads that are still connecting give up when they notice that the handle is gone; a plant's descriptors do not. */
  const int tenths = block.plant == NO_PLANT ? 150 : 5;
  for (int i = 0; i < tenths && (descriptors_of(getpid()) > descriptors || threads_of(getpid()) > threads); i++)
    usleep(100000);
  block.left_heap_bytes[process] = heap_bytes() - heap;
  block.left_descriptors[process] = descriptors_of(getpid()) - descriptors;
  block.left_threads[process] = threads_of(getpid()) - threads;
}

} // namespace soak
