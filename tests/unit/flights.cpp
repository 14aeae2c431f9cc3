/*
 * flights.cpp - tests of the loads under way in a process: who leads, who shares what, and who is woken.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* C's flexible array members */
extern "C" {
#include "state/flights.h"
}
#pragma GCC diagnostic pop

namespace {

pgc_digest digest_of(unsigned number) {
  pgc_digest digest = {};
  digest.bytes[0] = static_cast<unsigned char>(number % 3); /* several share a bucket */
  digest.bytes[1] = static_cast<unsigned char>(number);
  return digest;
}

pgcache_value *value_of(int64_t version) {
  pgcache_value *value = pgc_value_new(0);
  REQUIRE(value != nullptr);
  value->version = version;
  return value;
}

void land(pgc_flight *flight, pgcache_value *value) {
  pgc_landing landed = {};
  landed.value = value;
  pgc_flight_land(flight, &landed);
}

struct Flights {
  Flights() : self(pgc_flights_new()) {
    REQUIRE(self != nullptr);
  }
  Flights(const Flights &) = delete;
  Flights &operator=(const Flights &) = delete;
  ~Flights() {
    pgc_flights_free(self);
  }
  pgc_flight *join(unsigned number, bool leads) {
    const pgc_digest digest = digest_of(number);
    bool does = !leads;
    pgc_flight *flight = pgc_flights_join(self, &digest, &does);
    REQUIRE(flight != nullptr);
    CHECK(does == leads);
    return flight;
  }
  void rouse(unsigned number) {
    const pgc_digest digest = digest_of(number);
    pgc_flights_rouse(self, &digest);
  }
  void leave(pgc_flight *flight) {
    pgc_flight_leave(self, flight);
  }
  pgc_flights *self;
};

/* What waiting from this turn on gives: "nothing happened", "woken", or the version of the value. */
std::string wait(pgc_flight *flight, uint64_t turn, int64_t milliseconds = 0) {
  pgc_landing landed = {};
  const bool happened = pgc_flight_wait(flight, turn, pgc_deadline_in(milliseconds), &landed);
  pgcache_value *value = landed.value;
  if (!happened) {
    CHECK(value == nullptr);
    return "nothing happened";
  }
  if (landed.absent)
    return "absent";
  const std::string text = value != nullptr ? std::to_string(value->version) : "woken";
  if (value != nullptr)
    pgc_value_release(value);
  return text;
}

} // namespace

TEST_CASE("One leads a flight, and after the landing the next who joins does", "[flights]") {
  Flights flights;
  pgc_flight *leader = flights.join(1, true), *follower = flights.join(1, false), *other = flights.join(4, true);
  const uint64_t turn = pgc_flight_turn(follower);
  CHECK(wait(follower, turn, 20) == "nothing happened");
  pgc_flight_land(leader, nullptr);
  CHECK(wait(follower, turn) == "woken");
  pgc_flight *next = flights.join(1, true);
  flights.leave(leader);
  flights.leave(follower);
  flights.leave(next);
  flights.leave(flights.join(1, true));
  flights.leave(other);
  flights.leave(nullptr);
}

TEST_CASE("What a leader lands with is shared by those who joined before it was sent", "[flights]") {
  Flights flights;
  pgc_flight *flight = flights.join(1, true), *early = flights.join(1, false);
  const uint64_t before = pgc_flight_turn(early);
  CHECK(pgc_flight_sending(flight));
  pgc_flight *late = flights.join(1, false);
  const uint64_t after = pgc_flight_turn(late);
  CHECK(wait(early, before) == "nothing happened"); /* sending wakes nobody */
  flights.rouse(1);
  CHECK(wait(early, before) == "woken"); /* and there is no value yet */
  pgcache_value *value = value_of(7);
  land(flight, value);
  pgc_value_release(value);
  CHECK(wait(early, before) == "7");
  CHECK(wait(late, after) == "woken");

  SECTION("a later landing takes its place") {
    pgc_flight *next = flights.join(1, true);
    const uint64_t turn = pgc_flight_turn(late);
    pgc_flight_sending(next);
    flights.rouse(1);
    CHECK(wait(late, turn) == "woken"); /* what was landed with before is older than this turn */
    pgc_flight_sending(next);           /* who came in between shares, too: it is sent once more */
    value = value_of(8);
    land(next, value);
    pgc_value_release(value);
    CHECK(wait(late, turn) == "8");
    CHECK(wait(late, after) == "8");
    flights.leave(next);
  }
  SECTION("a landing with the word that there is none takes it away") {
    pgc_flight *next = flights.join(1, true);
    const uint64_t turn = pgc_flight_turn(late);
    pgc_flight_sending(next);
    pgc_landing none = {};
    none.absent = true;
    pgc_flight_land(next, &none);
    CHECK(wait(late, turn) == "absent");
    CHECK(wait(late, pgc_flight_turn(late)) == "woken"); /* nobody leads, and that was before */
    flights.leave(next);
  }
  SECTION("a landing with nothing takes it away") {
    pgc_flight_land(flights.join(1, true), nullptr);
    CHECK(wait(early, before) == "woken");
    flights.leave(flight);
  }
  flights.leave(flight);
  flights.leave(early);
  flights.leave(late);
}

TEST_CASE("A leader's time is over: who waits is woken, who joins leads another flight", "[flights]") {
  Flights flights;
  pgc_flight *slow = flights.join(1, true), *waiting = flights.join(1, false);
  const uint64_t turn = pgc_flight_turn(waiting);
  pgc_flight_lead_until(slow, pgc_deadline_in(30));
  SECTION("found by who waits") {
    CHECK(wait(waiting, turn, 60000) == "woken");
  }
  SECTION("found by who joins") {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  pgc_flight *next = flights.join(1, true);
  CHECK(next != slow);
  pgcache_value *value = value_of(7);
  pgc_flight_sending(slow);
  land(slow, value); /* too late, and where nobody is */
  pgc_value_release(value);
  CHECK_FALSE(pgc_flight_sending(next));
  pgc_flight *other = flights.join(1, false);
  CHECK(wait(other, pgc_flight_turn(other)) == "nothing happened");
  flights.leave(slow);
  flights.leave(waiting);
  flights.leave(next);
  flights.leave(other);
}

TEST_CASE("Who takes its turn after the landing does not wait for a leader that is gone", "[flights]") {
  Flights flights;
  pgc_flight *leader = flights.join(1, true), *late = flights.join(1, false);
  pgc_flight_land(leader, nullptr);
  CHECK(wait(late, pgc_flight_turn(late), 60000) == "woken");
  flights.leave(leader);
  flights.leave(late);
}

TEST_CASE("A leader whose time was extended goes on leading", "[flights]") {
  Flights flights;
  pgc_flight *leader = flights.join(1, true), *waiting = flights.join(1, false);
  pgc_flight_lead_until(leader, pgc_deadline_in(20));
  pgc_flight_lead_until(leader, pgc_deadline_in(60000));
  CHECK(wait(waiting, pgc_flight_turn(waiting), 60) == "nothing happened");
  flights.leave(waiting);
  flights.leave(leader);
}

TEST_CASE("Rousing wakes who waits for this digest, rousing all wakes everybody, and the engine is told", "[flights]") {
  Flights flights;
  std::vector<std::string> told;
  const auto note = [](void *context, const pgc_digest *digest) {
    static_cast<std::vector<std::string> *>(context)->push_back(digest != nullptr ? std::to_string(digest->bytes[1])
                                                                                  : "all");
  };
  pgc_flights_on_rouse(flights.self, note, &told);
  flights.rouse(9); /* there is no flight at all */
  pgc_flight *one = flights.join(1, true), *two = flights.join(4, true);
  const uint64_t of_one = pgc_flight_turn(one), of_two = pgc_flight_turn(two);
  flights.rouse(7); /* in the same bucket */
  CHECK(wait(one, of_one) == "nothing happened");
  flights.rouse(1);
  CHECK(wait(one, of_one) == "woken");
  CHECK(wait(two, of_two) == "nothing happened");
  pgc_flights_rouse_all(flights.self);
  CHECK(wait(two, of_two) == "woken");
  pgc_flight_land(one, nullptr); /* nobody waits for it */
  pgc_flight *again = flights.join(1, true), *follower = flights.join(1, false);
  pgc_flight_land(again, nullptr);
  CHECK(told == std::vector<std::string>{"1", "all", "1"});
  flights.leave(follower);
  flights.leave(again);
  pgc_flights_on_rouse(flights.self, nullptr, nullptr);
  flights.rouse(1);
  CHECK(told.size() == 3);
  flights.leave(one);
  flights.leave(two);
}

TEST_CASE("Flights: memory that runs out leaves nobody leading", "[flights][memory]") {
  const pgc_digest digest = digest_of(1);
  CHECK(test::fail_each_allocation([&] {
          pgc_flights *self = pgc_flights_new();
          if (self == nullptr)
            return PGCACHE_NO_MEMORY;
          bool leads = true;
          pgc_flight *flight = pgc_flights_join(self, &digest, &leads);
          CHECK(leads == (flight != nullptr));
          const bool joined = flight != nullptr;
          pgc_flight_leave(self, flight);
          pgc_flights_free(self);
          return joined ? PGCACHE_OK : PGCACHE_NO_MEMORY;
        }) > 1);
}

TEST_CASE("Many threads on a few digests: one leads at a time, and nobody sleeps through a landing",
          "[flights][threads]") {
  Flights flights;
  constexpr unsigned digests = 5;
  std::array<std::atomic<int>, digests> leading{};
  std::atomic<int> wrong{0}, loads{0}, shared{0};
  std::atomic<bool> over{false};
  std::thread rouser([&] {
    for (unsigned i = 0; !over; i++) {
      flights.rouse(i % digests);
      if (i % 64 == 0)
        pgc_flights_rouse_all(flights.self);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; t++) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 400; i++) {
        const unsigned number = (t + i) % digests;
        const pgc_digest digest = digest_of(number);
        for (bool done = false; !done;) {
          bool leads = false;
          pgc_flight *flight = pgc_flights_join(flights.self, &digest, &leads);
          const uint64_t turn = pgc_flight_turn(flight);
          if (leads) {
            wrong += leading[number]++ != 0;
            pgc_flight_sending(flight);
            pgcache_value *value = pgc_value_new(0);
            leading[number]--;
            land(flight, value);
            pgc_value_release(value);
            loads++;
            done = true;
          } else {
            pgc_landing landed = {};
            wrong += !pgc_flight_wait(flight, turn, pgc_deadline_in(60000), &landed);
            done = landed.value != nullptr;
            shared += done;
            if (landed.value != nullptr)
              pgc_value_release(landed.value);
          }
          pgc_flight_leave(flights.self, flight);
        }
      }
    });
  }
  for (std::thread &thread : threads)
    thread.join();
  over = true;
  rouser.join();
  CHECK(wrong == 0);
  CHECK(loads + shared == 8 * 400);
}
