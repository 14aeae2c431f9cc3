/*
 * many.cpp - loads by many processes at once, and by processes that are killed. A process is this program, started anew with one
 * hidden test that does its part: forked ones would share what the parent's threads held.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <sys/wait.h>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

constexpr int processes = 20, threads_of_each = 50;

/* A process that runs one hidden test of this program. Its words come through a pipe, by the byte. */
class Process {
public:
  Process(const char *tag, const string &schema) {
    int pipes[4];
    REQUIRE(pipe(pipes) == 0);
    REQUIRE(pipe(pipes + 2) == 0);
    const string in = std::to_string(pipes[0]), out = std::to_string(pipes[3]);
    pid_ = fork();
    if (pid_ == 0) {
      setenv("PGCACHE_TEST_URL", url().c_str(), 1);
      setenv("PGCACHE_TEST_PART_SCHEMA", schema.c_str(), 1);
      setenv("PGCACHE_TEST_PART_IN", in.c_str(), 1);
      setenv("PGCACHE_TEST_PART_OUT", out.c_str(), 1);
      const int quiet = open("/dev/null", O_WRONLY);
      dup2(quiet, 1);
      close(pipes[1]);
      close(pipes[2]);
      execl("/proc/self/exe", "loads", tag, static_cast<char *>(nullptr));
      _exit(99);
    }
    close(pipes[0]);
    close(pipes[3]);
    to_ = pipes[1];
    from_ = pipes[2];
    fcntl(to_, F_SETFD, FD_CLOEXEC);
    fcntl(from_, F_SETFD, FD_CLOEXEC);
  }
  Process(const Process &) = delete;
  Process &operator=(const Process &) = delete;
  ~Process() {
    kill();
    close(to_);
    close(from_);
  }
  void tell(char word) {
    (void)!write(to_, &word, 1);
  }
  /* '!': it has ended without a word. */
  char hear() {
    char word = '!';
    return read(from_, &word, 1) == 1 ? word : '!';
  }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    pid_ = 0;
  }

private:
  pid_t pid_ = 0;
  int to_ = -1, from_ = -1;
};

/* The other side. */
struct Part {
  Part() : in(number("IN")), out(number("OUT")) {}
  /* It was started by another test; not by somebody who runs hidden ones, too. */
  static bool is_called() {
    if (*variable("SCHEMA") == '\0')
      WARN("left out: this is a part of another test, which starts it");
    return *variable("SCHEMA") != '\0';
  }
  static const char *variable(const char *name) {
    const char *value = getenv((string("PGCACHE_TEST_PART_") + name).c_str());
    return value != nullptr ? value : "";
  }
  static int number(const char *name) {
    return std::atoi(variable(name));
  }
  void tell(char word) const {
    (void)!write(out, &word, 1);
  }
  char hear() const {
    char word = '!';
    return read(in, &word, 1) == 1 ? word : '!';
  }
  Cache open(const Settings &settings) const {
    Config config;
    config.set("url", url()).set("schema", variable("SCHEMA")).set("timeout_ms", "100000");
    for (const auto &setting : settings)
      config.set(setting.first, setting.second);
    return Cache(config);
  }
  int in, out;
};

} // namespace

TEST_CASE("a part: many threads load one key", "[.part-of-many]") {
  if (!Part::is_called())
    return;
  const Part part;
  Cache cache = part.open({{"pool_max", "2"}, {"near_max_bytes", getpid() % 2 == 0 ? "16777216" : "0"}});
  (void)cache.get("open");
  part.tell('r');
  if (part.hear() != 'g')
    return;
  std::atomic<int> loads{0}, wrong{0};
  in_threads(threads_of_each, [&](int) {
    Begun got = begin(cache, "k", leased({}, 60000));
    if (got == PGCACHE_LEASE) {
      loads++;
      sleep_ms(300);
      wrong += got.load.fill("the value") != PGCACHE_OK;
    } else {
      wrong += got != PGCACHE_OK || got.bytes() != "the value";
    }
  });
  part.tell(wrong > 0 || loads > 8 ? 'x' : static_cast<char>('0' + loads));
}

TEST_CASE("a part: takes a lease and does not end it", "[.part-that-dies]") {
  if (!Part::is_called())
    return;
  const Part part;
  Cache cache = part.open({});
  const Begun got = begin(cache, "k", leased({}, 3000));
  part.tell(got == PGCACHE_LEASE ? 'l' : 'x');
  (void)part.hear();
}

TEST_CASE("[A40] 1,000 callers in 20 processes miss one key: it is loaded once, and everybody gets it", "[A40][many]") {
  Store store;
  std::vector<std::unique_ptr<Process>> all;
  for (int i = 0; i < processes; i++)
    all.push_back(std::make_unique<Process>("[.part-of-many]", store.schema()));
  for (const auto &process : all)
    REQUIRE(process->hear() == 'r');
  const int64_t before = now_ms();
  for (const auto &process : all)
    process->tell('g');
  int loads = 0;
  for (const auto &process : all) {
    const char word = process->hear();
    CHECK((word >= '0' && word <= '9'));
    loads += word - '0';
  }
  CHECK(loads == 1);
  std::printf("[A40] %d callers in %d processes had the value of a load of 300 ms after %lld ms\n",
              processes * threads_of_each, processes, static_cast<long long>(now_ms() - before));
}

TEST_CASE("[A42] A process that is killed while it loads: another one loads when its lease is over", "[A42][many]") {
  Store store;
  Process dies("[.part-that-dies]", store.schema());
  REQUIRE(dies.hear() == 'l');
  dies.kill();
  CHECK(begin(store.cache, "k", waits({}, 0)) == PGCACHE_BUSY);
  const int64_t before = now_ms();
  Begun next = begin(store.cache, "k", {}, deadline(60000));
  CHECK(next == PGCACHE_LEASE);
  CHECK(now_ms() - before < 30000); /* 3 s, and what a busy machine adds */
  CHECK(next.load.fill("v") == PGCACHE_OK);
}
