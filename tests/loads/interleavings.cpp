/*
 * interleavings.cpp - the race that guarded fills close, in every order of the steps of those who take part: generated, not
 * picked. And bugs planted into the statements, each of which must be found by that.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/plants.hpp"
#include "loads/scene.hpp"
#include "support/catch.hpp"

#include <cstdio>

using namespace loads;
using std::string;

namespace {

const Actor reader = {"reader", {LEASE, READ, FILL, GET}}, second = {"second reader", {LEASE, READ, FILL, GET}};

const Actor writers[] = {
    {"writer", {CHANGE}},
    {"writer", {BEGIN, UPDATE, INVALIDATE, COMMIT}},
    {"writer", {BEGIN, INVALIDATE, UPDATE, COMMIT}},
    {"writer", {BEGIN, UPDATE, INVALIDATE, ROLLBACK}},
    {"writer", {BEGIN, SAVEPOINT, UPDATE, INVALIDATE, RELEASE, COMMIT}},
    {"writer", {BEGIN, SAVEPOINT, UPDATE, INVALIDATE, ROLLBACK_TO, COMMIT}},
    {"writer", {BEGIN, UPDATE, INVALIDATE, PREPARE, COMMIT_PREPARED}},
    {"writer", {BEGIN, UPDATE, INVALIDATE, PREPARE, ROLLBACK_PREPARED}},
};
/* Triggers invalidate. */
const Actor watched_writers[] = {
    {"writer", {UPDATE}},
    {"writer", {BEGIN, UPDATE, COMMIT}},
    {"writer", {BEGIN, SAVEPOINT, UPDATE, RELEASE, COMMIT}},
};
constexpr int64_t ALL = int64_t(1) << 60;

const char *const isolations[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};

/* What others may do at any moment. */
const Actor others[] = {{"putter", {PUT}}, {"remover", {REMOVE}}, {"toucher", {TOUCH}}, {"clock", {EXPIRE}}};

std::vector<size_t> steps_of(const std::vector<Actor> &actors) {
  std::vector<size_t> steps;
  for (const Actor &actor : actors)
    steps.push_back(actor.steps.size());
  return steps;
}

/* Plays orders of each kind: all, or `most` random ones of each. Stops at the first violation. */
class Play {
public:
  explicit Play(Scene &scene) : scene_(scene), random_(test::seed()) {}

  /* With every writer, isolation level, kind of dependency, with and without an open transaction of somebody else's. */
  void with(const std::vector<Actor> &before, const std::vector<Actor> &after, int64_t most) {
    for (const Depends depends : {ON_KEY, ON_TAG}) {
      for (const Actor &writer : writers)
        at_all_levels(before, writer, after, depends, most);
    }
    for (const Actor &writer : watched_writers)
      at_all_levels(before, writer, after, ON_WATCHED, most);
  }
  /* So many, each of a kind chosen at random. */
  void some(int64_t count) {
    std::uniform_int_distribution<size_t> any(0, 1 << 20);
    const auto one_of = [&](const auto &list) { return list[any(random_) % (sizeof list / sizeof *list)]; };
    for (int64_t i = 0; i < count && tally_.violations == 0; i++) {
      std::vector<Actor> actors = {reader};
      if (any(random_) % 2 == 0)
        actors.push_back(second);
      const auto depends = static_cast<Depends>(any(random_) % 3);
      actors.push_back(depends == ON_WATCHED ? one_of(watched_writers) : one_of(writers));
      if (any(random_) % 2 == 0)
        actors.push_back(one_of(others));
      Schedules(steps_of(actors)).each(1, random_, [&](const Order &order) {
        scene_.play(actors, order, {one_of(isolations), depends, any(random_) % 2 == 0}, &tally_);
        return true;
      });
    }
  }
  /* All orders of two readers, a writer and one of the others, in as few steps as can be. */
  void all_with(const string &name) {
    static const std::vector<Step> load = {LEASE, READ, FILL};
    for (const Actor &other : others) {
      if (name != other.name)
        continue;
      const std::vector<Actor> actors = {{"reader", load}, {"second reader", load}, {"writer", {CHANGE}}, other};
      Schedules(steps_of(actors), true).each(ALL, random_, [&](const Order &order) {
        scene_.play(actors, order, {}, &tally_);
        return tally_.violations == 0;
      });
    }
  }
  const Tally &tally() const {
    return tally_;
  }
  void print(const char *what) const {
    printf(
        "%s: %lld interleavings, %lld violations; %lld statements had to wait, %lld fills, %lld refused, %lld values "
        "served\n",
        what, static_cast<long long>(tally_.interleavings), static_cast<long long>(tally_.violations),
        static_cast<long long>(tally_.blocked), static_cast<long long>(tally_.filled),
        static_cast<long long>(tally_.refused), static_cast<long long>(tally_.served));
    fflush(stdout);
  }

private:
  void at_all_levels(const std::vector<Actor> &before, const Actor &writer, const std::vector<Actor> &after,
                     Depends depends, int64_t most) {
    std::vector<Actor> actors = before;
    actors.push_back(writer);
    actors.insert(actors.end(), after.begin(), after.end());
    for (const bool busy : {false, true}) {
      for (const char *isolation : isolations) {
        Schedules(steps_of(actors), before.size() == 2).each(most, random_, [&](const Order &order) {
          scene_.play(actors, order, {isolation, depends, busy}, &tally_);
          return tally_.violations == 0;
        });
        if (tally_.violations > 0)
          return;
      }
    }
  }

  Scene &scene_;
  std::mt19937_64 random_;
  Tally tally_;
};

int64_t longer(int64_t usual, int64_t in_a_long_run) {
  return test::is_long() ? in_a_long_run : usual;
}

void must_be_right(const Play &play, const char *what) {
  play.print(what);
  INFO(play.tally().first);
  CHECK(play.tally().violations == 0);
  /* Who invalidates never makes anybody wait. */
  CHECK(play.tally().blocked == 0);
  /* And it is no proof if nothing was ever stored, refused or served. */
  CHECK(play.tally().filled > play.tally().interleavings / 4);
  CHECK(play.tally().refused > 0);
  CHECK(play.tally().served > play.tally().interleavings);
}

} // namespace

TEST_CASE("[A46] No order of the steps of one reader and one writer gives what a commit made false",
          "[guard][A46][rule:guard]") {
  Scene scene;
  Play play(scene);
  play.with({reader}, {}, longer(8, ALL));
  must_be_right(play, "one reader, one writer");
}

TEST_CASE("[A46] Nor of two readers and one writer", "[guard][A46][rule:guard]") {
  Scene scene;
  Play play(scene);
  play.with({reader, second}, {}, longer(4, 2000));
  must_be_right(play, "two readers, one writer");
}

TEST_CASE("[A46] Nor when somebody puts, removes or touches the entry, or leases end meanwhile",
          "[guard][A46][rule:guard]") {
  Scene scene;
  Play play(scene);
  for (const Actor &other : others) {
    play.with({reader}, {other}, longer(1, 500));
    play.with({reader, second}, {other}, longer(1, 500));
  }
  must_be_right(play, "readers, one writer, and a put, a remove, a touch or the end of leases");
}

TEST_CASE("Bugs that are planted into the statements are found by interleavings", "[guard][planted]") {
  for (const Plant &plant : plants()) {
    Scene scene(&plant);
    Play play(scene);
    if (*plant.with == '\0')
      play.some(2000);
    else
      play.all_with(plant.with);
    INFO(plant.name);
    CHECK(play.tally().violations > 0);
    printf("planted: %s, found after %lld interleavings: %s\n", plant.name,
           static_cast<long long>(play.tally().interleavings), play.tally().first.c_str());
    fflush(stdout);
  }
}
