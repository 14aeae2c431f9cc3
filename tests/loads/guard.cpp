/*
 * guard.cpp - dependencies and invalidation, from C and from SQL transactions, before, during and after a load.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/loads.hpp"

using namespace test;
using std::string;

namespace {

/* What the entry "k" depends on, and how that is invalidated. */
const Names &tags() {
  static const Names names = Names().tag("orders").tag("customer:7").key("other");
  return names;
}

} // namespace

TEST_CASE("[A46] An invalidation between the miss and the fill refuses the fill", "[A46][rule:guard][guard]") {
  Store store;
  const int which = GENERATE(0, 1, 2, 3);
  Names what;
  if (which == 0)
    what.key("k");
  else if (which == 1)
    what.tag("orders");
  else if (which == 2)
    what.key("other");
  else
    what.tag("x").tag("customer:7");
  Begun mine = begin(store.cache, "k");
  REQUIRE(mine == PGCACHE_LEASE);
  REQUIRE(invalidate(store.cache, what) == PGCACHE_OK);
  Names names = tags();
  const Answer refused = mine.load.fill("old", names.options());
  CHECK(refused == PGCACHE_REFUSED);
  CHECK(refused.version == 0);
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  Begun next = begin(store.cache, "k");
  REQUIRE(next == PGCACHE_LEASE);
  CHECK(next.load.fill("new", names.options()) == PGCACHE_OK);
  CHECK(store.cache.get("k").bytes() == "new");
  CHECK(store.cache.counters().load_fills_refused == 1);
}

TEST_CASE("[A46] An invalidation of something else does not", "[A46][rule:guard][guard]") {
  Store store;
  Begun mine = begin(store.cache, "k");
  REQUIRE(invalidate(store.cache, Names().tag("others").key("l").tag("k")) == PGCACHE_OK);
  REQUIRE(invalidate(store.cache, Names().tag("orders"), in_namespace("elsewhere")) == PGCACHE_OK);
  Names names = tags();
  CHECK(mine.load.fill("v", names.options()) == PGCACHE_OK);
}

TEST_CASE("[A46] A transaction that invalidates counts from its commit on, also when the fill was first",
          "[A46][rule:guard][guard]") {
  Store store;
  const bool near = GENERATE(false, true);
  const string call = GENERATE("ARRAY['orders']", "'{}', ARRAY['k']", "ARRAY['customer:7', 'y']");
  Cache cache = store.open({{"near_max_bytes", near ? "16777216" : "0"}});
  Pg writer(url());
  writer.exec("BEGIN");
  Names names = tags();
  Begun mine = begin(cache, "k");
  REQUIRE(mine == PGCACHE_LEASE);
  writer.exec(store.sql("SELECT {s}.invalidate(" + call + ")"));
  CHECK(mine.load.fill("v", names.options()) == PGCACHE_OK);
  CHECK(cache.get("k").bytes() == "v");
  SECTION("committed") {
    writer.exec("COMMIT");
    REQUIRE(cache.fence() == PGCACHE_OK);
    CHECK(cache.get("k") == PGCACHE_MISS);
    CHECK(begin(cache, "k") == PGCACHE_LEASE);
  }
  SECTION("rolled back") {
    writer.exec("ROLLBACK");
    REQUIRE(cache.fence() == PGCACHE_OK);
    CHECK(cache.get("k").bytes() == "v");
  }
}

TEST_CASE("Whatever stores takes dependencies, and what invalidates them ends it", "[rule:dependencies][guard]") {
  Store store;
  Cache &cache = store.cache;
  Names orders = Names().tag("orders"), other = Names().tag("other");
  const auto is_ended = [&](const char *key) {
    REQUIRE(cache.get(key) == PGCACHE_OK);
    REQUIRE(invalidate(cache, other) == PGCACHE_OK);
    CHECK(cache.get(key) == PGCACHE_OK);
    REQUIRE(invalidate(cache, orders) == PGCACHE_OK);
    CHECK(cache.exists(key) == PGCACHE_MISS);
    return cache.get(key) == PGCACHE_MISS;
  };
  REQUIRE(cache.put("put", "v", orders.options()) == PGCACHE_OK);
  CHECK(is_ended("put"));
  REQUIRE(cache.add("put", "v", PGCACHE_TTL_DEFAULT, 0, orders.options()) == PGCACHE_OK);
  CHECK(is_ended("put"));
  CHECK(cache.replace("put", "v", PGCACHE_TTL_DEFAULT, 0, orders.options()) == PGCACHE_MISS);
  REQUIRE(cache.put("put", "v", other.options()) == PGCACHE_OK);
  REQUIRE(cache.replace("put", "v", PGCACHE_TTL_DEFAULT, 0, orders.options()) == PGCACHE_OK);
  CHECK(is_ended("put"));
  const int64_t version = cache.put("put", "v").version;
  REQUIRE(cache.compare_and_swap("put", "w", version, PGCACHE_TTL_DEFAULT, orders.options()) == PGCACHE_OK);
  REQUIRE(cache.touch("put", 600000) == PGCACHE_OK);
  CHECK(is_ended("put"));
  Items items;
  items.add("one", "1");
  items.add("two", "2");
  const Options options = orders.options();
  REQUIRE(pgcache_put_many(cache.raw(), items.data(), 2, &options, nullptr) == PGCACHE_OK);
  CHECK(is_ended("one"));
  CHECK(cache.get("two") == PGCACHE_MISS);
  CHECK(cache.counters().invalidations == 10);
}

TEST_CASE("Copies depend on the same: none is given after an invalidation", "[rule:dependencies][guard]") {
  Store store;
  Cache cache = store.open({{"near_max_bytes", "16777216"}, {"near_staleness_ms", "20000"}});
  Cache other = store.open();
  REQUIRE(cache.fence() == PGCACHE_OK);
  Names orders = Names().tag("orders");
  const auto has_copy = [&](const char *key) {
    return eventually([&] { return cache.get(key) == PGCACHE_OK && cache.peek(key) == PGCACHE_OK; });
  };
  /* One's own, at once. */
  REQUIRE(cache.put("put", "v", orders.options()) == PGCACHE_OK);
  load(cache, "filled", "v", {}, orders.options());
  REQUIRE(other.put("read", "v", orders.options()) == PGCACHE_OK);
  for (const char *key : {"put", "filled", "read"})
    REQUIRE(has_copy(key));
  REQUIRE(invalidate(cache, orders) == PGCACHE_OK);
  for (const char *key : {"put", "filled", "read"}) {
    CHECK(cache.peek(key) == PGCACHE_MISS);
    CHECK(cache.get(key) == PGCACHE_MISS);
  }
  /* Another process'. */
  load(cache, "filled", "v", {}, orders.options());
  REQUIRE(has_copy("filled"));
  REQUIRE(invalidate(other, orders) == PGCACHE_OK);
  REQUIRE(cache.fence() == PGCACHE_OK);
  CHECK(cache.get("filled") == PGCACHE_MISS);
  CHECK(begin(cache, "filled") == PGCACHE_LEASE);
}

TEST_CASE("guard=off gives what was invalidated, to this handle alone", "[rule:guard][guard]") {
  Store store;
  Cache off = store.open({{"guard", "off"}});
  REQUIRE(store.cache.put("k", "v") == PGCACHE_OK);
  REQUIRE(invalidate(store.cache, Names().key("k")) == PGCACHE_OK);
  CHECK(off.get("k").bytes() == "v");
  Items items;
  items.add("k");
  REQUIRE(pgcache_get_many(off.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
  CHECK(items.bytes(0) == "v");
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  CHECK(begin(off, "k") == PGCACHE_LEASE);
}

TEST_CASE("Dependencies that are none are refused, with their number", "[rule:dependencies][rule:refuse][guard]") {
  Store store;
  const auto refused = [&](Names names, pgcache_status status, const char *part) {
    const Answer put = store.cache.put("k", "v", names.options());
    CHECK(put == status);
    CHECK(put.error.text().find(part) != string::npos);
    const Answer invalidated = invalidate(store.cache, names);
    CHECK(invalidated == status);
    CHECK(invalidated.error.text().find(part) != string::npos);
  };
  refused(Names().tag("a").tag(""), PGCACHE_INVALID, "dependency 1");
  refused(Names().tag(string(PGCACHE_TAG_MAX + 1, 'x')), PGCACHE_TOO_LARGE, "dependency 0");
  refused(Names().key(string(PGCACHE_KEY_MAX + 1, 'x')), PGCACHE_TOO_LARGE, "dependency 0");
  Names many;
  for (int i = 0; i <= PGCACHE_DEPENDENCIES_MAX; i++)
    many.tag("t" + std::to_string(i));
  CHECK(store.cache.put("k", "v", many.options()) == PGCACHE_INVALID);
  CHECK(invalidate(store.cache, many) == PGCACHE_OK);
  Names most = Names().tag(string(PGCACHE_TAG_MAX, 'x')).key(string(PGCACHE_KEY_MAX, 'x')).tag("twice").tag("twice");
  CHECK(store.cache.put("k", "v", most.options()) == PGCACHE_OK);
  pgcache_dependency wrong = PGCACHE_DEPENDENCY_INIT;
  wrong.name = "x";
  wrong.name_len = 1;
  wrong.kind = static_cast<pgcache_dependency_kind>(9);
  CHECK(pgcache_invalidate(store.cache.raw(), &wrong, 1, nullptr, nullptr) == PGCACHE_INVALID);
  wrong.kind = PGCACHE_DEPENDS_ON_TAG;
  wrong.struct_size = 8;
  CHECK(pgcache_invalidate(store.cache.raw(), &wrong, 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_invalidate(store.cache.raw(), nullptr, 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_invalidate(store.cache.raw(), nullptr, PGCACHE_BATCH_MAX + 1, nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_invalidate(store.cache.raw(), nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
}
