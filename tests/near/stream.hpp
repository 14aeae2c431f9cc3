/*
 * stream.hpp - reads the change stream as plain SQL does: what a poll gives, taken apart.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_STREAM_HPP
#define PGCACHE_TESTS_STREAM_HPP

#include "support/server.hpp"

#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace stream {

struct Event {
  int kind;
  std::string digest; /* 32 hexadecimal digits; "" of a kind that has none */
  int64_t version;
  bool operator<(const Event &other) const {
    return std::tie(kind, digest, version) < std::tie(other.kind, other.digest, other.version);
  }
  bool operator==(const Event &other) const {
    return !(*this < other) && !(other < *this);
  }
};

/* The events of frames in hexadecimal digits; *rows is raised by the number of frames. Throws if they are none. */
inline std::vector<Event> decode(const std::string &hex, size_t *rows = nullptr) {
  std::vector<Event> events;
  const auto number = [&](size_t at, size_t digits) { return std::stoull(hex.substr(at, digits), nullptr, 16); };
  for (size_t at = 0; at < hex.size();) {
    const int kind = static_cast<int>(number(at, 4));
    const size_t size = 2 * number(at + 4, 8);
    at += 12;
    if (at + size > hex.size() || (kind == 0 ? size % 48 != 0 || size == 0 || size > 4800 : kind != 2 || size != 0))
      throw std::runtime_error("no frames: " + hex);
    for (size_t end = at + size; at < end; at += 48)
      events.push_back({kind, hex.substr(at, 32), static_cast<int64_t>(number(at + 32, 16))});
    if (kind == 2)
      events.push_back({2, "", 0});
    if (rows != nullptr)
      ++*rows;
  }
  return events;
}

/* Does a snapshot see a transaction? */
inline bool sees(const std::string &snapshot, uint64_t xid) {
  const size_t first = snapshot.find(':'), second = snapshot.find(':', first + 1);
  return xid < std::stoull(snapshot.substr(first + 1)) &&
         ("," + snapshot.substr(second + 1) + ",").find("," + std::to_string(xid) + ",") == std::string::npos;
}

/* A connection that polls, with a cursor of its own. */
class Poller {
public:
  Poller(std::string schema, const std::string &conninfo = test::url(), const char *function = "library_poll_changes")
      : pg(conninfo), call_("SELECT snapshot, nonce, floor, relay_free, busy, channel, encode(frames, 'hex') FROM " +
                            schema + "." + function + "($1)") {
    poll();
  }
  /* What is new. */
  std::vector<Event> poll() {
    const auto found = pg.query(call_, {cursor});
    if (found.size() != 1)
      throw std::runtime_error("the marker is gone");
    last = found[0];
    forgotten = !cursor.empty() && position() < std::stoll(last[2]);
    cursor = last[0];
    rows = 0;
    return last[6] == "NULL" ? std::vector<Event>() : decode(last[6], &rows);
  }
  /* Of the cursor: how many transactions have ended. */
  int64_t position() const {
    const size_t first = cursor.find(':'), second = cursor.find(':', first + 1);
    int64_t in_progress = second + 1 < cursor.size();
    for (size_t i = second + 1; i < cursor.size(); i++)
      in_progress += cursor[i] == ',';
    return std::stoll(cursor.substr(first + 1, second - first - 1)) - in_progress;
  }

  test::Pg pg;
  std::string cursor;
  test::Row last;
  bool forgotten = false; /* the last poll's cursor was below the floor: events were missed */
  size_t rows = 0;        /* of the table, that the last poll gave */

private:
  std::string call_;
};

} // namespace stream

#endif
