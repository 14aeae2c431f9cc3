/*
 * values.cpp - compressed and encrypted values in the store: they come back the same from every call, and whatever was
 * done to their rows, nobody gets anything else for a value.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/alloc_fail.hpp"
#include "support/catch.hpp"
#include "support/keys.hpp"
#include "support/secrets.hpp"
#include "support/server.hpp"

extern "C" {
#include "platform/library.h"
#include "platform/memory.h"
#include "pure/compression.h"
}

#include <atomic>
#include <cstring>
#include <functional>
#include <random>

using namespace test;
using std::string;

namespace {

/* What compresses well, and what does not. */
string text_of(size_t size) {
  string out;
  while (out.size() < size)
    out += "{\"number\": " + std::to_string(out.size() * 31 % 9973) + ", \"word\": \"plain text\"}, ";
  return out.substr(0, size);
}

string noise(size_t size) {
  std::mt19937_64 random(3);
  string out(size, '\0');
  for (char &c : out)
    c = static_cast<char>(random());
  return out;
}

int64_t refused(Cache &cache) {
  pgcache_counters counters = PGCACHE_COUNTERS_INIT;
  if (pgcache_read_counters(cache.raw(), &counters, nullptr) != PGCACHE_OK)
    throw std::runtime_error("pgcache_read_counters failed");
  return counters.values_refused;
}

string flags(Store &store, const string &key = "k") {
  return store.pg.one(store.sql("SELECT flags FROM {s}.entries WHERE key = convert_to($1::text, 'UTF8')"), {key});
}

struct Profile {
  const char *name;
  Settings settings;
  int flags_small, flags_text; /* of a short value, and of a long one that compresses */
};

std::vector<Profile> profiles(const KeyFile &keys) {
  return {{"plain", {}, 0, 0},
          {"lz4", {{"compression", "lz4"}}, 0, 1},
          {"zstd", {{"compression", "zstd"}}, 0, 2},
          {"encrypted", {{"encryption", "on"}, {"keys", keys.source()}}, 16, 16},
          {"lz4 encrypted", {{"compression", "lz4"}, {"encryption", "required"}, {"keys", keys.source()}}, 16, 17},
          {"zstd encrypted", {{"compression", "zstd"}, {"encryption", "required"}, {"keys", keys.source()}}, 16, 18}};
}

} // namespace

TEST_CASE("Values of every profile come back the same from every call", "[values][encryption][compression]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  for (const Profile &profile : profiles(keys)) {
    INFO(profile.name);
    Cache cache = store.open(profile.settings);
    int wanted = 0;
    for (const string &value : {string(), string("v"), text_of(1023), text_of(1024), text_of(300000), noise(50000)}) {
      INFO("size " << value.size());
      const bool packs = value.size() >= 1024 && value[0] == '{';
      wanted = packs ? profile.flags_text : profile.flags_small;
      const Answer put = cache.put("k", value, 60000, 7);
      REQUIRE(put == PGCACHE_OK);
      CHECK(flags(store) == std::to_string(wanted));
      const Answer got = cache.get("k");
      REQUIRE(got == PGCACHE_OK);
      CHECK((got.bytes() == value));
      CHECK(got.version == put.version);
      CHECK(got.value.format() == 7);
      CHECK(got.value.ttl_ms() > 50000);
      CHECK(got.value.ttl_ms() <= 60000);
      string buffer(value.size() + 1, '#');
      size_t size = 0;
      CHECK(pgcache_get_into(cache.raw(), &buffer[0], buffer.size(), &size, "k", 1, nullptr, nullptr) == PGCACHE_OK);
      CHECK((buffer == value + "#"));
      CHECK(size == value.size());
      CHECK(cache.exists("k") == PGCACHE_OK);
      CHECK(cache.touch("k", 90000) == PGCACHE_OK);
      CHECK((cache.get("k").bytes() == value)); /* a touch leaves value and flags as they are */

      REQUIRE(cache.remove("k") == PGCACHE_OK);
      REQUIRE(cache.add("k", value) == PGCACHE_OK);
      CHECK(flags(store) == std::to_string(wanted));
      CHECK((cache.get("k").bytes() == value));
      REQUIRE(cache.replace("k", "x") == PGCACHE_OK);
      REQUIRE(cache.replace("k", value) == PGCACHE_OK);
      CHECK((cache.get("k").bytes() == value));
      const int64_t version = cache.put("k", "y").version;
      REQUIRE(cache.compare_and_swap("k", value, version) == PGCACHE_OK);
      CHECK(flags(store) == std::to_string(wanted));
      CHECK((cache.get("k").bytes() == value));
      CHECK(refused(cache) == 0);
    }

    Items items;
    const std::vector<string> values = {text_of(5000), "", noise(3000), text_of(200000), "short"};
    const std::vector<string> names = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < values.size(); i++)
      items.add(names[i], values[i]);
    items.add(names[0], values[3]); /* a duplicate: the last one is stored */
    REQUIRE(pgcache_put_many(cache.raw(), items.data(), items.size(), nullptr, nullptr) == PGCACHE_OK);
    CHECK(flags(store, "a") == std::to_string(profile.flags_text));
    CHECK(flags(store, "e") == std::to_string(profile.flags_small));
    Items read;
    for (const string &name : names)
      read.add(name);
    read.add("nothing");
    REQUIRE(pgcache_get_many(cache.raw(), read.data(), read.size(), nullptr, nullptr) == PGCACHE_OK);
    for (size_t i = 0; i < values.size(); i++) {
      REQUIRE(read[i].status == PGCACHE_OK);
      CHECK((read.bytes(i) == (i == 0 ? values[3] : values[i])));
    }
    CHECK(read[5].status == PGCACHE_MISS);
  }
}

TEST_CASE("A value is stored compressed only if that saves a tenth", "[values][encryption][compression]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  const size_t size = 100000;
  for (const Profile &profile : profiles(keys)) {
    Cache cache = store.open(profile.settings);
    for (const size_t saves : {5, 9, 11, 15}) {
      INFO(profile.name << ", saves " << saves << " %");
      const string value = noise(size - size * saves / 100) + string(size * saves / 100, 'x');
      REQUIRE(cache.put("k", value) == PGCACHE_OK);
      CHECK(flags(store) == std::to_string(saves > 10 ? profile.flags_text : profile.flags_small));
      const size_t stored = std::stoul(store.pg.one(store.sql("SELECT octet_length(value) FROM {s}.entries")));
      if (saves > 10 && profile.flags_text % 16 != 0)
        CHECK(stored < size - size / 10 + 100); /* and what encryption adds */
      else
        CHECK(stored >= size);
      CHECK((cache.get("k").bytes() == value));
    }
  }
}

TEST_CASE("A handle reads what others compressed, whatever it is set to", "[values][compression]") {
  Store store;
  Cache lz4 = store.open({{"compression", "lz4"}, {"compression_min_bytes", "1"}});
  Cache zstd = store.open({{"compression", "zstd"}});
  REQUIRE(lz4.put("small", string(100, 'v')) == PGCACHE_OK);
  CHECK(flags(store, "small") == "1");
  REQUIRE(lz4.put("l", text_of(9000)) == PGCACHE_OK);
  REQUIRE(zstd.put("z", text_of(9000)) == PGCACHE_OK);
  for (Cache *cache : {&store.cache, &lz4, &zstd}) {
    CHECK(cache->get("small").bytes() == string(100, 'v'));
    CHECK((cache->get("l").bytes() == text_of(9000)));
    CHECK((cache->get("z").bytes() == text_of(9000)));
  }
  CHECK(store.cache.stats().value_bytes < 9000); /* of both, as stored */
}

TEST_CASE("Without its library a compression cannot be set, and a value so stored is a miss", "[values][compression]") {
  Store store;
  REQUIRE(store.open({{"compression", "zstd"}}).put("k", text_of(9000)) == PGCACHE_OK);
  pgc_compression_forget();
  pgc_library_set_hook([](const char *) -> void * { return nullptr; });
  const Config lz4 = store.config({{"compression", "lz4"}}), zstd = store.config({{"compression", "zstd"}});
  pgcache *none = nullptr;
  Error of_lz4, of_zstd;
  const pgcache_status refused_lz4 = pgcache_new(&none, lz4.get(), &of_lz4);
  const pgcache_status refused_zstd = pgcache_new(&none, zstd.get(), &of_zstd);
  Cache plain = store.open();
  const Answer got = plain.get("k");
  const int64_t counted = refused(plain);
  pgc_library_set_hook(nullptr);
  CHECK(refused_lz4 == PGCACHE_BAD_SETTING);
  CHECK(refused_zstd == PGCACHE_BAD_SETTING);
  CHECK(of_lz4.text().find("liblz4-1") != string::npos);
  CHECK(of_zstd.text().find("libzstd1") != string::npos);
  CHECK(got == PGCACHE_MISS);
  CHECK(counted == 1);
  CHECK((plain.get("k").bytes() == text_of(9000))); /* it is there now */
}

TEST_CASE("Sizes that a stored value claims are not believed", "[values][compression]") {
  Store store;
  Cache cache = store.open({{"max_value_bytes", "1000000"}});
  Cache writer = store.open({{"compression", "lz4"}});
  const auto claim = [&](const string &hex) {
    REQUIRE(writer.put("k", text_of(200000)) == PGCACHE_OK);
    store.pg.query(store.sql("UPDATE {s}.entries SET value = $1::bytea || substring(value FROM 5)"), {"\\x" + hex});
    return cache.get("k");
  };
  CHECK((claim("00030d40").bytes() == text_of(200000)));
  int64_t before = refused(cache);
  for (const char *lie :
       {"00030d3f", "00030d41", "00000001", "00000000", "000f4240", "10000001", "7fffffff", "80000000", "ffffffff"}) {
    INFO(lie);
    CHECK(claim(lie) == PGCACHE_MISS);
    CHECK(refused(cache) == ++before);
  }
  for (const char *too_large : {"000f4241", "10000000"}) { /* as another handle may have stored it */
    const Answer got = claim(too_large);
    INFO(got);
    CHECK(got == PGCACHE_TOO_LARGE);
    Items items;
    items.add("k");
    CHECK(pgcache_get_many(cache.raw(), items.data(), 1, nullptr, nullptr) == PGCACHE_OK);
    CHECK(items[0].status == PGCACHE_TOO_LARGE);
  }
  CHECK(refused(cache) == before);
  /* A real bomb: a megabyte of zeros in few bytes, for a reader that lets in less. */
  REQUIRE(store.open({{"compression", "zstd"}}).put("k", string(1 << 20, '\0')) == PGCACHE_OK);
  CHECK(cache.get("k") == PGCACHE_TOO_LARGE);
  CHECK((store.cache.get("k").bytes() == string(1 << 20, '\0')));
}

TEST_CASE("The longest value fits also when it is encrypted", "[values][encryption]") {
  const KeyFile keys(key_line("sixteen_letters1", 'B'));
  Store store;
  Cache cache = store.open({{"max_value_bytes", "5000"}, {"encryption", "on"}, {"keys", keys.source()}});
  REQUIRE(cache.put("k", string(5000, 'v')) == PGCACHE_OK);
  CHECK(cache.get("k").bytes() == string(5000, 'v'));
  CHECK(cache.put("k", string(5001, 'v')) == PGCACHE_TOO_LARGE);
  Cache smaller = store.open({{"max_value_bytes", "4999"}, {"encryption", "on"}, {"keys", keys.source()}});
  CHECK(smaller.get("k") == PGCACHE_TOO_LARGE);
}

TEST_CASE("[A80] What stands in the row shows nothing of the value", "[A80][values][encryption]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  Cache cache = store.open({{"encryption", "required"}, {"keys", keys.source()}});
  const auto row = [&] { return store.pg.one(store.sql("SELECT value FROM {s}.entries WHERE key = 'k'")); };
  REQUIRE(cache.put("k", string(64, 'v')) == PGCACHE_OK);
  const string first = row();
  CHECK(first.size() == 2 + 2 * (2 + 3 + 24 + 64 + 16));
  CHECK(first.rfind("\\x01036f6e65", 0) == 0); /* version, length of the id, "one" */
  CHECK(first.find("7676") == string::npos);   /* "vv" */
  REQUIRE(cache.put("k", string(64, 'v')) == PGCACHE_OK);
  CHECK(row().substr(12) != first.substr(12)); /* another nonce, other bytes */
}

TEST_CASE("[A80] Each byte of a stored row: changed, it is a miss and counted", "[A80][values][encryption]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  for (const bool compress : {false, true}) {
    Cache cache = store.open({{"encryption", "on"},
                              {"keys", keys.source()},
                              {"compression", compress ? "lz4" : "off"},
                              {"compression_min_bytes", "1"}});
    REQUIRE(cache.put("k", string(40, 'v'), 60000, 1) == PGCACHE_OK);
    const string whole = store.pg.one(store.sql("SELECT value FROM {s}.entries"));
    const int size = static_cast<int>(whole.size() - 2) / 2;
    int64_t counted = 0;
    const auto misses = [&](const string &change, int times = 2) {
      store.pg.exec(store.sql("UPDATE {s}.entries SET " + change));
      INFO(change);
      CHECK(cache.get("k") == PGCACHE_MISS);
      Items items;
      items.add("k");
      items.add("other");
      REQUIRE(pgcache_get_many(cache.raw(), items.data(), 2, nullptr, nullptr) == PGCACHE_OK);
      CHECK(items[0].status == PGCACHE_MISS);
      CHECK(items[0].result == nullptr);
      CHECK(items[0].version == 0);
      CHECK(refused(cache) == (counted += times));
      store.pg.exec(store.sql("UPDATE {s}.entries SET format = 1, namespace = 'default', value = '" + whole +
                              "', flags = " + (compress ? "17" : "16")));
    };
    for (int i = 0; i < size; i++)
      misses("value = set_byte(value, " + std::to_string(i) + ", get_byte(value, " + std::to_string(i) + ") # 1)");
    for (int length = 0; length < size; length++)
      misses("value = substring(value FROM 1 FOR " + std::to_string(length) + ")");
    misses("value = value || '\\x00'");
    misses("format = 0");
    misses("format = 2");
    for (int i = 0; i < 31; i++) {
      const int bit = 1 << i;
      /* Without the bit that says so it is no ciphertext, and with encryption=on that is a value: see the downgrade. */
      if (bit != 16) /* 64: an entry that says that there is no value is not even given, see get.sql */
        misses("flags = flags # " + std::to_string(bit), bit == 64 ? 0 : 2);
    }
    misses("flags = flags | " + std::to_string(INT32_MIN));
    CHECK(cache.get("k").bytes() == string(40, 'v'));
    CHECK(refused(cache) == counted);
  }
}

TEST_CASE("[A80] One row's ciphertext under another key or namespace is a miss", "[A80][values][encryption]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  Cache cache = store.open({{"encryption", "on"}, {"keys", keys.source()}});
  REQUIRE(cache.put("alice", "rights of alice") == PGCACHE_OK);
  REQUIRE(cache.put("mallory", "rights of mallory") == PGCACHE_OK);
  REQUIRE(cache.put("alice", "elsewhere", in_namespace("other")) == PGCACHE_OK);
  store.pg.exec(store.sql("UPDATE {s}.entries e SET value = o.value, version = o.version FROM {s}.entries o WHERE "
                          "e.namespace = 'default' AND o.namespace = 'default' AND e.key <> o.key"));
  CHECK(cache.get("alice") == PGCACHE_MISS);
  CHECK(cache.get("mallory") == PGCACHE_MISS);
  store.pg.exec(store.sql("UPDATE {s}.entries e SET value = o.value FROM {s}.entries o WHERE e.key = 'alice' AND "
                          "e.namespace = 'default' AND o.namespace = 'other'"));
  CHECK(cache.get("alice") == PGCACHE_MISS);
  CHECK(cache.get("alice", in_namespace("other")).bytes() == "elsewhere");
  CHECK(refused(cache) == 3);
  REQUIRE(cache.put("alice", "again") == PGCACHE_OK); /* a put makes it good */
  CHECK(cache.get("alice").bytes() == "again");
}

TEST_CASE("[A80] With encryption required plain text is a miss", "[A80][values][encryption]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  Cache on = store.open({{"encryption", "on"}, {"keys", keys.source()}});
  Cache required = store.open({{"encryption", "required"}, {"keys", keys.source()}});
  Cache lz4 = store.open({{"compression", "lz4"}});
  REQUIRE(store.cache.put("k", "plain") == PGCACHE_OK);
  REQUIRE(lz4.put("l", text_of(5000)) == PGCACHE_OK);
  CHECK(on.get("k").bytes() == "plain");
  CHECK((on.get("l").bytes() == text_of(5000)));
  CHECK(required.get("k") == PGCACHE_MISS);
  CHECK(required.get("l") == PGCACHE_MISS);
  char buffer[10];
  size_t size = 9;
  CHECK(pgcache_get_into(required.raw(), buffer, sizeof buffer, &size, "k", 1, nullptr, nullptr) == PGCACHE_MISS);
  CHECK(size == 0);
  CHECK(refused(on) == 0);
  CHECK(refused(required) == 3);
  /* The row is there all the same: what asks for no value says so. */
  CHECK(required.exists("k") == PGCACHE_OK);
  CHECK(required.touch("k", 1000) == PGCACHE_OK);
  CHECK(required.add("k", "v") == PGCACHE_EXISTS);
  CHECK(required.put("k", "v") == PGCACHE_OK);
  CHECK(required.get("k").bytes() == "v");
  /* A downgrade: somebody writes the row anew and clears the flag. */
  store.pg.exec(store.sql("UPDATE {s}.entries SET flags = 0, value = 'forged' WHERE key = 'k'"));
  CHECK(required.get("k") == PGCACHE_MISS);
  CHECK(on.get("k").bytes() == "forged"); /* which is why there is required */
  CHECK(required.remove("k") == PGCACHE_OK);
}

TEST_CASE("[A80] Without the key, or with another one, it is a miss", "[A80][values][encryption]") {
  const KeyFile right(key_line("one", 'B')), other_id(key_line("two", 'B')), other_key(key_line("one", 'C'));
  Store store;
  REQUIRE(store.open({{"encryption", "on"}, {"keys", right.source()}}).put("k", "v") == PGCACHE_OK);
  for (const Settings &settings : {Settings{}, Settings{{"keys", other_id.source()}},
                                   Settings{{"keys", other_key.source()}, {"encryption", "on"}}}) {
    Cache cache = store.open(settings);
    CHECK(cache.get("k") == PGCACHE_MISS);
    CHECK(refused(cache) == 1);
  }
  Cache off = store.open({{"keys", right.source()}}); /* encryption is being switched off: keys still read */
  CHECK(off.get("k").bytes() == "v");
  REQUIRE(off.put("k", "w") == PGCACHE_OK);
  CHECK(flags(store) == "0");
}

TEST_CASE("Keys are rotated while old and new processes share the cache", "[values][encryption][rotation]") {
  const string old_line = key_line("old", 'B'), new_line = key_line("new", 'C');
  const KeyFile before(old_line), added(old_line + new_line), turned(new_line + old_line), after(new_line);
  Store store;
  const auto open = [&](const KeyFile &keys) {
    return store.open({{"encryption", "required"}, {"keys", keys.source()}});
  };
  std::vector<Cache> steps;
  for (const KeyFile *keys : {&before, &added, &turned, &after})
    steps.push_back(open(*keys));
  for (size_t i = 0; i < steps.size(); i++)
    REQUIRE(steps[i].put("written by " + std::to_string(i), "v") == PGCACHE_OK);
  for (size_t reader = 0; reader < steps.size(); reader++) {
    for (size_t writer = 0; writer < steps.size(); writer++) {
      INFO(reader << " reads what " << writer << " wrote");
      /* Neighbours, which run at the same time, understand each other; who is two steps away may not. */
      const bool far = reader > writer ? reader - writer > 1 : writer - reader > 1;
      const bool knows = writer < 2 ? reader < 3 : reader > 0;
      CHECK((steps[reader].get("written by " + std::to_string(writer)) == PGCACHE_OK) == knows);
      CHECK((knows || far));
    }
  }
  CHECK(
      store.pg.one(store.sql("SELECT string_agg(convert_from(substring(value FROM 3 FOR 3), 'UTF8'), ' ' ORDER BY key) "
                             "FROM {s}.entries")) == "old old new new");
}

TEST_CASE("increment is refused where values are encrypted, and a stored value is no counter", "[values][encryption]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  for (const char *encryption : {"on", "required"}) {
    Cache cache = store.open({{"encryption", encryption}, {"keys", keys.source()}});
    const Answer answer = cache.increment("n");
    CHECK(answer == PGCACHE_UNSUPPORTED);
    CHECK(answer.error.text().find("encryption=off") != string::npos);
    CHECK(cache.get("n") == PGCACHE_MISS);
    REQUIRE(cache.put("n", "5", 60000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
    CHECK(store.cache.increment("n") == PGCACHE_NOT_A_COUNTER);
    CHECK(cache.get("n").bytes() == "5");
    REQUIRE(cache.remove("n") == PGCACHE_OK);
  }
  REQUIRE(store.cache.put("n", "5", 60000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  store.pg.exec(store.sql("UPDATE {s}.entries SET flags = 1"));
  CHECK(store.cache.increment("n") == PGCACHE_NOT_A_COUNTER);
  Cache lz4 = store.open({{"compression", "lz4"}});
  REQUIRE(lz4.put("m", "5", 60000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  CHECK(lz4.increment("m").number == 6);
}

TEST_CASE("SQL says that it cannot read a value instead of handing out its bytes", "[values][encryption][sql]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  Cache cache = store.open({{"encryption", "on"}, {"keys", keys.source()}}), lz4 = store.open({{"compression", "lz4"}});
  REQUIRE(cache.put("k", "{\"a\": 1}", 60000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  REQUIRE(lz4.put("l", "\"" + string(5000, 'v') + "\"", 60000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  REQUIRE(store.cache.put("p", "{\"a\": 1}", 60000, PGCACHE_FORMAT_JSON) == PGCACHE_OK);
  for (const char *key : {"k", "l"}) {
    INFO(key);
    CHECK(store.pg.sqlstate(store.sql("SELECT {s}.get('" + string(key) + "'::text)")) == "0A000");
    CHECK(store.pg.sqlstate(store.sql("SELECT {s}.get_json('" + string(key) + "')")) == "0A000");
    CHECK(store.pg.one(store.sql("SELECT {s}.exists('" + string(key) + "'::text)")) == "t");
    CHECK(store.pg.one(store.sql("SELECT value IS NULL FROM {s}.entries_json WHERE key = '" + string(key) + "'")) ==
          "t");
  }
  CHECK(store.pg.one(store.sql("SELECT value ->> 'a' FROM {s}.entries_json WHERE key = 'p'")) == "1");
  store.pg.exec(store.sql("SELECT {s}.put('k'::text, 'from SQL'::bytea)"));
  CHECK(cache.get("k").bytes() == "from SQL"); /* encryption=on reads plain text, too */
  store.pg.exec(store.sql("UPDATE {s}.entries SET flags = 128 WHERE key = 'k'")); /* of a later version */
  CHECK(store.pg.sqlstate(store.sql("SELECT {s}.get('k'::text)")) == "0A000");
  CHECK(cache.get("k") == PGCACHE_MISS);
}

TEST_CASE("[A62] No message and no row shows a key, a value or a secret", "[A62][values][encryption][secrets]") {
  const string secret_line = "one qZx7Jv9Kw3Yh5Bf1qZx7Jv9Kw3Yh5Bf1qZx7Jv9Kw3A=\n"; /* the canary in base64 */
  const KeyFile good(secret_line), bad("one " + canary + "\n"), twice(secret_line + secret_line);
  Store store;
  string said;
  const auto note = [&](const Answer &answer) { said += answer.error.text() + "\n"; };
  for (const KeyFile *keys : {&bad, &twice}) {
    pgcache *none = nullptr;
    Answer answer;
    answer.status =
        pgcache_new(&none, store.config({{"encryption", "on"}, {"keys", keys->source()}}).get(), &answer.error);
    CHECK(answer == PGCACHE_BAD_SETTING);
    note(answer);
  }
  Config config;
  Answer as_value; /* somebody takes the setting for the key itself */
  as_value.status = pgcache_config_set(config.get(), "keys", secret_line.c_str(), &as_value.error);
  CHECK(as_value == PGCACHE_BAD_SETTING);
  note(as_value);

  Cache cache = store.open({{"encryption", "required"},
                            {"keys", good.source()},
                            {"max_value_bytes", "1000"},
                            {"compression", "lz4"},
                            {"compression_min_bytes", "1"}});
  REQUIRE(cache.put(canary, canary + canary + canary + canary) == PGCACHE_OK);
  CHECK_FALSE(shows_canary(store.pg.one(store.sql("SELECT encode(value, 'escape') FROM {s}.entries"))));
  note(cache.put(canary, string(1001, 'v')));
  note(cache.increment(canary));
  Cache small = store.open({{"keys", good.source()}, {"max_value_bytes", "10"}});
  note(small.get(canary));
  store.pg.exec(store.sql("UPDATE {s}.entries SET value = '" + canary + "'"));
  note(cache.get(canary));
  store.pg.exec(store.sql("ALTER TABLE {s}.entries RENAME TO elsewhere"));
  note(cache.put(canary, canary));
  note(cache.get(canary));
  INFO(said);
  CHECK(said.size() > 300);
  CHECK_FALSE(shows_canary(said));
}

TEST_CASE("16 threads write and read encrypted, compressed values", "[values][encryption][threads]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  Cache cache = store.open({{"encryption", "required"}, {"keys", keys.source()}, {"compression", "zstd"}});
  pgc_compression_forget();
  in_threads(16, [&](int thread) {
    const string own = "key of " + std::to_string(thread);
    for (int i = 0; i < longer(30, 1000); i++) {
      const string value = own + " " + text_of(static_cast<size_t>(i) * 97);
      if (cache.put(own, value) != PGCACHE_OK || cache.get(own).bytes() != value)
        throw std::runtime_error("not what was put");
      cache.put("shared", own + string(2000, 'x'));
      const Answer shared = cache.get("shared");
      if (shared != PGCACHE_OK || shared.bytes().substr(shared.bytes().find('x')) != string(2000, 'x'))
        throw std::runtime_error("a mixture");
    }
  });
  CHECK(refused(cache) == 0);
}

namespace {

std::atomic<size_t> large_count{0}, large_bytes{0};

void *count_alloc(size_t size) {
  if (size >= 1 << 20) {
    large_count++;
    large_bytes += size;
  }
  return malloc(size);
}

void *count_resize(void *block, size_t size) {
  if (size >= 1 << 20) {
    large_count++;
    large_bytes += size;
  }
  return realloc(block, size);
}

} // namespace

TEST_CASE("A large value is copied no more than its encoding needs", "[values][memory]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  const size_t size = 8 << 20;
  const string value = noise(size);
  /* Allocations of our own of 1 MiB and more; what libpq needs is the same for all. Noise does not compress. */
  struct Case {
    const char *name;
    Settings settings;
    size_t puts, gets;
  };
  const std::vector<Case> cases = {
      {"plain", {}, 0, 0}, /* sent from the caller's memory, read in libpq's */
      {"encrypted", {{"encryption", "on"}, {"keys", keys.source()}}, 1, 1},
      {"compressed", {{"compression", "lz4"}}, 1, 0},
      {"both", {{"compression", "lz4"}, {"encryption", "on"}, {"keys", keys.source()}}, 1, 1},
  };
  for (const Case &one : cases) {
    INFO(one.name);
    Cache cache = store.open(one.settings);
    REQUIRE(cache.put("warm", "v") == PGCACHE_OK);
    REQUIRE(cache.get("warm") == PGCACHE_OK);
    pgc_memory_set_hooks(count_alloc, count_resize);
    large_count = large_bytes = 0;
    const Answer put = cache.put("k", value);
    const size_t put_count = large_count, put_bytes = large_bytes;
    large_count = large_bytes = 0;
    const Answer got = cache.get("k");
    const size_t got_count = large_count, got_bytes = large_bytes;
    pgc_memory_set_hooks(nullptr, nullptr);
    REQUIRE(put == PGCACHE_OK);
    REQUIRE(got == PGCACHE_OK);
    CHECK((got.bytes() == value));
    CHECK(put_count == one.puts);
    CHECK(got_count == one.gets);
    CHECK(put_bytes <= one.puts * (size + 200));
    CHECK(got_bytes <= one.gets * (size + 200));
  }
  /* What does compress needs, read, one buffer for the ciphertext's inside and one for the value. */
  Cache both = store.open({{"compression", "lz4"}, {"encryption", "on"}, {"keys", keys.source()}});
  const string text = text_of(size);
  REQUIRE(both.put("t", text) == PGCACHE_OK);
  pgc_memory_set_hooks(count_alloc, count_resize);
  large_count = large_bytes = 0;
  const Answer got = both.get("t");
  pgc_memory_set_hooks(nullptr, nullptr);
  CHECK((got.bytes() == text));
  CHECK(large_count <= 2);
  CHECK(large_bytes <= size + size / 2);
}

TEST_CASE("Each allocation of encoding and decoding fails once", "[values][memory]") {
  const KeyFile keys(key_line("one", 'B'));
  Store store;
  const Config config = store.config({{"compression", "zstd"}, {"encryption", "required"}, {"keys", keys.source()}});
  pgcache *self = nullptr;
  const string value = text_of(5000);
  REQUIRE(Cache(config).put("k", value) == PGCACHE_OK);
  const std::vector<std::function<pgcache_status()>> calls = {
      [&] { return pgcache_put(self, nullptr, "k", 1, value.data(), value.size(), 0, 60000, nullptr, nullptr); },
      [&] {
        pgcache_value *got = nullptr;
        const pgcache_status status = pgcache_get(self, &got, "k", 1, nullptr, nullptr);
        const bool same = got != nullptr && pgcache_value_size(got) == value.size() &&
                          memcmp(pgcache_value_data(got), value.data(), value.size()) == 0;
        pgcache_value_free(got);
        return status == PGCACHE_OK && !same ? PGCACHE_INVALID : status;
      },
      [&] {
        Items items;
        items.add("k", value);
        items.add("l", value);
        const pgcache_status put = pgcache_put_many(self, items.data(), 2, nullptr, nullptr);
        return put == PGCACHE_OK ? pgcache_get_many(self, items.data(), 2, nullptr, nullptr) : put;
      }};
  for (const auto &call : calls) {
    long points = 0;
    for (long n = 1; n < 1000; n++) {
      long failed;
      size_t left;
      pgcache_status status;
      {
        Allocations allocations(n, Failing::Once);
        status = pgcache_new(&self, config.get(), nullptr);
        if (status == PGCACHE_OK)
          status = call();
        pgcache_free(self);
        eventually([&] { return (left = Allocations::alive()) == 0; }); /* a thread that connected may still end */
        failed = Allocations::failed();
      }
      INFO("allocation " << n << ": " << pgcache_status_name(status));
      /* A write may have been sent; a spare connection need not have been made. A miss would be a forgery. */
      CHECK((status == PGCACHE_OK || (failed > 0 && (status == PGCACHE_NO_MEMORY || status == PGCACHE_UNKNOWN))));
      CHECK(left == 0);
      if (failed == 0) {
        points = n - 1;
        break;
      }
    }
    CHECK(points >= 5);
  }
}
