/*
 * snapshot.cpp - tests of snapshots: what is in one, how two add up, and their form in bytes, also damaged and forged.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

extern "C" {
#include "pure/siphash.h"
#include "state/snapshot.h"
}

namespace {

struct Free {
  void operator()(pgcache_snapshot *snapshot) const {
    pgcache_snapshot_free(snapshot);
  }
};
using Snapshot = std::unique_ptr<pgcache_snapshot, Free>;

const pgc_metric things = {"pgcache_things_total", "Things.", "", PGCACHE_COUNTER, false, 1};
const pgc_metric room = {"pgcache_room_bytes", "Room.", "bytes", PGCACHE_GAUGE, false, 1};
const pgc_metric last = {"pgcache_last_timestamp_seconds", "When.", "seconds", PGCACHE_GAUGE, true, 1};
const pgc_metric took = {"pgcache_took_seconds", "How long.", "seconds", PGCACHE_HISTOGRAM, false, 1e9};

/* The first is of a smaller process. */
Snapshot make(int scale) {
  Snapshot made(pgc_snapshot_new(1000 * scale, ("host/1/" + std::to_string(scale)).c_str()));
  REQUIRE(made != nullptr);
  const auto histogram = std::make_unique<pgc_histogram>();
  for (int i = 1; i <= 100 * scale; i++)
    pgc_histogram_add(histogram.get(), i * 1000, 1);
  for (int i = 0; i < scale + 1; i++) {
    const std::string name = "span\n" + std::to_string(i);
    const pgc_label labels[] = {{"operation", "get"}, {"span_name", name.c_str()}};
    pgc_snapshot_add_histogram(made.get(), &took, labels, 2, histogram.get());
  }
  const pgc_label blue[] = {{"colour", "blue"}};
  pgc_snapshot_add_value(made.get(), &things, nullptr, 0, 10.0 * scale);
  pgc_snapshot_add_value(made.get(), &things, blue, 1, 5.0 * scale);
  pgc_snapshot_add_value(made.get(), &room, nullptr, 0, 4096.0 * scale);
  pgc_snapshot_add_value(made.get(), &last, nullptr, 0, 1e9 + scale);
  REQUIRE_FALSE(pgc_snapshot_failed(made.get()));
  return made;
}

/* Everything that the accessors give, as a text. */
std::string text_of(const pgcache_snapshot *self, bool origin = true) {
  std::string out;
  if (origin)
    out = std::string(pgcache_snapshot_origin(self)) + " " + std::to_string(pgcache_snapshot_taken_at(self)) + "\n";
  for (size_t i = 0; i < pgcache_snapshot_size(self); i++) {
    out += std::string(pgcache_snapshot_name(self, i)) + "|" + pgcache_snapshot_help(self, i) + "|" +
           pgcache_snapshot_unit(self, i) + "|" + std::to_string(pgcache_snapshot_kind(self, i)) + "|";
    for (size_t l = 0; l < pgcache_snapshot_labels(self, i); l++)
      out +=
          std::string(pgcache_snapshot_label_name(self, i, l)) + "=" + pgcache_snapshot_label_value(self, i, l) + ",";
    out +=
        "|" + std::to_string(pgcache_snapshot_value(self, i)) + "|" + std::to_string(pgcache_snapshot_count(self, i));
    if (pgcache_snapshot_kind(self, i) == PGCACHE_HISTOGRAM) {
      for (const double percent : {0.0, 50.0, 99.0, 100.0})
        out += "|" + std::to_string(pgcache_snapshot_percentile(self, i, percent) * 1e9);
    }
    out += "\n";
  }
  return out;
}

/* The index of the sample of that name and first label's value; fails without. */
size_t at(const Snapshot &self, const std::string &name, const std::string &label = "") {
  for (size_t i = 0; i < pgcache_snapshot_size(self.get()); i++) {
    const size_t labels = pgcache_snapshot_labels(self.get(), i);
    if (name == pgcache_snapshot_name(self.get(), i) &&
        label == pgcache_snapshot_label_value(self.get(), i, labels > 0 ? labels - 1 : 0))
      return i;
  }
  FAIL(name << " " << label << " is not there");
  return 0;
}

std::string pack(const Snapshot &self) {
  pgc_buffer buffer = PGC_BUFFER_INIT;
  REQUIRE(pgc_snapshot_pack(self.get(), &buffer));
  std::string bytes(reinterpret_cast<const char *>(buffer.data), buffer.size);
  pgc_buffer_clear(&buffer);
  return bytes;
}

/* In memory of its own, so that a sanitizer sees whoever reads beyond it. */
Snapshot unpack(const std::string &bytes, bool *damaged) {
  const std::vector<char> own(bytes.begin(), bytes.end());
  return Snapshot(pgc_snapshot_unpack(own.data(), own.size(), damaged));
}

/* With the right checksum, as somebody who forges one would. */
std::string sealed(std::string bytes) {
  const uint64_t known[2] = {0x7067636163686553, 1};
  uint64_t hash[2];
  bytes.resize(bytes.size() - 8);
  pgc_siphash(hash, known, nullptr, 0, bytes.data(), bytes.size());
  for (int shift = 56; shift >= 0; shift -= 8)
    bytes += static_cast<char>(hash[0] >> shift);
  return bytes;
}

} // namespace

TEST_CASE("snapshots: samples give what was put in", "[snapshot]") {
  const Snapshot made = make(1);
  CHECK(std::string(pgcache_snapshot_origin(made.get())) == "host/1/1");
  CHECK(pgcache_snapshot_taken_at(made.get()) == 1000);
  REQUIRE(pgcache_snapshot_size(made.get()) == 6);
  const size_t first = at(made, "pgcache_took_seconds", "span\n0");
  CHECK(pgcache_snapshot_kind(made.get(), first) == PGCACHE_HISTOGRAM);
  CHECK(std::string(pgcache_snapshot_unit(made.get(), first)) == "seconds");
  CHECK(pgcache_snapshot_count(made.get(), first) == 100);
  CHECK(pgcache_snapshot_value(made.get(), first) == Approx(5050e-6));
  CHECK(pgcache_snapshot_percentile(made.get(), first, 50) == Approx(50e-6).epsilon(1.0 / 32));
  CHECK(pgcache_snapshot_count_to(made.get(), first, 1e-6) == 1);
  CHECK(pgcache_snapshot_count_to(made.get(), first, 0.001) == 100);
  CHECK(pgcache_snapshot_count_to(made.get(), first, std::numeric_limits<double>::infinity()) == 100);
  CHECK(pgcache_snapshot_value(made.get(), at(made, "pgcache_things_total")) == 10);
  CHECK(pgcache_snapshot_value(made.get(), at(made, "pgcache_things_total", "blue")) == 5);
  CHECK(pgcache_snapshot_count(made.get(), at(made, "pgcache_things_total")) == 0);
  CHECK(std::isnan(pgcache_snapshot_percentile(made.get(), at(made, "pgcache_things_total"), 50)));
}

TEST_CASE("snapshots: beyond the last there is nothing, and NULL has nothing", "[snapshot]") {
  const Snapshot made = make(1);
  for (const pgcache_snapshot *self :
       {static_cast<const pgcache_snapshot *>(made.get()), static_cast<const pgcache_snapshot *>(nullptr)}) {
    const size_t beyond = pgcache_snapshot_size(self);
    CHECK(std::string(pgcache_snapshot_name(self, beyond)).empty());
    CHECK(std::string(pgcache_snapshot_help(self, beyond)).empty());
    CHECK(std::string(pgcache_snapshot_unit(self, beyond)).empty());
    CHECK(static_cast<int>(pgcache_snapshot_kind(self, beyond)) == 0);
    CHECK(pgcache_snapshot_labels(self, beyond) == 0);
    CHECK(std::string(pgcache_snapshot_label_name(self, beyond, 0)).empty());
    CHECK(std::string(pgcache_snapshot_label_value(self, 0, 7)).empty());
    CHECK(std::isnan(pgcache_snapshot_value(self, beyond)));
    CHECK(pgcache_snapshot_count(self, beyond) == 0);
    CHECK(pgcache_snapshot_count_to(self, beyond, 1) == 0);
    CHECK(std::isnan(pgcache_snapshot_percentile(self, beyond, 50)));
  }
  CHECK(pgcache_snapshot_size(nullptr) == 0);
  CHECK(pgcache_snapshot_taken_at(nullptr) == 0);
  CHECK(std::string(pgcache_snapshot_origin(nullptr)).empty());
}

TEST_CASE("snapshots: two add up; of times the latest stays; names stand together", "[snapshot][rule:histogram]") {
  const Snapshot sum = make(1), other = make(2);
  const std::string before = text_of(other.get());
  REQUIRE(pgcache_snapshot_add(sum.get(), other.get(), nullptr) == PGCACHE_OK);
  CHECK(text_of(other.get()) == before);
  CHECK(std::string(pgcache_snapshot_origin(sum.get())) == "host/1/1");
  CHECK(pgcache_snapshot_taken_at(sum.get()) == 2000);
  REQUIRE(pgcache_snapshot_size(sum.get()) == 7); /* the other has one span more */
  CHECK(pgcache_snapshot_value(sum.get(), at(sum, "pgcache_things_total")) == 30);
  CHECK(pgcache_snapshot_value(sum.get(), at(sum, "pgcache_things_total", "blue")) == 15);
  CHECK(pgcache_snapshot_value(sum.get(), at(sum, "pgcache_room_bytes")) == 3 * 4096);
  CHECK(pgcache_snapshot_value(sum.get(), at(sum, "pgcache_last_timestamp_seconds")) == 1e9 + 2);
  CHECK(pgcache_snapshot_count(sum.get(), at(sum, "pgcache_took_seconds", "span\n0")) == 300);
  CHECK(pgcache_snapshot_count(sum.get(), at(sum, "pgcache_took_seconds", "span\n2")) == 200);
  CHECK(at(sum, "pgcache_took_seconds", "span\n2") == 2);
  const Snapshot reverse = make(2), one = make(1);
  REQUIRE(pgcache_snapshot_add(reverse.get(), one.get(), nullptr) == PGCACHE_OK);
  CHECK(text_of(reverse.get(), false) == text_of(sum.get(), false));
  REQUIRE(pgcache_snapshot_add(sum.get(), sum.get(), nullptr) == PGCACHE_OK); /* also itself */
  CHECK(pgcache_snapshot_value(sum.get(), at(sum, "pgcache_things_total")) == 60);
}

TEST_CASE("snapshots: what another version measures stays, and what it measures otherwise is left out", "[snapshot]") {
  const Snapshot self = make(1);
  const Snapshot other(pgc_snapshot_new(1, "host/2/1"));
  const pgc_metric unknown = {"pgcache_new_total", "New.", "", PGCACHE_COUNTER, false, 1};
  const pgc_metric changed = {"pgcache_things_total", "Things.", "", PGCACHE_GAUGE, false, 1};
  pgc_snapshot_add_value(other.get(), &unknown, nullptr, 0, 7);
  pgc_snapshot_add_value(other.get(), &changed, nullptr, 0, 7);
  REQUIRE(pgcache_snapshot_add(self.get(), other.get(), nullptr) == PGCACHE_OK);
  CHECK(pgcache_snapshot_value(self.get(), at(self, "pgcache_new_total")) == 7);
  CHECK(pgcache_snapshot_value(self.get(), at(self, "pgcache_things_total")) == 10);
}

TEST_CASE("snapshots: bytes give the same snapshot", "[snapshot][pack]") {
  bool damaged = true;
  for (const int scale : {1, 2, 50}) {
    const Snapshot made = make(scale), read = unpack(pack(made), &damaged);
    REQUIRE(read != nullptr);
    CHECK_FALSE(damaged);
    CHECK(text_of(read.get()) == text_of(made.get()));
  }
  const Snapshot empty(pgc_snapshot_new(0, "")), read = unpack(pack(empty), &damaged);
  REQUIRE(read != nullptr);
  CHECK(pgcache_snapshot_size(read.get()) == 0);
}

TEST_CASE("snapshots: no byte can be changed, added or left out", "[snapshot][pack]") {
  const std::string bytes = pack(make(2));
  bool damaged = false;
  for (size_t i = 0; i < bytes.size(); i++) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << i % 8));
    CHECK(unpack(changed, &damaged) == nullptr);
    CHECK(damaged);
    CHECK(unpack(bytes.substr(0, i), &damaged) == nullptr);
    CHECK(damaged);
  }
  CHECK(unpack(bytes + "x", &damaged) == nullptr);
  CHECK(damaged);
}

TEST_CASE("snapshots: forged ones are refused or harmless", "[snapshot][pack]") {
  const std::string bytes = pack(make(2));
  std::mt19937_64 random(11);
  int taken = 0;
  for (int i = 0; i < 20000; i++) {
    std::string forged = bytes;
    for (uint64_t n = random() % 4 + 1; n > 0; n--) {
      const size_t place = 5 + random() % (forged.size() - 13);
      if (random() % 4 == 0)
        forged.erase(place, 1);
      else
        forged[place] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
    }
    bool damaged = false;
    const Snapshot read = unpack(sealed(forged), &damaged);
    CHECK((read != nullptr) != damaged);
    if (read == nullptr)
      continue;
    taken++;
    CHECK(text_of(read.get()).size() < 100000);
    const Snapshot sum = make(1);
    CHECK(pgcache_snapshot_add(sum.get(), read.get(), nullptr) == PGCACHE_OK);
  }
  CHECK(taken > 100); /* else the forger was too clumsy */
  bool damaged = false;
  CHECK(unpack(sealed(bytes), &damaged) != nullptr);
  std::string newer = bytes;
  newer[4] = 2;
  CHECK(unpack(sealed(newer), &damaged) == nullptr);
  CHECK(damaged);
}

TEST_CASE("snapshots: names that no exposition can have, and doubles, are refused", "[snapshot][pack]") {
  bool damaged = false;
  const auto with = [&](const char *name, const std::vector<pgc_label> &first, const std::vector<pgc_label> &second) {
    const pgc_metric metric = {name, "Things.", "", PGCACHE_COUNTER, false, 1};
    const Snapshot made(pgc_snapshot_new(1, "o"));
    pgc_snapshot_add_value(made.get(), &metric, first.data(), first.size(), 1);
    pgc_snapshot_add_value(made.get(), &metric, second.data(), second.size(), 1);
    pgc_snapshot_add_value(made.get(), &room, nullptr, 0, 1);
    const Snapshot read = unpack(pack(made), &damaged);
    CHECK((read == nullptr) == damaged);
    return read != nullptr;
  };
  CHECK(with("things", {{"a", "1"}}, {{"a", "2"}}));
  CHECK(with("_things2", {{"a", "1"}}, {{"b", "1"}}));
  CHECK_FALSE(with("things", {{"a", "1"}}, {{"a", "1"}}));
  CHECK_FALSE(with("things", {{"a", "1"}, {"a", "2"}}, {}));
  CHECK_FALSE(with("", {}, {{"a", "2"}}));
  CHECK_FALSE(with("2things", {}, {{"a", "2"}}));
  CHECK_FALSE(with("things", {{"", "1"}}, {}));
  CHECK_FALSE(with("things", {{"1a", "1"}}, {}));
  CHECK_FALSE(with("things", {{"le", "1"}}, {}));
  CHECK_FALSE(with("things", {{"origin", "1"}}, {}));
  const Snapshot twice = make(1);
  pgc_snapshot_add_value(twice.get(), &things, nullptr, 0, 1); /* one of that name stands before others */
  CHECK(unpack(pack(twice), &damaged) == nullptr);

  const Snapshot many(pgc_snapshot_new(1, "o"));
  for (int i = 0; i <= 4000; i++) {
    const std::string value = std::to_string(i);
    const pgc_label label = {"a", value.c_str()};
    pgc_snapshot_add_value(many.get(), &things, &label, 1, 1);
  }
  CHECK(unpack(pack(many), &damaged) == nullptr);
}

TEST_CASE("snapshots: every allocation may fail", "[snapshot][allocation]") {
  const Snapshot first = make(1), second = make(3);
  const std::string bytes = pack(second), text = text_of(second.get());
  const auto fails = [](const std::function<bool()> &body) {
    return test::fail_each_allocation([&] { return body() ? PGCACHE_OK : PGCACHE_NO_MEMORY; });
  };
  CHECK(fails([&] {
          bool damaged = false;
          Snapshot read(pgc_snapshot_unpack(bytes.data(), bytes.size(), &damaged));
          CHECK_FALSE(damaged);
          return read != nullptr;
        }) > 10);
  CHECK(fails([&] {
          bool damaged = false;
          Snapshot sum(pgc_snapshot_unpack(bytes.data(), bytes.size(), &damaged));
          if (sum == nullptr)
            return false;
          if (pgcache_snapshot_add(sum.get(), first.get(), nullptr) == PGCACHE_OK)
            return true;
          CHECK(text_of(sum.get()) == text); /* then nothing was added */
          return false;
        }) > 20);
  CHECK(fails([&] {
          pgc_buffer buffer = PGC_BUFFER_INIT;
          const bool packed = pgc_snapshot_pack(second.get(), &buffer);
          pgc_buffer_clear(&buffer);
          return packed;
        }) >= 1);
}
