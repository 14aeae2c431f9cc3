/*
 * interpose.hpp - this program's own getaddrinfo(), poll() and clock_gettime(), which stand before libc's for everything
 * that runs in it: a name look-up that hangs, a clock that is wrong. They behave as libc's until a test asks otherwise, and
 * do again when its object goes. Never changes the monotonic clocks.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_INTERPOSE_HPP
#define PGCACHE_TESTS_INTERPOSE_HPP

#include <cstdint>
#include <functional>

namespace test {

/* While it lives, looking up a name that ends in ".hangs.invalid" takes until the object goes. The destructor waits for
   the look-ups that hang, so that no thread outlives its test. */
class HangingNames {
public:
  HangingNames();
  HangingNames(const HangingNames &) = delete;
  HangingNames &operator=(const HangingNames &) = delete;
  ~HangingNames();
  static int started(); /* look-ups that have begun, ever */
};

/* While it lives, no name can be looked up: each fails at once, and nobody's name servers are asked. */
class NoNames {
public:
  NoNames();
  NoNames(const NoNames &) = delete;
  NoNames &operator=(const NoNames &) = delete;
  ~NoNames();
};

/* While it lives, what was given is called, once, on the first thread whose poll() ran out of time, before poll()
   returns there: as if that thread were put to sleep by the system at the worst moment. */
class AtPollTimeout {
public:
  explicit AtPollTimeout(std::function<void()> act);
  AtPollTimeout(const AtPollTimeout &) = delete;
  AtPollTimeout &operator=(const AtPollTimeout &) = delete;
  ~AtPollTimeout();
};

/* While it lives, this process's wall clock is off by so much. */
class WrongClock {
public:
  explicit WrongClock(int64_t seconds);
  WrongClock(const WrongClock &) = delete;
  WrongClock &operator=(const WrongClock &) = delete;
  ~WrongClock();
};

} // namespace test

#endif
