/*
 * requests.cpp - requests as pieces of memory: what they hold is freed once, and a completion says what became of them.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include "support/alloc_fail.hpp"

extern "C" {
#include "engine/inside.h"
#include "pure/error.h"
}

#include <cstring>
#include <string>

using std::string;

namespace {

pgcache_value *value_of(const char *text) {
  pgcache_value *value = pgc_value_new(strlen(text));
  memcpy(value->own, text, strlen(text));
  return value;
}

/* A request for the keys a and b, as the items b, a, b: with the parts in the order of their keys. */
pgc_request *three_items() {
  void *room = nullptr;
  pgc_request *self = pgc_request_new(2 * sizeof(pgc_part) + 3 * sizeof(pgcache_item) + 3 * sizeof(uint32_t), &room);
  self->parts = static_cast<pgc_part *>(room);
  self->part_count = 2;
  self->items = reinterpret_cast<pgcache_item *>(self->parts + 2);
  self->count = 3;
  self->item_part = reinterpret_cast<uint32_t *>(self->items + 3);
  const uint32_t parts[] = {1, 0, 1};
  const char *keys[] = {"a", "b"};
  for (int i = 0; i < 3; i++) {
    self->item_part[i] = parts[i];
    self->items[i] = pgcache_item(PGCACHE_ITEM_INIT);
    self->items[i].key = keys[parts[i]];
    self->items[i].key_len = 1;
  }
  for (int i = 0; i < 2; i++) {
    self->parts[i].key.key = keys[i];
    self->parts[i].key.key_len = 1;
    self->parts[i].place = PGC_PART_AWAY;
  }
  self->token = 7;
  return self;
}

void end_part(pgc_part &part, pgcache_status status, int64_t version, const char *found) {
  part.place = PGC_PART_DONE;
  part.key.status = status;
  part.key.version = version;
  part.key.found = found != nullptr ? value_of(found) : nullptr;
}

string key_of(const pgcache_item &item) {
  return string(static_cast<const char *>(item.key), item.key_len);
}

} // namespace

TEST_CASE("a request's room is zeroed and aligned for any type", "[requests]") {
  for (const size_t extra : {size_t{0}, size_t{1}, size_t{1000}}) {
    void *room = nullptr;
    pgc_request *self = pgc_request_new(extra, &room);
    REQUIRE(self != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(room) % alignof(max_align_t) == 0);
    for (size_t i = 0; i < extra; i++)
      REQUIRE(static_cast<unsigned char *>(room)[i] == 0);
    pgc_request_free(self);
  }
  void *room = nullptr;
  CHECK(pgc_request_new(SIZE_MAX, &room) == nullptr);
  pgc_request_free(nullptr);
}

TEST_CASE("an outcome has no message; a failure always has one", "[requests]") {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgc_fail_sql(&error, PGCACHE_CONFLICT, "40P01", "what happened");
  const auto settled = [](pgcache_status status, const pgcache_error *with) {
    void *room = nullptr;
    pgc_request *self = pgc_request_new(0, &room);
    pgc_request_settle(self, status, with);
    CHECK(pgcache_completion_status(self) == status);
    const string text = string(pgcache_completion_sqlstate(self)) + "|" + pgcache_completion_message(self);
    pgc_request_free(self);
    return text;
  };
  CHECK(settled(PGCACHE_OK, nullptr) == "|");
  CHECK(settled(PGCACHE_MISS, &error) == "|");
  CHECK(settled(PGCACHE_CONFLICT, &error) == "40P01|what happened");
  CHECK(settled(PGCACHE_TIMEOUT, &error) ==
        string("|") + pgcache_status_text(PGCACHE_TIMEOUT)); /* of another failure */
  CHECK(settled(PGCACHE_CANCELLED, nullptr) == string("|") + pgcache_status_text(PGCACHE_CANCELLED));

  test::Allocations allocations(2, test::Failing::Once);
  CHECK(settled(PGCACHE_CONFLICT, &error) == string("40P01|") + pgcache_status_text(PGCACHE_CONFLICT));
  CHECK(test::Allocations::failed() == 1);
  CHECK(test::Allocations::alive() == 0);
}

TEST_CASE("items get the outcomes of their parts, and the whole the first failure in their order", "[requests]") {
  test::Allocations allocations(1000, test::Failing::Once);
  pgc_request *self = three_items();
  SECTION("all well") {
    end_part(self->parts[0], PGCACHE_MISS, 11, nullptr);
    end_part(self->parts[1], PGCACHE_OK, 12, "found");
    CHECK(pgc_request_gather(self) == PGCACHE_OK);
    for (const int i : {0, 2}) {
      CHECK(self->items[i].status == PGCACHE_OK);
      CHECK(self->items[i].version == 12);
      CHECK(pgcache_completion_value(self, static_cast<size_t>(i)) == self->parts[1].key.found);
    }
    CHECK(self->parts[1].key.found->refs == 3);
    CHECK(self->items[1].status == PGCACHE_MISS);
    CHECK(self->items[1].version == 0);
    CHECK(self->items[1].result == nullptr);
  }
  SECTION("two failures") {
    end_part(self->parts[0], PGCACHE_FULL, 0, nullptr);
    end_part(self->parts[1], PGCACHE_DENIED, 0, nullptr);
    CHECK(pgc_request_gather(self) == PGCACHE_DENIED);
  }
  pgc_request_free(self);
  CHECK(test::Allocations::alive() == 0);
}

TEST_CASE("a completion that goes ahead has copies, and leaves alone what is away", "[requests]") {
  test::Allocations allocations(1000, test::Failing::Once);
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgc_fail(&error, PGCACHE_UNKNOWN, "the deadline passed");
  pgc_request *request = three_items();
  end_part(request->parts[0], PGCACHE_OK, 5, "early");
  request->parts[1].key.status = PGCACHE_FULL; /* as it comes to be while it is away */
  pgc_request *ahead = pgc_request_new_ahead(request, PGCACHE_UNKNOWN, &error);
  REQUIRE(ahead != nullptr);
  end_part(request->parts[1], PGCACHE_OK, 6, "late");
  CHECK(pgc_request_gather(request) == PGCACHE_OK);
  pgc_request_free(request);

  CHECK(pgcache_completion_status(ahead) == PGCACHE_UNKNOWN);
  CHECK(string(pgcache_completion_message(ahead)) == "the deadline passed");
  CHECK(pgcache_completion_token(ahead) == 7);
  REQUIRE(pgcache_completion_count(ahead) == 3);
  const pgcache_item *items = ahead->items;
  CHECK(key_of(items[0]) == "b");
  CHECK(key_of(items[1]) == "a");
  CHECK(items[0].status == PGCACHE_UNKNOWN);
  CHECK(items[0].result == nullptr);
  CHECK(items[1].status == PGCACHE_OK);
  CHECK(items[1].version == 5);
  CHECK(string(static_cast<const char *>(pgcache_value_data(items[1].result))) == "early");
  CHECK(items[2].status == PGCACHE_UNKNOWN);
  pgc_request_free(ahead);

  void *room = nullptr;
  pgc_request *single = pgc_request_new(sizeof(pgc_part), &room);
  single->parts = static_cast<pgc_part *>(room);
  single->part_count = 1;
  single->parts[0].place = PGC_PART_AWAY;
  ahead = pgc_request_new_ahead(single, PGCACHE_MISS, &error); /* a get under on_error=miss */
  end_part(single->parts[0], PGCACHE_OK, 5, "late");
  pgc_request_free(single);
  CHECK(pgcache_completion_status(ahead) == PGCACHE_MISS);
  CHECK(string(pgcache_completion_message(ahead)).empty());
  CHECK(pgcache_completion_count(ahead) == 0);
  CHECK(pgcache_completion_value(ahead, 0) == nullptr);
  pgc_request_free(ahead);
  CHECK(test::Allocations::alive() == 0);
}
