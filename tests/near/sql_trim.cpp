/*
 * sql_trim.cpp - what is old of the change stream is forgotten: not before a floor says so, never while somebody could
 * still need it, and not kept up by others' transactions for longer than must be.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "near/stream.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <atomic>

using namespace test;
using std::string;
using stream::Poller;

namespace {

struct Scene {
  Store store;
  Pg &pg = store.pg;

  void write(int n = 10, Pg *by = nullptr) {
    for (int i = 0; i < n; i++)
      (by != nullptr ? *by : pg).exec(store.sql("SELECT {s}.put('k" + std::to_string(i) + "'::text, 'v')"));
  }
  /* More than the stream is left alone with. */
  void fill() {
    pg.exec(store.sql("INSERT INTO {s}.changes (slot, kind, event) SELECT 0, 0, decode(repeat('00', 24), 'hex') "
                      "FROM generate_series(1, 30000)"));
  }
  /* One step, of a stream of which nothing is kept for long, and whatever its size. */
  bool step() {
    return pg.one(store.sql("SELECT {s}.trim_changes_older(1, 1)")) == "t";
  }
  void steps(int n) {
    for (int i = 0; i < n; i++) {
      sleep_ms(3);
      step();
    }
  }
  string slot() {
    return pg.one(store.sql("SELECT slot FROM {s}.marker"));
  }
  int64_t floor() {
    return std::stoll(pg.one(store.sql("SELECT floor FROM {s}.marker")));
  }
  int64_t rows() {
    return std::stoll(pg.one(store.sql("SELECT count(*) FROM {s}.changes")));
  }
};

} // namespace

TEST_CASE("Trimming goes step by step: another partition, a snapshot, the floor, and then it truncates", "[trim]") {
  Scene scene;
  CHECK_FALSE(scene.step()); /* nothing to do */
  Poller poller(scene.store.schema());
  scene.write();
  CHECK(scene.step());
  CHECK(scene.slot() != "0");
  CHECK(scene.rows() == 10);
  CHECK(scene.step()); /* the snapshot */
  sleep_ms(3);
  CHECK(scene.floor() == 0);
  const string old = poller.cursor;
  CHECK(poller.poll().size() == 10);
  CHECK(scene.step()); /* the floor */
  CHECK(scene.floor() > 0);
  CHECK(scene.rows() == 10);
  CHECK_FALSE(poller.position() < scene.floor());
  scene.write(3);
  CHECK(scene.step());
  CHECK(scene.rows() == 3);
  CHECK(poller.poll().size() == 3);
  CHECK_FALSE(poller.forgotten);
  poller.cursor = old;
  poller.poll();
  CHECK(poller.forgotten);
  scene.steps(12);
  CHECK(scene.rows() == 0);
  CHECK_FALSE(scene.step());
}

TEST_CASE("What is due is done by the library's janitor, and a small stream is left alone", "[trim][janitor]") {
  Scene scene;
  scene.write();
  const auto walk = [&] { /* pretends that the time has passed */
                          scene.pg.exec(scene.store.sql("UPDATE {s}.trimming SET next_at = '-infinity'"));
                          REQUIRE(scene.store.cache.cleanup() == PGCACHE_OK);
  };
  walk();
  CHECK(scene.slot() == "0");
  CHECK(scene.pg.one(scene.store.sql("SELECT count(*) FROM {s}.trimming")) == "0");
  scene.fill();
  for (int i = 0; i < 8 && scene.rows() > 0; i++)
    walk();
  CHECK(scene.rows() == 0);
  CHECK(scene.slot() != "0");
}

TEST_CASE("Nothing is kept for less than a minute by what applications may call", "[trim]") {
  Scene scene;
  scene.fill();
  const auto trim = [&] { return scene.pg.one(scene.store.sql("SELECT {s}.trim_changes()")) == "t"; };
  CHECK(trim()); /* another partition */
  CHECK(trim()); /* the snapshot */
  for (int i = 0; i < 100; i++)
    CHECK_FALSE(trim());
  CHECK(scene.floor() == 0);
  CHECK(scene.pg.one(scene.store.sql("SELECT next_at - clock_timestamp() > '50 s' FROM {s}.trimming")) == "t");
  /* A clock set back begins anew. */
  scene.pg.exec(scene.store.sql("UPDATE {s}.trimming SET next_at = next_at + '1 day', taken_at = taken_at + '1 day'"));
  CHECK(trim());
  CHECK(scene.floor() == 0);
  CHECK(scene.pg.one(scene.store.sql("SELECT taken_at <= clock_timestamp() FROM {s}.trimming")) == "t");
}

TEST_CASE("A partition with a row of a transaction under way stays; the others take turns", "[trim]") {
  Scene scene;
  Pg longer(url());
  longer.exec("BEGIN");
  scene.write(1, &longer);
  Poller poller(scene.store.schema());
  int64_t most = 0;
  for (int round = 0; round < 8; round++) {
    for (int i = 0; i < 10; i++)
      scene.pg.exec(scene.store.sql("SELECT {s}.put('other'::text, 'v')"));
    for (int i = 0; i < 4; i++) {
      poller.poll();
      CHECK_FALSE(poller.forgotten);
      scene.steps(1);
    }
    most = std::max(most, scene.rows());
  }
  CHECK(most <= 40); /* of 80 */
  CHECK(scene.floor() > 0);
  poller.poll();
  longer.exec("COMMIT");
  CHECK(poller.poll().size() == 1);
  CHECK_FALSE(poller.forgotten);
  scene.write(1);
  scene.steps(12);
  CHECK(scene.rows() == 0);
}

TEST_CASE("A row that the snapshot does not see keeps its partition, although its transaction has ended since",
          "[trim]") {
  Scene scene;
  scene.write();
  Pg other(url());
  other.exec("BEGIN");
  scene.write(1, &other);
  CHECK(scene.step()); /* another partition */
  CHECK(scene.step()); /* the snapshot */
  Poller poller(scene.store.schema());
  other.exec("COMMIT");
  sleep_ms(3);
  CHECK(scene.step()); /* the floor */
  CHECK(scene.step());
  CHECK(scene.rows() == 11);
  CHECK(poller.poll().size() == 1);
  CHECK_FALSE(poller.forgotten);
  scene.steps(12);
  CHECK(scene.rows() == 0);
}

TEST_CASE("A reader of all partitions keeps them, and the stream is whole and trimmed when it ends", "[trim]") {
  Scene scene;
  Poller poller(scene.store.schema());
  scene.write();
  Pg reader(url());
  reader.exec("BEGIN");
  reader.exec(scene.store.sql("SELECT count(*) FROM {s}.changes"));
  for (int i = 0; i < 6; i++) {
    scene.steps(1);
    const int64_t began = now_ms();
    scene.write(1);
    poller.poll();
    CHECK(now_ms() - began < 15000); /* nobody waits for it: it goes on until the end */
  }
  CHECK(scene.rows() == 16);
  reader.exec("COMMIT");
  scene.steps(15);
  CHECK(scene.rows() == 0);
}

TEST_CASE("Who writes with an old number of the partition is read all the same", "[trim]") {
  Scene scene;
  Pg old(url());
  old.exec("BEGIN ISOLATION LEVEL REPEATABLE READ");
  old.exec(scene.store.sql("SELECT slot FROM {s}.marker"));
  scene.write();
  scene.steps(6);
  REQUIRE(scene.slot() != "0");
  Poller poller(scene.store.schema());
  old.exec(scene.store.sql("SELECT {s}.put('old'::text, 'v')"));
  scene.steps(4);
  old.exec("COMMIT");
  CHECK(scene.pg.one(scene.store.sql("SELECT count(*) FROM {s}.changes_0")) == "1");
  CHECK(poller.poll().size() == 1);
  scene.steps(12);
  CHECK(scene.rows() == 0);
}

TEST_CASE("Trimming keeps out of transactions whose snapshot or number would make it wrong, and of long ones",
          "[trim]") {
  Scene scene;
  scene.write();
  CHECK(scene.step());
  for (const char *begin : {"BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE",
                            "BEGIN; SELECT pg_current_xact_id()", "BEGIN; SELECT pg_sleep(1.1)"}) {
    INFO(begin);
    scene.pg.exec(begin);
    CHECK_FALSE(scene.step());
    scene.pg.exec("COMMIT");
  }
  scene.pg.exec("BEGIN");
  CHECK(scene.step()); /* a step at a time: the next one needs the commit of this */
  sleep_ms(3);
  CHECK_FALSE(scene.step());
  scene.pg.exec("COMMIT");
  CHECK(scene.step());
}

TEST_CASE("Many trim at the same time, while others write and poll", "[trim][threads]") {
  Scene scene;
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  in_threads(6, [&](int thread) {
    Pg pg(url());
    if (thread < 2) {
      for (int i = 0; i < longer(300, 5000); i++)
        pg.exec(scene.store.sql("SELECT {s}.put('k" + std::to_string(thread) + "'::text, 'v')"));
      over = true;
    } else if (thread < 5) {
      while (!over) { /* the lock of another one may be waited for too long: trim_changes() says false then */
        const string state = pg.sqlstate(scene.store.sql("SELECT {s}.trim_changes_older(1, 1)"));
        wrong += state != "00000" && state != "55P03";
      }
    } else {
      Poller poller(scene.store.schema());
      while (!over)
        poller.poll();
    }
  });
  CHECK(wrong == 0);
  scene.steps(20);
  CHECK(scene.rows() == 0);
}
