/*
 * cut.cpp - a scripted session through a proxy that cuts the connection after every single byte, in both directions:
 * each call's outcome must be correct, an error that says that nothing happened and nothing did, or UNKNOWN; and it must
 * come by the deadline. Usually a sample of the bytes is cut, in a long run (make check-long) each.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/proxy.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>

using namespace test;
using std::string;

namespace {

const int DEADLINE_MS = 10000; /* that a busy machine keeps */
const int SLACK_MS = 10000;

/* What may be in an entry after a call: after an UNKNOWN one of two things. */
class Expectation {
public:
  void is(const string &value) {
    possible_ = {value};
  }
  void may_also_be(const string &value) {
    possible_.push_back(value);
  }
  bool allows(const string &value) const {
    return std::find(possible_.begin(), possible_.end(), value) != possible_.end();
  }

private:
  std::vector<string> possible_ = {"-"}; /* "-": there is no entry */
};

/* One run of the script on fresh keys. Throws what is wrong. */
class Session {
public:
  Session(Store &store, Cache &cache, const string &prefix) : store_(store), cache_(cache), prefix_(prefix) {}

  int run() {
    write("a", "one", [&] { return cache_.put(key("a"), "one", options_); });
    read("a");
    write("b", "two", [&] { return cache_.add(key("b"), "two", PGCACHE_TTL_DEFAULT, 0, options_); });
    write("a", "three", [&] { return cache_.replace(key("a"), "three", PGCACHE_TTL_DEFAULT, 0, options_); });
    write("n", "5", [&] { return cache_.increment(key("n"), 5, 0, PGCACHE_TTL_DEFAULT, options_); });
    write("b", "-", [&] { return cache_.remove(key("b"), options_); });
    write_many(false);
    read("c");
    read("b");
    write_many(true);
    read("n");
    return unknown_;
  }

private:
  string key(const string &name) const {
    return prefix_ + name;
  }

  string truth(const string &name) {
    const auto rows = store_.pg.query(store_.sql("SELECT convert_from({s}.get($1::text), 'UTF8')"), {key(name)});
    return rows[0][0] == "NULL" ? "-" : rows[0][0];
  }

  /* A statement whose connection was cut may still be on its way, and must not come behind those that follow. */
  void await_end_of_session() {
    if (!eventually([&] {
          return store_.pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1",
                               {store_.schema()}) == "0";
        }))
      throw std::runtime_error("a session that was cut does not end");
  }

  void wrong(const string &what, const Answer &answer) {
    throw std::runtime_error(what + ": " + pgcache_status_name(answer.status) + " " + answer.error.message);
  }

  Answer timed(const string &what, const std::function<Answer()> &call) {
    const int64_t start = now_ms();
    Answer answer = call();
    if (now_ms() - start > DEADLINE_MS + SLACK_MS)
      wrong(what + " took too long", answer);
    return answer;
  }

  /* Whatever the status, what is stored must agree with it. */
  void settle(const string &what, const string &name, const string &after, const Answer &answer) {
    Expectation &expected = entries_[name];
    if (answer.status >= 0) {
      /* MISS and EXISTS: only where an earlier call left it open. Then the truth is what the call found or made. */
      if (answer == PGCACHE_OK)
        expected.is(after);
      else if (!expected.allows(truth(name)))
        wrong(what + " has an outcome that cannot be", answer);
    } else if (answer == PGCACHE_UNKNOWN) {
      unknown_++;
      expected.may_also_be(after);
      await_end_of_session();
    } else if (answer != PGCACHE_UNAVAILABLE && answer != PGCACHE_TIMEOUT) {
      wrong(what + " failed otherwise", answer);
    }
    const string now = truth(name);
    if (!expected.allows(now))
      wrong(what + ": found <" + now + "> in " + name, answer);
    if (answer == PGCACHE_OK && now != after)
      wrong(what + " is OK but not done", answer);
    if (answer != PGCACHE_UNKNOWN)
      expected.is(now);
  }

  void write(const string &name, const string &after, const std::function<Answer()> &call) {
    const string what = "writing " + name + "=" + after;
    settle(what, name, after, timed(what, call));
  }

  void read(const string &name) {
    const Answer answer = timed("reading " + name, [&] { return cache_.get(key(name), options_); });
    if (answer.status < 0) {
      if (answer != PGCACHE_UNAVAILABLE && answer != PGCACHE_TIMEOUT)
        wrong("reading " + name + " failed otherwise", answer);
      return;
    }
    const string found = answer == PGCACHE_OK ? answer.bytes() : "-";
    if (!entries_[name].allows(found))
      wrong("read <" + found + "> from " + name, answer);
    entries_[name].is(found);
  }

  void write_many(bool remove) {
    const string what = remove ? "remove_many" : "put_many";
    const std::vector<string> names = {"c", "b", "a"};
    std::vector<string> keys, values;
    for (const string &name : names) {
      keys.push_back(key(name));
      values.push_back("many " + name);
    }
    Items items;
    for (size_t i = 0; i < keys.size(); i++)
      items.add(keys[i], values[i]);
    const Answer answer = timed(what, [&] {
      Answer a;
      a.status = remove ? pgcache_remove_many(cache_.raw(), items.data(), items.size(), &options_, &a.error)
                        : pgcache_put_many(cache_.raw(), items.data(), items.size(), &options_, &a.error);
      return a;
    });
    for (size_t i = 0; i < keys.size(); i++) {
      Answer one = answer;
      one.status = items[i].status;
      if (answer.status < 0 && one.status != answer.status)
        wrong(what + "'s items disagree with it", one);
      settle(what, names[i], remove ? "-" : values[i], one);
    }
  }

  Store &store_;
  Cache &cache_;
  string prefix_;
  Options options_ = deadline(DEADLINE_MS);
  std::map<string, Expectation> entries_;
  int unknown_ = 0;
};

} // namespace

TEST_CASE("A session cut after any byte: correct, refused or UNKNOWN, and never late", "[rule:unknown][faults][cut]") {
  Store store;
  Proxy proxy;
  const Settings settings = {{"url", proxy.conninfo({{"application_name", store.schema()}})}, {"pool_max", "1"}};
  int64_t length[2];
  {
    Cache cache = store.open(settings);
    REQUIRE(Session(store, cache, "whole").run() == 0);
    cache.free();
    for (const auto direction : {Proxy::TO_SERVER, Proxy::TO_CLIENT})
      length[direction] = proxy.bytes(direction);
  }
  INFO("PGCACHE_TEST_SEED=" << seed());
  std::mt19937_64 random(seed());
  int cuts = 0, unknown = 0, runs = 0;
  for (const auto direction : {Proxy::TO_SERVER, Proxy::TO_CLIENT}) {
    CHECK(length[direction] > 1000);
    const int64_t most = is_long() ? 1 : std::max<int64_t>(1, length[direction] / 100);
    for (int64_t byte = 1; byte <= length[direction];
         byte += is_long() ? 1 : 1 + static_cast<int64_t>(random() % (2 * most))) {
      string trouble;
      Cache cache = store.open(settings);
      proxy.cut_after(direction, byte);
      try {
        unknown += Session(store, cache, (direction == Proxy::TO_SERVER ? "s" : "c") + std::to_string(byte)).run();
      } catch (const std::exception &error) {
        trouble = error.what();
      }
      INFO((direction == Proxy::TO_SERVER ? "to the server" : "to the client")
           << ", after byte " << byte << " of " << length[direction] << ": " << trouble);
      CHECK(trouble.empty());
      cuts += proxy.was_cut();
      runs++;
    }
  }
  printf("cut %d of %d sessions, %d calls UNKNOWN\n", cuts, runs, unknown);
  CHECK(cuts > runs / 2);
  CHECK(unknown > 0);
}

TEST_CASE("A session over a network that delays everything loses nothing", "[faults][delay]") {
  Store store;
  Proxy proxy;
  proxy.delay(3);
  Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
  CHECK(Session(store, cache, "slow").run() == 0);
}

TEST_CASE("A session over a network that goes silent at any byte ends by its deadlines", "[rule:deadline][faults]") {
  Store store;
  Proxy proxy;
  std::mt19937_64 random(seed());
  INFO("PGCACHE_TEST_SEED=" << seed());
  for (int round = 0; round < longer(6, 200); round++) {
    proxy.black_hole(false);
    Cache cache = store.open({{"url", proxy.conninfo()}, {"pool_max", "1"}});
    REQUIRE(eventually([&] { return cache.get("x").status >= 0; }, 20000));
    int64_t left = static_cast<int64_t>(random() % 300);
    proxy.rewrite([&](Proxy::Direction, string &data) {
      left -= static_cast<int64_t>(data.size());
      if (left < 0)
        data.clear(); /* swallowed, from here on */
    });
    const int64_t start = now_ms();
    std::vector<Answer> answers;
    for (int i = 0; i < 3; i++) {
      answers.push_back(cache.put("k", "v", deadline(100)));
      answers.push_back(cache.get("k", deadline(100)));
    }
    CHECK(now_ms() - start < 600 + SLACK_MS);
    for (const Answer &answer : answers) {
      INFO(answer);
      CHECK((answer.status >= 0 || answer == PGCACHE_TIMEOUT || answer == PGCACHE_UNKNOWN ||
             answer == PGCACHE_UNAVAILABLE));
    }
    proxy.rewrite(nullptr);
    proxy.cut();
  }
}
