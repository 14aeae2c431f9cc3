/*
 * proxy.hpp - a network that misbehaves on demand: a proxy inside the test program between the library and a real
 * server, on a Unix socket. It cuts connections after a given byte, swallows, holds, delays and rewrites what passes.
 * Never understands the protocol: it sees bytes.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_PROXY_HPP
#define PGCACHE_TESTS_PROXY_HPP

#include "support/server.hpp"

#include <atomic>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace test {

class Proxy {
public:
  enum Direction { TO_SERVER = 0, TO_CLIENT = 1 };

  explicit Proxy(const std::string &server = url());
  Proxy(const Proxy &) = delete;
  Proxy &operator=(const Proxy &) = delete;
  ~Proxy();

  /* The server's address with this proxy in front. */
  std::string conninfo(const std::map<std::string, std::string> &changes = {}) const;

  /* The folder of its socket, for a host list. */
  const std::string &folder() const {
    return folder_;
  }

  /* Closes the connection on which byte number n from now on passes in this direction, right after that byte. Once. */
  void cut_after(Direction direction, int64_t n);
  bool was_cut() const {
    return cuts_ > 0;
  }
  /* Closes all connections, now. */
  void cut();
  /* Nothing passes any more, in no direction, and nobody is told; new connections are accepted, then ignored. */
  void black_hole(bool on);
  /* The connections there are stay open and carry nothing any more, as when a router has forgotten them; new ones work. */
  void strand();
  /* What the server sends waits here; what the client sends passes. */
  void hold_answers(bool on);
  /* The client sees the end of the stream, as if the server had gone; what the client sends still passes. */
  void half_close();
  /* New connections are closed at once. */
  void refuse(bool on);
  void delay(int milliseconds);
  /* The client receives these bytes behind what it was sent, as if the server had spoken unasked. */
  void say(const std::string &bytes);
  /* Called with each piece of data before it is passed on; may change it. */
  void rewrite(std::function<void(Direction, std::string &)> function);

  /* Something is on its way to the client, and held here. */
  bool holds_answers() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto &link : links_) {
      if (!link.waiting[TO_CLIENT].empty())
        return hold_;
    }
    return false;
  }

  int accepted() const {
    return accepted_;
  } /* connections so far */
  /* Passed so far. With the lock: what the other side has received is then counted. */
  int64_t bytes(Direction direction) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_[direction];
  }

private:
  struct Link {
    int fd[2] = {-1, -1};           /* [TO_SERVER]: the server's end, [TO_CLIENT]: the client's */
    std::string waiting[2];         /* by direction: read, not yet written */
    bool ended[2] = {false, false}; /* by direction: the source closed */
    bool mute = false;              /* half closed: what the server says is lost */
    bool stranded = false;
    bool dead = false;
  };
  void loop();
  void accept_one();
  void receive(Link &link, Direction direction);
  void send_on(Link &link, Direction direction);
  int connect_upstream() const;
  void wake();

  std::map<std::string, std::string> upstream_;
  std::string folder_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  mutable std::mutex mutex_; /* guards all below; held by the loop except in poll */
  std::list<Link> links_;
  std::function<void(Direction, std::string &)> rewrite_;
  int64_t cut_after_[2] = {-1, -1};
  bool black_hole_ = false;
  bool hold_ = false;
  bool refuse_ = false;
  bool stop_ = false;
  int delay_ms_ = 0;
  std::atomic<int> accepted_{0};
  std::atomic<int> cuts_{0};
  std::atomic<int64_t> bytes_[2] = {};
  std::thread thread_;
};

} // namespace test

#endif
