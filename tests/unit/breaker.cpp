/*
 * breaker.cpp - the circuit breaker's states under a clock and a chance that the test makes up.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "pure/backoff.h"
#include "store/breaker.h"
}

namespace {

const int64_t MS = 1000, S = 1000 * MS;
const uint64_t LONGEST = UINT64_MAX; /* of a pause of n: UINT64_MAX % n */

struct Breaker {
  pgc_breaker state;
  int64_t now = 1000 * S;
  uint64_t random = 0;
  test::Error refusal;
  pgc_breaker_turn turn = PGC_BREAKER_STAYS; /* what the last leave() did */

  explicit Breaker(int threshold = 3, int64_t pause_us = S) {
    pgc_breaker_init(&state, threshold, pause_us);
  }
  Breaker(const Breaker &) = delete;
  ~Breaker() {
    pgc_breaker_destroy(&state);
  }
  bool open() {
    return pgc_breaker_is_open(&state);
  }
  bool leave(pgc_fault fault, pgc_breaker_verdict verdict = PGC_BREAKER_PASS) {
    test::Error failure;
    failure.status = PGCACHE_UNAVAILABLE;
    strcpy(failure.sqlstate, "57P03");
    strcpy(failure.message, "the last words");
    turn = pgc_breaker_leave(&state, verdict, fault, now, random, &failure);
    return turn == PGC_BREAKER_OPENED;
  }
  pgc_breaker_verdict enter(bool connected = true, int64_t lease = 10 * S) {
    refusal = test::Error();
    return pgc_breaker_enter(&state, now, now + lease, connected, &refusal);
  }
  void trip(pgc_fault fault) {
    for (int i = 0; i < 3; i++)
      leave(fault);
  }
};

} // namespace

TEST_CASE("pauses are full jitter: anything up to a bound that doubles, up to a bound that does not", "[backoff]") {
  CHECK(pgc_backoff_us(0, 50, 400, LONGEST) == static_cast<int64_t>(LONGEST % 50));
  CHECK(pgc_backoff_us(0, 50, 400, 49) == 49);
  CHECK(pgc_backoff_us(0, 50, 400, 50) == 0);
  CHECK(pgc_backoff_us(3, 0, 400, 7) == 0);
  CHECK(pgc_backoff_us(1, 50, 400, 99) == 99);
  CHECK(pgc_backoff_us(3, 50, 400, 399) == 399);
  CHECK(pgc_backoff_us(4, 50, 400, 400) == 0);
  CHECK(pgc_backoff_us(1000000, 50, 400, 399) == 399);
  CHECK(pgc_backoff_us(19, INT64_C(30) * 1000 * 1000, INT64_MAX, 7) == 7);
  CHECK(pgc_backoff_us(0, 0, 0, 7) == 0);
}

TEST_CASE("a breaker opens after so many failures in a row, and not before", "[breaker]") {
  Breaker breaker;
  CHECK(pgc_breaker_is_calm(&breaker.state));
  CHECK(breaker.enter() == PGC_BREAKER_PASS);
  for (int round = 0; round < 3; round++) {
    CHECK_FALSE(breaker.leave(PGC_FAULT_SILENT));
    CHECK_FALSE(breaker.leave(PGC_FAULT_UNREACHABLE));
    CHECK_FALSE(pgc_breaker_is_calm(&breaker.state));
    CHECK_FALSE(breaker.open());
    CHECK(breaker.enter() == PGC_BREAKER_PASS);
    CHECK_FALSE(breaker.leave(PGC_FAULT_NONE)); /* not in a row */
    CHECK(pgc_breaker_is_calm(&breaker.state));
  }
  breaker.leave(PGC_FAULT_SILENT);
  for (int i = 0; i < 10; i++)
    CHECK_FALSE(breaker.leave(PGC_FAULT_NOBODYS)); /* neither counts nor makes good */
  breaker.leave(PGC_FAULT_SILENT);
  CHECK(breaker.leave(PGC_FAULT_SILENT));
  CHECK(breaker.open());
}

TEST_CASE("with a threshold of 0 a breaker never opens", "[breaker]") {
  Breaker breaker(0);
  for (int i = 0; i < 100; i++)
    CHECK_FALSE(breaker.leave(PGC_FAULT_UNREACHABLE));
  CHECK_FALSE(breaker.open());
  CHECK(pgc_breaker_is_calm(&breaker.state));
}

TEST_CASE("open after silence: refused with reason and time, then exactly one probe", "[breaker]") {
  Breaker breaker;
  breaker.random = 600 * MS; /* of up to a second */
  breaker.trip(PGC_FAULT_SILENT);
  REQUIRE(breaker.open());
  CHECK(breaker.enter() == PGC_BREAKER_REFUSE);
  CHECK(breaker.refusal.status == PGCACHE_UNAVAILABLE);
  CHECK(std::string(breaker.refusal.sqlstate) == "57P03");
  CHECK(test::contains(breaker.refusal.text(), "breaker is open after 3 failures in a row"));
  CHECK(test::contains(breaker.refusal.text(), "in 600 ms"));
  CHECK(test::contains(breaker.refusal.text(), "the last words"));
  breaker.now += 599 * MS;
  CHECK(breaker.enter() == PGC_BREAKER_REFUSE);
  CHECK(test::contains(breaker.refusal.text(), "in 1 ms"));
  breaker.now += MS;
  CHECK(breaker.enter() == PGC_BREAKER_PROBE);
  for (int i = 0; i < 10; i++)
    CHECK(breaker.enter() == PGC_BREAKER_REFUSE);
  CHECK_FALSE(breaker.leave(PGC_FAULT_NONE, PGC_BREAKER_PROBE));
  CHECK_FALSE(breaker.open());
  CHECK(pgc_breaker_is_calm(&breaker.state));
  CHECK(breaker.enter() == PGC_BREAKER_PASS);
}

TEST_CASE("probes that fail make the pauses longer, up to 30 s; a success makes them short again", "[breaker]") {
  Breaker breaker;
  breaker.trip(PGC_FAULT_SILENT);
  int64_t longest = 2 * S;
  for (int i = 0; i < 8; i++) {
    CHECK(breaker.enter() == PGC_BREAKER_PROBE); /* the pause was 0 by chance */
    breaker.random = static_cast<uint64_t>(longest - 1);
    CHECK_FALSE(breaker.leave(PGC_FAULT_SILENT, PGC_BREAKER_PROBE)); /* it was open: not opened once more */
    breaker.now += longest - 2;
    CHECK(breaker.enter() == PGC_BREAKER_REFUSE);
    breaker.now += 1;
    CHECK(breaker.enter() == PGC_BREAKER_PROBE);
    breaker.random = 0;
    breaker.leave(PGC_FAULT_NOBODYS, PGC_BREAKER_PROBE);
    longest = longest * 2 < 30 * S ? longest * 2 : 30 * S;
  }
  breaker.leave(PGC_FAULT_NONE);
  breaker.random = S - 1;
  breaker.trip(PGC_FAULT_SILENT);
  breaker.now += S;
  CHECK(breaker.enter() == PGC_BREAKER_PROBE);
}

TEST_CASE("unreachable: no call is a probe before there is a connection, and the first one goes at once", "[breaker]") {
  Breaker breaker;
  breaker.random = 600 * MS;
  breaker.trip(PGC_FAULT_UNREACHABLE);
  CHECK(breaker.enter(false) == PGC_BREAKER_REFUSE);
  CHECK(test::contains(breaker.refusal.text(), "until a connection can be opened"));
  CHECK(test::contains(breaker.refusal.text(), "the last words"));
  breaker.now += 3600 * S;
  CHECK(breaker.enter(false) == PGC_BREAKER_REFUSE);
  CHECK(breaker.enter(true) == PGC_BREAKER_PROBE);
  CHECK(breaker.enter(true) == PGC_BREAKER_REFUSE);
  /* It broke again: the next connection's probe waits. */
  breaker.leave(PGC_FAULT_UNREACHABLE, PGC_BREAKER_PROBE);
  CHECK(breaker.enter(true) == PGC_BREAKER_REFUSE);
  breaker.now += 600 * MS;
  CHECK(breaker.enter(true) == PGC_BREAKER_PROBE);
}

TEST_CASE("a probe that shows nothing, or never comes back, does not keep the next one away", "[breaker]") {
  Breaker breaker;
  breaker.trip(PGC_FAULT_SILENT);
  CHECK(breaker.enter() == PGC_BREAKER_PROBE);
  breaker.leave(PGC_FAULT_NOBODYS, PGC_BREAKER_PROBE);
  CHECK(breaker.enter(true, 2 * S) == PGC_BREAKER_PROBE);
  breaker.now += 2 * S - 1;
  CHECK(breaker.enter() == PGC_BREAKER_REFUSE);
  breaker.now += 1;
  CHECK(breaker.enter() == PGC_BREAKER_PROBE);
}

TEST_CASE("calls that began before the breaker opened do not lengthen its pause, but may close it", "[breaker]") {
  Breaker breaker;
  breaker.random = 500 * MS;
  breaker.trip(PGC_FAULT_SILENT);
  for (int i = 0; i < 20; i++)
    CHECK_FALSE(breaker.leave(PGC_FAULT_SILENT));
  breaker.now += 500 * MS;
  CHECK(breaker.enter() == PGC_BREAKER_PROBE);
  CHECK_FALSE(breaker.leave(PGC_FAULT_NONE)); /* another one's */
  CHECK_FALSE(breaker.open());
  CHECK_FALSE(breaker.leave(PGC_FAULT_SILENT, PGC_BREAKER_PROBE)); /* the probe's own end counts as one failure */
  CHECK_FALSE(breaker.open());
}

TEST_CASE("of many threads exactly one is the probe", "[breaker][threads]") {
  Breaker breaker;
  for (int round = 0; round < 50; round++) {
    breaker.trip(PGC_FAULT_SILENT);
    std::atomic<int> probes{0}, passes{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++) {
      threads.emplace_back([&] {
        test::Error error;
        for (int j = 0; j < 20; j++) {
          const auto verdict = pgc_breaker_enter(&breaker.state, breaker.now, breaker.now + S, true, &error);
          probes += verdict == PGC_BREAKER_PROBE;
          passes += verdict == PGC_BREAKER_PASS;
          pgc_breaker_is_open(&breaker.state);
        }
      });
    }
    for (auto &thread : threads)
      thread.join();
    CHECK(probes == 1);
    CHECK(passes == 0);
    breaker.leave(PGC_FAULT_NONE, PGC_BREAKER_PROBE);
  }
}

TEST_CASE("what the end of a call does to the breaker is told once: opened, open again after a probe, closed",
          "[breaker]") {
  Breaker breaker;
  breaker.leave(PGC_FAULT_NONE);
  CHECK(breaker.turn == PGC_BREAKER_STAYS);
  breaker.leave(PGC_FAULT_SILENT);
  breaker.leave(PGC_FAULT_SILENT);
  CHECK(breaker.turn == PGC_BREAKER_STAYS);
  breaker.leave(PGC_FAULT_SILENT);
  CHECK(breaker.turn == PGC_BREAKER_OPENED);
  breaker.leave(PGC_FAULT_SILENT); /* of a call that began before */
  CHECK(breaker.turn == PGC_BREAKER_STAYS);
  breaker.now += 100 * S;
  REQUIRE(breaker.enter() == PGC_BREAKER_PROBE);
  breaker.leave(PGC_FAULT_SILENT, PGC_BREAKER_PROBE);
  CHECK(breaker.turn == PGC_BREAKER_OPEN_AGAIN);
  breaker.now += 100 * S;
  REQUIRE(breaker.enter() == PGC_BREAKER_PROBE);
  breaker.leave(PGC_FAULT_NOBODYS, PGC_BREAKER_PROBE);
  CHECK(breaker.turn == PGC_BREAKER_OPEN_AGAIN);
  REQUIRE(breaker.enter() == PGC_BREAKER_PROBE);
  breaker.leave(PGC_FAULT_NONE, PGC_BREAKER_PROBE);
  CHECK(breaker.turn == PGC_BREAKER_CLOSED);
  breaker.leave(PGC_FAULT_NONE);
  CHECK(breaker.turn == PGC_BREAKER_STAYS);
}
