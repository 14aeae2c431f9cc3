/*
 * listener.cpp - a listener on a server that is well: what others write is heard within milliseconds and proven by polls, and
 * whatever arrives on the channel can only take entries away.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "reader.hpp"

#include "support/private_server.hpp"
#include "support/proxy.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

using namespace test;
using std::string;

namespace {

/* Writes as anybody does: with SQL, on a plain connection. */
void put(Pg &pg, const Store &store, const string &key, const string &value) {
  pg.query(store.sql("SELECT {s}.put($1::text::bytea, $2::text::bytea)"), {key, value});
}

string channel_of(const Store &store) {
  Pg pg(url());
  return pg.one(store.sql("SELECT notify_channel FROM {s}.cache"));
}

/* Which only who may use the cache can read. */
string nonce_of(const Store &store) {
  Pg pg(url());
  return pg.one(store.sql("SELECT replace(nonce::text, '-', '') FROM {s}.library_poll_changes('')"));
}

} // namespace

TEST_CASE("A fence applies all that was acknowledged before it, whoever wrote it", "[fence][rule:fence]") {
  Store store;
  Reader reader(store);
  put(store.pg, store, "k", "0");
  REQUIRE(reader.fence() == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  REQUIRE(reader.held("k") == "0");
  for (int i = 1; i <= longer(100, 2000); i++) {
    switch (i % 4) {
    case 0:
      REQUIRE(store.cache.put("k", std::to_string(i)) == PGCACHE_OK);
      break;
    case 1:
      put(store.pg, store, "k", std::to_string(i));
      break;
    case 2:
      store.pg.exec("BEGIN");
      store.pg.exec("SAVEPOINT a");
      put(store.pg, store, "k", std::to_string(i));
      store.pg.exec("ROLLBACK TO a");
      put(store.pg, store, "k", std::to_string(i));
      store.pg.exec("COMMIT");
      break;
    default:
      store.pg.query(store.sql("SELECT {s}.remove('k'::bytea)"));
      REQUIRE(reader.fence() == PGCACHE_OK);
      REQUIRE(reader.held("k") == "-");
      put(store.pg, store, "k", std::to_string(i));
    }
    REQUIRE(reader.fence() == PGCACHE_OK);
    REQUIRE(reader.held("k") == "-");
    REQUIRE(reader.keep("k"));
    REQUIRE(reader.held("k") == std::to_string(i));
  }
  CHECK(reader.flushes(PGC_NEAR_FLUSH_GAP) == 0);
  CHECK(reader.flushes(PGC_NEAR_FLUSH_EPOCH) == 0);
}

TEST_CASE("One of several listeners is the relay, and the others hear what it sends before they poll", "[relay]") {
  Store store;
  const Settings slow = {{"near_staleness_ms", "60000"}}; /* polls of their own are 15 s apart */
  Reader one(store, slow), two(store, slow), three(store, slow);
  Reader *readers[] = {&one, &two, &three};
  put(store.pg, store, "k", "0");
  for (Reader *reader : readers)
    REQUIRE(reader->keep("k"));
  /* Somebody leads soon, and then each write is heard of without a poll. */
  int64_t slowest = 0, before = pgc_counted(&one.counters().near_messages) +
                                pgc_counted(&two.counters().near_messages) +
                                pgc_counted(&three.counters().near_messages);
  REQUIRE(eventually([&] {
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.relay WHERE until > clock_timestamp()")) == "1";
  }));
  for (int i = 1; i <= 20; i++) {
    for (Reader *reader : readers)
      REQUIRE(reader->keep("k"));
    const int64_t begun = now_ms();
    put(store.pg, store, "k", std::to_string(i));
    for (Reader *reader : readers)
      REQUIRE(eventually([&] { return reader->held("k") == "-"; }));
    slowest = std::max(slowest, now_ms() - begun);
  }
  INFO("the slowest took " << slowest << " ms");
  CHECK(slowest < 10000); /* and not by a poll */
  const int64_t heard = pgc_counted(&one.counters().near_messages) + pgc_counted(&two.counters().near_messages) +
                        pgc_counted(&three.counters().near_messages) - before;
  CHECK(heard >= 2 * 15); /* keep() makes polls, of which one may have been first */
}

TEST_CASE("[A31] An idle process with everything on holds one connection", "[A31]") {
  Store store;
  const string name = store.schema();
  Reader reader(store, {{"pool_idle_ms", "100"}}, url_with({{"application_name", name}}));
  CHECK(store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", {name}) == "0");
  REQUIRE(reader.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(reader.keep("k"));
  const auto count = [&] {
    return store.pg.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", {name});
  };
  CHECK(eventually([&] { return count() == "1"; }));
  for (int i = 0; i < 5; i++) {
    sleep_ms(50);
    CHECK(count() == "1");
  }
  CHECK(reader.held("k") == "v");
}

TEST_CASE("[A32] Garbage on the channel is counted and changes nothing; a gap makes a poll", "[A32]") {
  Store store;
  Reader reader(store, {{"near_staleness_ms", "60000"}});
  put(store.pg, store, "k", "v");
  REQUIRE(reader.keep("k"));
  const string channel = channel_of(store);
  const auto notify = [&](const string &payload) { store.pg.query("SELECT pg_notify($1, $2)", {channel, payload}); };
  const auto refused = [&] { return pgc_counted(&reader.counters().near_messages_refused); };
  const string nonce(32, 'a');
  for (const string &payload :
       {string("x"), string(""), string("1 "), string(7999, '1'), "1 " + nonce + " 1 1 1 1:2: AAIAAAAA",
        "1 " + nonce + " 99999999 1 1 1:2: AAIAAAAA", "1 " + nonce + " 1 1 2 - ////"}) {
    const int64_t before = refused();
    notify(payload);
    CHECK(eventually([&] { return refused() > before; }));
  }
  CHECK(reader.held("k") == "v");
  CHECK(reader.counts().flushes[PGC_NEAR_FLUSH_STREAM] == 0);

  const string right = nonce_of(store);
  const int64_t gaps = pgc_counted(&reader.counters().near_gaps), polls = pgc_counted(&reader.counters().near_polls);
  notify("1 " + right + " 9000000000000000000 1 1 9100000000000000000:9100000000000000000: AAIAAAAA");
  CHECK(eventually([&] { return pgc_counted(&reader.counters().near_gaps) == gaps + 1; }));
  CHECK(eventually([&] { return pgc_counted(&reader.counters().near_polls) > polls; }));
  CHECK(reader.held("k") == "v");
}

TEST_CASE("[A32] A message that leads further than the server has come hides nothing", "[A32]") {
  Store store;
  Reader reader(store, {{"near_staleness_ms", "60000"}});
  const string channel = channel_of(store), nonce = nonce_of(store);
  for (const char *frames : {"AAMAAAAA" /* nothing */, "AAIAAAAA" /* everything */}) {
    REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
    REQUIRE(reader.keep("k"));
    const int64_t messages = pgc_counted(&reader.counters().near_messages), gaps = reader.flushes(PGC_NEAR_FLUSH_GAP);
    store.pg.query("SELECT pg_notify($1, $2)",
                   {channel, "1 " + nonce + " 0 1 1 9100000000000000000:9100000000000000000: " + frames});
    REQUIRE(eventually([&] { return pgc_counted(&reader.counters().near_messages) > messages; }));
    REQUIRE(store.cache.put("k", "w") == PGCACHE_OK);
    REQUIRE(reader.fence() == PGCACHE_OK);
    CHECK(reader.held("k") == "-");
    CHECK(reader.flushes(PGC_NEAR_FLUSH_GAP) > gaps);
  }
}

TEST_CASE("[A32] Where a role is kept to namespaces, a message that leads a little too far hides nothing", "[A32]") {
  PrivateServer server;
  Store store({}, server.conninfo());
  store.pg.exec("CREATE ROLE kept LOGIN");
  store.pg.exec(store.sql("SELECT {s}.grant_access('kept', ARRAY['its_own'])"));
  Reader relay(store, {{"near_staleness_ms", "60000"}}, server.conninfo());
  REQUIRE(eventually([&] {
    (void)relay.fence();
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.relay WHERE until > clock_timestamp()")) == "1";
  }));
  Reader reader(store, {{"near_staleness_ms", "60000"}}, server.conninfo());
  put(store.pg, store, "k", "v");
  REQUIRE(reader.keep("k"));
  Pg kept(server.conninfo("kept"));
  const auto polled = kept.query(store.sql(
      "SELECT channel, replace(nonce::text, '-', ''), pg_snapshot_xmax(snapshot::pg_snapshot)::text::bigint + 20 "
      "FROM {s}.restricted_poll_changes('')"))[0];
  const int64_t messages = pgc_counted(&reader.counters().near_messages);
  kept.query("SELECT pg_notify($1, $2)",
             {polled[0], "1 " + polled[1] + " 0 1 1 " + polled[2] + ":" + polled[2] + ": AAMAAAAA"});
  REQUIRE(eventually([&] { return pgc_counted(&reader.counters().near_messages) > messages; }));
  for (int i = 0; i < 40; i++)
    put(store.pg, store, i == 5 ? "k" : "other", "w");
  REQUIRE(reader.fence() == PGCACHE_OK);
  CHECK(reader.held("k") == "-");
  CHECK(reader.flushes(PGC_NEAR_FLUSH_GAP) == 0);
}

TEST_CASE("[A32] Parts that do not belong together, or tell of no changes, are a gap or nothing", "[A32]") {
  Store store;
  Reader reader(store, {{"near_staleness_ms", "60000"}});
  put(store.pg, store, "k", "v");
  REQUIRE(reader.keep("k"));
  const string channel = channel_of(store), head = "1 " + nonce_of(store) + " ";
  const auto notify = [&](const string &payload) {
    const int64_t heard = pgc_counted(&reader.counters().near_messages);
    store.pg.query("SELECT pg_notify($1, $2)", {channel, head + payload});
    REQUIRE(eventually([&] { return pgc_counted(&reader.counters().near_messages) > heard; }));
  };
  const auto gaps = [&] { return pgc_counted(&reader.counters().near_gaps); };
  const string last = " 9100000000000000000:9100000000000000000: ";
  for (const string &second : {string("2 2 2") + last, string("0 2 3 - "), string("0 3 3") + last}) {
    INFO("behind part 1 of 2 from 0: " << second);
    REQUIRE(reader.fence() == PGCACHE_OK);
    notify("0 1 2 - AAIAAAAA");
    const int64_t before = gaps();
    notify(second + "AAIAAAAA");
    CHECK(eventually([&] { return gaps() == before + 1; }));
  }
  const int64_t refused = pgc_counted(&reader.counters().near_messages_refused);
  notify("0 1 1" + last + "AAAAAAAB"); /* no frame */
  CHECK(eventually([&] { return pgc_counted(&reader.counters().near_messages_refused) == refused + 1; }));
  CHECK(reader.held("k") == "v"); /* nothing of all this was applied */
  CHECK(reader.counts().flushes[PGC_NEAR_FLUSH_STREAM] == 0);
  put(store.pg, store, "k", "w");
  REQUIRE(reader.fence() == PGCACHE_OK);
  CHECK(reader.held("k") == "-");
}

TEST_CASE("Notifications that lie cost polls, but only so many", "[A32]") {
  Store store;
  Reader reader(store);
  put(store.pg, store, "k", "v");
  REQUIRE(reader.keep("k"));
  const string channel = channel_of(store);
  const int64_t polls = pgc_counted(&reader.counters().near_polls), begun = now_ms();
  for (int i = 0; i < 2000; i++)
    store.pg.query("SELECT pg_notify($1, $2)", {channel, "1 " + string(32, 'a') + " 1 2 2 1:2: "});
  const int64_t spent = now_ms() - begun, made = pgc_counted(&reader.counters().near_polls) - polls;
  INFO(made << " polls in " << spent << " ms");
  CHECK(made <= spent / 4 + 20);
  CHECK(reader.held("k") == "v");
}

TEST_CASE("Fences of many threads while others write: what was acknowledged before is applied",
          "[fence][threads][rule:fence]") {
  Store store;
  Reader reader(store); /* half of its bound is a poll's time */
  put(store.pg, store, "k", "0");
  REQUIRE(reader.fence() == PGCACHE_OK);
  std::atomic<int> failed{0}, stale{0};
  std::atomic<int64_t> acknowledged{0};
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    Pg pg(url());
    for (int64_t i = 1; !stop; i++) {
      put(pg, store, "k", std::to_string(i));
      acknowledged = i;
    }
  });
  in_threads(8, [&](int) {
    for (int i = 0; i < 50; i++) {
      const int64_t before = acknowledged;
      failed += reader.fence() != PGCACHE_OK;
      const string held = reader.held("k");
      stale += held != "-" && std::stoll(held) < before;
      reader.fill("k");
    }
  });
  stop = true;
  writer.join();
  CHECK(failed == 0);
  CHECK(stale == 0);
}

TEST_CASE("Fences that wait at the same time share polls", "[fence][threads]") {
  Store store;
  Proxy proxy;
  Reader relay(store), reader(store, {{"near_staleness_ms", "60000"}, {"listen_url", proxy.conninfo()}});
  /* So that the reader polls only when it is asked to. */
  REQUIRE(eventually([&] {
    (void)relay.fence();
    return store.pg.one(store.sql("SELECT count(*) FROM {s}.relay WHERE until > clock_timestamp()")) == "1";
  }));
  REQUIRE(reader.fence() == PGCACHE_OK);
  const int threads = 8;
  int64_t made = 0;
  /* A thread that comes late, on a busy machine, has a poll of its own. */
  CHECK(in_one_of(10, [&] {
    const int64_t polls = pgc_counted(&reader.counters().near_polls);
    std::atomic<int> failed{0}, waiting{0};
    proxy.hold_answers(true);
    std::thread answers([&] {
      eventually([&] { return waiting == threads; });
      sleep_ms(100);
      proxy.hold_answers(false);
    });
    in_threads(threads, [&](int) {
      waiting++;
      failed += reader.fence() != PGCACHE_OK;
    });
    answers.join();
    CHECK(failed == 0);
    made = pgc_counted(&reader.counters().near_polls) - polls;
    return made <= 3; /* one was under way, and one of its own was due */
  }));
  INFO(threads << " fences, " << made << " polls");
}

TEST_CASE("A fence ends at its deadline, at a shutdown, and says why there is nothing to wait for", "[fence]") {
  Store store;
  {
    Reader reader(store);
    CHECK(reader.fence(0) == PGCACHE_TIMEOUT);
    REQUIRE(reader.fence() == PGCACHE_OK);
    reader.cache.shutdown();
    CHECK(reader.fence() == PGCACHE_CLOSED);
  }
  Reader nobody(store, {{"url", "host=/nowhere/at/all dbname=x"}});
  const Answer refused = nobody.fence();
  CHECK(refused == PGCACHE_UNAVAILABLE);
  CHECK_FALSE(nobody.is_valid());
  Reader no_schema(store, {{"schema", "no_such_schema"}});
  CHECK(no_schema.fence() == PGCACHE_SCHEMA_MISSING);
  Reader no_role(store, {}, url_with({{"user", "nobody_of_that_name"}}));
  CHECK(no_role.fence() == PGCACHE_DENIED);
}

TEST_CASE("The auditor finds nothing while the stream is true, and what does not belong when it is not", "[audit]") {
  Store store;
  Reader reader(store, {{"near_audit_ms", "20"}});
  for (int i = 0; i < 10; i++) {
    put(store.pg, store, "k" + std::to_string(i), "v");
    REQUIRE(reader.keep("k" + std::to_string(i)));
  }
  const auto audited = [&] { return pgc_counted(&reader.counters().near_audited); };
  CHECK(eventually([&] { return audited() > 20; }));
  CHECK(pgc_counted(&reader.counters().near_disagreements) == 0);

  /* What the stream did not tell of. */
  SECTION("written") {
    store.pg.exec(store.sql("UPDATE {s}.entries SET version = version + 1"));
  }
  SECTION("removed") {
    store.pg.exec(store.sql("DELETE FROM {s}.entries"));
  }
  SECTION("invalidated") {
    store.pg.exec(store.sql("INSERT INTO {s}.invalidations SELECT digest FROM {s}.entries"));
  }
  CHECK(eventually([&] { return pgc_counted(&reader.counters().near_disagreements) > 0; }));
}
