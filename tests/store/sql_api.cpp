/*
 * sql_api.cpp - the functions of the schema, called as psql or any driver would: they and the library see the same
 * entries.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/catch.hpp"
#include "support/server.hpp"

using namespace test;
using std::string;

namespace {

/* A parameter of type bytea in its text form. */
string hex(const string &bytes) {
  static const char digits[] = "0123456789abcdef";
  string out = "\\x";
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

} // namespace

TEST_CASE("What SQL puts the library gets, and the other way round", "[sql]") {
  Store store;
  const string keys[] = {"plain",       string("a\0b", 3), "\xff\xfe", "'quote\\", string(PGCACHE_KEY_MAX, 'k'),
                         "\xe2\x82\xac"};
  for (const string &key : keys) {
    for (const string name : {"default", "other", "x"}) {
      const Options options = in_namespace(name.c_str());
      const string value = "from SQL " + name;
      const string version =
          store.pg.one(store.sql("SELECT {s}.put($1::bytea, $2::bytea, interval '1 hour', $3::text, 7)"),
                       {hex(key), hex(value), name});
      const Answer got = store.cache.get(key, options);
      REQUIRE(got == PGCACHE_OK);
      CHECK(got.bytes() == value);
      CHECK(std::to_string(got.version) == version);
      CHECK(got.value.format() == 7);
      CHECK(got.value.ttl_ms() > 3500000);
      CHECK(got.value.ttl_ms() <= 3600000);

      const Answer put = store.cache.put(key, "from C " + name, options);
      REQUIRE(put == PGCACHE_OK);
      CHECK(put.version > got.version);
      CHECK(store.pg.one(store.sql("SELECT convert_from({s}.get($1::bytea, $2::text), 'UTF8')"), {hex(key), name}) ==
            "from C " + name);
      CHECK(store.pg.one(
                store.sql("SELECT count(*) FROM {s}.entries WHERE digest = {s}.digest($1::bytea, $2::text) "
                          "AND key = $1 AND namespace = $2 AND {s}.digest($1::bytea, $2::text) = dependencies[1]"),
                {hex(key), name}) == "1");
      CHECK(store.pg.one(store.sql("SELECT {s}.exists($1::bytea, $2::text)"), {hex(key), name}) == "t");
    }
    CHECK(store.pg.one(store.sql("SELECT {s}.remove($1::bytea, 'x')"), {hex(key)}) == "t");
    CHECK(store.pg.one(store.sql("SELECT {s}.remove($1::bytea, 'x')"), {hex(key)}) == "f");
    CHECK(store.cache.get(key, in_namespace("x")) == PGCACHE_MISS);
    CHECK(store.cache.get(key) == PGCACHE_OK);
    REQUIRE(store.cache.remove(key) == PGCACHE_OK);
    CHECK(store.pg.one(store.sql("SELECT {s}.exists($1::bytea)"), {hex(key)}) == "f");
    CHECK(store.pg.one(store.sql("SELECT {s}.get($1::bytea)"), {hex(key)}) == "NULL");
  }
}

TEST_CASE("The text forms of the functions mean the text's UTF-8 bytes", "[sql]") {
  Store store;
  store.pg.exec(store.sql("SELECT {s}.put('k\xc3\xa9y'::text, 'v'::bytea)"));
  CHECK(store.cache.get("k\xc3\xa9y").bytes() == "v");
  CHECK(store.cache.get("k\xc3\xa9y").value.ttl_ms() <= 300000);
  store.pg.exec("SET client_encoding = 'LATIN1'");
  CHECK(store.pg.one(store.sql("SELECT {s}.exists('k\xe9y'::text)")) == "t");
  CHECK(store.pg.one(store.sql("SELECT {s}.remove('k\xe9y'::text)")) == "t");
  CHECK(store.cache.get("k\xc3\xa9y") == PGCACHE_MISS);
}

TEST_CASE("JSON goes through SQL as jsonb", "[sql][json]") {
  Store store;
  store.pg.exec(store.sql("SELECT {s}.put_json('j', '{\"a\": [1, null]}')"));
  const Answer got = store.cache.get("j");
  CHECK(got.value.format() == PGCACHE_FORMAT_JSON);
  CHECK(got.bytes() == "{\"a\": [1, null]}");
  REQUIRE(store.cache.put("j", "{\"b\":2}", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT {s}.get_json('j') ->> 'b'")) == "2");
  CHECK(store.pg.one(store.sql("SELECT value ->> 'b' FROM {s}.entries_json WHERE key = 'j'")) == "2");
  REQUIRE(store.cache.put("broken", "{", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  REQUIRE(store.cache.put("binary", string("\0\xff", 2), PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries_json")) == "3"); /* one bad value spoils nothing */
  CHECK(store.pg.one(store.sql("SELECT count(value) FROM {s}.entries_json")) == "1");
  REQUIRE(store.cache.put("bytes", "{}") == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT {s}.get_json('bytes')")) == "NULL"); /* format 0 is not JSON */
  CHECK(store.cache.increment("n", 5) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT {s}.get_json('n')::int + 1")) == "6");
}

TEST_CASE("The view of JSON entries also works in a parallel plan", "[sql][json]") {
  Store store;
  REQUIRE(store.cache.put("j", "{\"b\":2}", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  REQUIRE(store.cache.put("broken", "{", PGCACHE_TTL_DEFAULT, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  if (store.pg.sqlstate("SET force_parallel_mode = on") != "00000")
    store.pg.exec("SET debug_parallel_query = on");
  CHECK(store.pg.one(store.sql("SELECT count(value) || '/' || count(*) FROM {s}.entries_json")) == "1/2");
  CHECK(store.pg.one(store.sql("SELECT {s}.get_json('j') ->> 'b'")) == "2");
  CHECK(store.pg.one(store.sql("SELECT {s}.exists('j'::text)")) == "t");
}

TEST_CASE("[A09] A TTL means in SQL what it means in the library", "[A09][sql]") {
  Store store;
  store.pg.exec(store.sql("SELECT {s}.put('never'::text, 'v'::bytea, NULL)"));
  CHECK(store.cache.get("never").value.ttl_ms() == PGCACHE_TTL_NEVER);
  store.pg.exec(store.sql("SELECT {s}.put('huge'::text, 'v'::bytea, interval '5000 years')"));
  CHECK(store.cache.get("huge").value.ttl_ms() <= PGCACHE_TTL_MAX);
  CHECK(store.cache.get("huge").value.ttl_ms() > PGCACHE_TTL_MAX - 60000);
  for (const char *ttl : {"0", "-1 second", "-5 years"}) {
    CHECK(store.pg.sqlstate(store.sql("SELECT {s}.put('k'::text, 'v'::bytea, interval '" + string(ttl) + "')")) ==
          "22023");
  }
  CHECK(store.cache.get("k") == PGCACHE_MISS);
  for (const char *zone : {"America/New_York", "Pacific/Kiritimati"}) { /* a month is 30 days wherever and whenever */
    store.pg.exec("SET TimeZone = '" + string(zone) + "'");
    store.pg.exec(store.sql("SELECT {s}.put('month'::text, 'v'::bytea, interval '1 month')"));
    const int64_t left = store.cache.get("month").value.ttl_ms();
    CHECK(left <= int64_t{30} * 86400000);
    CHECK(left > int64_t{30} * 86400000 - 60000);
  }
}

TEST_CASE("[A13] SQL refuses what the library refuses", "[A13][sql]") {
  Store store;
  const auto state = [&](const string &arguments) {
    return store.pg.sqlstate(store.sql("SELECT {s}.put(" + arguments + ")"));
  };
  CHECK(state("''::bytea, 'v'::bytea") == "22023");
  CHECK(state("repeat('k', 4097), 'v'::bytea") == "22023");
  CHECK(state("NULL::bytea, 'v'::bytea") == "22023");
  CHECK(state("'k'::text, NULL::bytea") == "22004");
  CHECK(state("'k'::text, 'v'::bytea, namespace => ''") == "22023");
  CHECK(state("'k'::text, 'v'::bytea, namespace => 'a b'") == "22023");
  CHECK(state("'k'::text, 'v'::bytea, namespace => repeat('n', 64)") == "22023");
  CHECK(state("'k'::text, 'v'::bytea, namespace => U&'\\00e9'") == "22023");
  CHECK(state("'k'::text, 'v'::bytea, format => -1") == "22023");
  CHECK(state("repeat('k', 4096), ''::bytea, namespace => repeat('n', 63)") == "00000");
  CHECK(store.pg.one(store.sql("SELECT count(*) FROM {s}.entries")) == "1");
}

TEST_CASE("SQL functions belong to the caller's transaction", "[sql]") {
  Store store;
  REQUIRE(store.cache.put("k", "before") == PGCACHE_OK);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("SELECT {s}.put('k'::text, 'inside'::bytea), {s}.put('new'::text, 'v'::bytea)"));
  CHECK(store.pg.one(store.sql("SELECT convert_from({s}.get('k'::text), 'UTF8')")) == "inside");
  CHECK(store.cache.get("k").bytes() == "before");
  CHECK(store.cache.get("new") == PGCACHE_MISS);
  store.pg.exec("ROLLBACK");
  CHECK(store.cache.get("k").bytes() == "before");
  CHECK(store.cache.get("new") == PGCACHE_MISS);
  store.pg.exec("BEGIN");
  store.pg.exec(store.sql("SELECT {s}.remove('k'::text)"));
  store.pg.exec("COMMIT");
  CHECK(store.cache.get("k") == PGCACHE_MISS);
}

TEST_CASE("SQL functions do not depend on the caller's search_path or standard_conforming_strings", "[sql]") {
  Store store;
  store.pg.exec("SET search_path = ''; SET standard_conforming_strings = off; SET bytea_output = escape");
  store.pg.exec(store.sql("SELECT {s}.put('k'::text, 'v'::bytea)"));
  CHECK(store.pg.one(store.sql("SELECT {s}.exists('k'::text)")) == "t");
  CHECK(store.cache.get("k").bytes() == "v");
  CHECK(store.cache.increment("n", 3) == PGCACHE_OK);
  CHECK(store.pg.one(store.sql("SELECT {s}.get_json('n')")) == "3");
}

TEST_CASE("The library does not depend on what a role or database sets for its sessions", "[sql][settings]") {
  Store store;
  const char *const settings[] = {"search_path=nowhere",
                                  "bytea_output=escape",
                                  "standard_conforming_strings=off",
                                  "DateStyle=German",
                                  "IntervalStyle=sql_standard",
                                  "client_encoding=LATIN1",
                                  "default_transaction_isolation=serializable",
                                  "extra_float_digits=-15",
                                  "statement_timeout=0",
                                  "row_security=off",
                                  "default_transaction_deferrable=on",
                                  "enable_indexscan=off",
                                  "backslash_quote=off",
                                  "escape_string_warning=on",
                                  "default_transaction_isolation='repeatable read'",
                                  "plan_cache_mode=force_custom_plan"};
  for (const char *setting : settings) {
    INFO(setting);
    Role role("LOGIN SUPERUSER");
    store.pg.exec("ALTER ROLE \"" + role.name() + "\" SET " + setting);
    Cache cache = store.open({{"url", url_with({{"user", role.name()}})}});
    const Answer put = cache.put(setting, string("\\x00 \0\xff", 7), 60000);
    INFO(put);
    REQUIRE(put == PGCACHE_OK);
    CHECK((cache.get(setting).bytes() == string("\\x00 \0\xff", 7)));
    CHECK(cache.increment("n").status == PGCACHE_OK);
    CHECK(cache.flush(PGCACHE_FLUSH_NAMESPACE, in_namespace("none")) == PGCACHE_OK);
    CHECK(cache.cleanup() == PGCACHE_OK);
    pgcache_value *keys[3];
    size_t count;
    CHECK(pgcache_keys(cache.raw(), keys, 3, &count, nullptr, 0, nullptr, 0, nullptr, nullptr) == PGCACHE_OK);
    for (size_t i = 0; i < count; i++)
      pgcache_value_free(keys[i]);
  }
}
