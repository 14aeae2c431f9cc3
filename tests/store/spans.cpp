/*
 * spans.cpp - the provider that writes spans as lines of JSON (instrumentation/spans): each line is one, whatever is in it, from any
 * number of threads; the trace of a request; lines that were lost.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/requests.hpp"
#include "support/secrets.hpp"
#include "support/server.hpp"

#include "spans.h"

#include <cstring>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

using namespace test;
using std::string;

namespace {

/* A pipe's end to read from, and the lines that came. */
class Lines {
public:
  Lines() {
    if (pipe2(fds_, O_CLOEXEC | O_NONBLOCK) != 0)
      throw std::runtime_error("pipe2");
  }
  Lines(const Lines &) = delete;
  Lines &operator=(const Lines &) = delete;
  ~Lines() {
    close(fds_[0]);
    close(fds_[1]);
  }
  int fd() const {
    return fds_[1];
  }
  std::vector<string> take() {
    char buffer[65536];
    ssize_t size;
    while ((size = read(fds_[0], buffer, sizeof buffer)) > 0)
      pending_.append(buffer, static_cast<size_t>(size));
    std::vector<string> out;
    for (size_t end; (end = pending_.find('\n')) != string::npos; pending_.erase(0, end + 1))
      out.push_back(pending_.substr(0, end));
    return out;
  }

private:
  int fds_[2];
  string pending_;
};

using Members = std::map<string, string>; /* numbers as they are written */

/* Reads one flat object of strings and numbers, strictly; "bad" tells why it is none. */
Members parse(const string &line) {
  Members out;
  size_t at = 0;
  const auto bad = [&](const char *why) { return Members{{"bad", string(why) + " at " + std::to_string(at)}}; };
  const auto read_string = [&](string &text) {
    if (line[at] != '"')
      return false;
    for (at++; at < line.size() && line[at] != '"'; at++) {
      if (static_cast<unsigned char>(line[at]) < 0x20)
        return false;
      if (line[at] != '\\') {
        text += line[at];
        continue;
      }
      if (line.compare(at, 4, "\\u00") != 0 || at + 6 > line.size()) /* the only escape that is written */
        return false;
      text += static_cast<char>(std::stoi(line.substr(at + 4, 2), nullptr, 16));
      at += 5;
    }
    return at++ < line.size();
  };
  if (line.empty() || line[at++] != '{')
    return bad("no object");
  for (;;) {
    string name, value;
    if (!read_string(name) || line[at++] != ':')
      return bad("no name");
    if (line[at] == '"') {
      if (!read_string(value))
        return bad("no string");
    } else {
      while (at < line.size() && strchr("-0123456789", line[at]) != nullptr)
        value += line[at++];
      if (value.empty())
        return bad("no number");
    }
    if (!out.emplace(name, value).second)
      return bad("twice");
    if (line[at] != ',')
      break;
    at++;
  }
  return line.substr(at) == "}" ? out : bad("no end");
}

} // namespace

TEST_CASE("Spans: one line of JSON for each operation, with what is known of it", "[events][spans]") {
  Store store;
  Lines lines;
  Cache cache = store.open();
  Error error;
  REQUIRE(spans_write_to(cache.raw(), lines.fd(), 0, &error) == PGCACHE_OK);
  Options options = in_namespace("space");
  options.span_name = "a \"page\"\n\\ \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xff\xc3";
  REQUIRE(cache.put("the key", "12345", options) == PGCACHE_OK);
  options.deadline_ms = 0;
  REQUIRE(cache.get("the key", options) == PGCACHE_TIMEOUT);
  REQUIRE(cache.flush(PGCACHE_FLUSH_ALL) == PGCACHE_OK);
  const auto all = lines.take();
  REQUIRE(all.size() == 3);
  INFO(all[0] << "\n" << all[1] << "\n" << all[2]);
  Members put = parse(all[0]), get = parse(all[1]), flush = parse(all[2]);
  CHECK(put["name"] == "pgcache.put");
  CHECK(put["outcome"] == "ok");
  CHECK(put["source"] == "store");
  CHECK(put["namespace"] == "space");
  CHECK(put["span_name"] == "a \"page\"\n\\ \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd");
  CHECK(put["keys"] == "1");
  CHECK(put["bytes"] == "5");
  CHECK(put.count("key") == 0);
  CHECK(std::stoll(put["duration_ns"]) > 0);
  CHECK(std::stoll(put["start_us"]) > 1700000000000000);
  CHECK(get["outcome"] == "timeout");
  CHECK(get["error"].size() > 10);
  CHECK(flush["number"] == "1");
}

TEST_CASE("Spans: keys only if asked for, whatever bytes they are", "[events][spans][A62][rule:secret]") {
  Store store;
  Lines lines;
  Cache cache = store.open();
  REQUIRE(spans_write_to(cache.raw(), lines.fd(), 1, nullptr) == PGCACHE_OK);
  string bytes;
  for (int i = 0; i < 256; i++)
    bytes += static_cast<char>(i);
  for (const string &key : {bytes, string(PGCACHE_KEY_MAX, '\x01'), canary}) {
    REQUIRE(cache.put(key, "v") == PGCACHE_OK);
    const auto all = lines.take();
    REQUIRE(all.size() == 1);
    Members members = parse(all[0]);
    INFO(all[0]);
    CHECK(members.count("bad") == 0);
    if (key == bytes) {
      CHECK(members["key"].substr(0, 128) == bytes.substr(0, 128));
      CHECK(members["key"].size() == 128 + 3 * 128);
    } else {
      CHECK(members["key"] == key.substr(0, 1024));
    }
  }
}

TEST_CASE("Spans: a request carries the trace of the thread that submits it", "[events][spans][async]") {
  Store store;
  Lines lines;
  Cache cache = store.open();
  REQUIRE(spans_write_to(cache.raw(), lines.fd(), 0, nullptr) == PGCACHE_OK);
  const Requests requests(cache);
  const string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  spans_set_parent(trace.c_str());
  const Submitted submitted = requests.get("k");
  spans_set_parent(nullptr);
  std::thread taker([&] {
    spans_set_parent("another");
    CHECK(requests.wait(submitted.id) == PGCACHE_MISS);
  });
  taker.join();
  CHECK(cache.get("k") == PGCACHE_MISS);
  const auto all = lines.take();
  REQUIRE(all.size() == 2);
  CHECK(parse(all[0])["traceparent"] == trace);
  CHECK(parse(all[1]).count("traceparent") == 0);
}

TEST_CASE("Spans: lines that nobody could take are counted in the next one; lines of threads do not mix",
          "[events][spans][threads]") {
  Config config;
  Lines lines;
  Cache cache(config.set("url", "null:"));
  REQUIRE(spans_write_to(cache.raw(), lines.fd(), 0, nullptr) == PGCACHE_OK);
  const int THREADS = 4, EACH = 1000; /* more than a pipe holds */
  in_threads(THREADS, [&](int) {
    for (int i = 0; i < EACH; i++)
      (void)cache.get("k");
  });
  auto all = lines.take();
  CHECK(all.size() < THREADS * EACH);
  (void)cache.get("k");
  for (const string &line : lines.take())
    all.push_back(line);
  int64_t lost = 0;
  for (const string &line : all) {
    Members members = parse(line);
    REQUIRE(members.count("bad") == 0);
    lost += members.count("lost") != 0 ? std::stoll(members["lost"]) : 0;
  }
  CHECK(static_cast<int64_t>(all.size()) + lost == THREADS * EACH + 1);
}
