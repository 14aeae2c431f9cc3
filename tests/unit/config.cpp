/*
 * config.cpp - tests of the settings: their table, their checks, the environment, and their typed form.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <memory>
#include <set>
#include <vector>

using test::contains;
using test::Variable;

namespace {

/* A configuration that goes with its test. */
struct Config {
  pgcache_config *self = nullptr;
  Config() {
    REQUIRE(pgcache_config_new(&self, nullptr) == PGCACHE_OK);
  }
  Config(const Config &) = delete;
  Config &operator=(const Config &) = delete;
  ~Config() {
    pgcache_config_free(self);
  }
  operator pgcache_config *() const {
    return self;
  }
  std::string get(const char *name) const {
    return pgcache_config_get(self, name);
  }
};

std::vector<pgcache_setting> all_settings() {
  std::vector<pgcache_setting> all;
  for (;;) {
    pgcache_setting setting = PGCACHE_SETTING_INIT;
    if (pgcache_config_describe(&setting, all.size(), nullptr) != PGCACHE_OK)
      return all;
    all.push_back(setting);
  }
}

/* An environment without any of our variables, and what it had back at the end. */
struct CleanEnvironment {
  std::vector<std::unique_ptr<Variable>> variables;
  CleanEnvironment() {
    variables.push_back(std::make_unique<Variable>("DATABASE_URL", nullptr));
    for (const pgcache_setting &setting : all_settings())
      variables.push_back(std::make_unique<Variable>(setting.environment, nullptr));
  }
};

} // namespace

TEST_CASE("every setting is described completely", "[config]") {
  std::set<std::string> names;
  for (const pgcache_setting &setting : all_settings()) {
    INFO(setting.name);
    CHECK(names.insert(setting.name).second);
    std::string environment = "PGCACHE_";
    for (const char *c = setting.name; *c != '\0'; c++)
      environment += static_cast<char>(toupper(*c));
    CHECK(setting.environment == environment);
    std::string description = setting.description;
    CHECK(description.size() > 20);
    CHECK(description.back() == '.');
    std::string allowed = setting.allowed;
    CHECK(!allowed.empty());
    CHECK(allowed.back() != '.');
  }
  CHECK(names == std::set<std::string>{"url",
                                       "schema",
                                       "namespace",
                                       "table",
                                       "coherence",
                                       "values",
                                       "prepared",
                                       "app_role",
                                       "app_namespaces",
                                       "grants",
                                       "owner_role",
                                       "pool_min",
                                       "pool_max",
                                       "pool_max_lifetime_ms",
                                       "pool_idle_ms",
                                       "async_connections",
                                       "async_requests_max",
                                       "async_bytes_max",
                                       "breaker_failures",
                                       "breaker_pause_ms",
                                       "on_error",
                                       "timeout_ms",
                                       "maintenance_timeout_ms",
                                       "default_ttl_ms",
                                       "max_value_bytes",
                                       "compression",
                                       "compression_min_bytes",
                                       "encryption",
                                       "digests",
                                       "keys",

                                       "cleanup_share",
                                       "cleanup_chance",
                                       "access_stamp_ms",
                                       "guard",
                                       "load_threads",
                                       "near_max_bytes",
                                       "near_max_entries",
                                       "near_staleness_ms",
                                       "near_absent_ms",
                                       "near_audit_ms",
                                       "listen_url",
                                       "notify_channel",
                                       "slow_ms",
                                       "log_keys",
                                       "publish_ms"});
}

TEST_CASE("a default can be set and is what was described", "[config]") {
  Config config;
  for (const pgcache_setting &setting : all_settings()) {
    INFO(setting.name);
    CHECK(config.get(setting.name) == setting.default_value);
    CHECK(pgcache_config_set(config, setting.name, setting.default_value, nullptr) == PGCACHE_OK);
    CHECK(config.get(setting.name) == setting.default_value);
  }
}

TEST_CASE("describing fills as much as the caller's struct holds", "[config][rule:sizes]") {
  CHECK(sizeof(pgcache_setting) == 48);
  pgcache_setting whole = PGCACHE_SETTING_INIT;
  size_t index = 0;
  while (pgcache_config_describe(&whole, index, nullptr) == PGCACHE_OK && std::string(whole.name) != "pool_max")
    index++;
  REQUIRE(std::string(whole.name) == "pool_max");
  for (size_t size = 0; size <= sizeof(pgcache_setting) + 40; size++) {
    alignas(pgcache_setting) unsigned char bytes[2 * sizeof(pgcache_setting)];
    memset(bytes, 0xAA, sizeof bytes);
    memcpy(bytes, &size, sizeof size);
    INFO("struct_size " << size);
    test::Error error;
    auto status = pgcache_config_describe(reinterpret_cast<pgcache_setting *>(bytes), index, &error);
    size_t written = 0;
    if (size < 16) {
      CHECK(status == PGCACHE_INVALID);
      CHECK(contains(error.text(), "struct_size is " + std::to_string(size)));
      written = sizeof size;
    } else {
      CHECK(status == PGCACHE_OK);
      size_t filled = std::min(size / 8 * 8, sizeof whole);
      CHECK(memcmp(bytes + sizeof size, reinterpret_cast<const char *>(&whole) + sizeof size, filled - sizeof size) ==
            0);
      for (size_t i = filled; i < size; i++)
        REQUIRE(bytes[i] == 0);
      written = size;
    }
    CHECK(memcmp(bytes, &size, sizeof size) == 0);
    for (size_t i = written; i < sizeof bytes; i++)
      REQUIRE(bytes[i] == 0xAA);
  }
}

TEST_CASE("describing past the last setting gives nothing", "[config]") {
  for (size_t index : {all_settings().size(), all_settings().size() + 1, SIZE_MAX}) {
    pgcache_setting setting = {sizeof(pgcache_setting), "x", "x", "x", "x", "x"};
    CHECK(pgcache_config_describe(&setting, index, nullptr) == PGCACHE_MISS);
    CHECK(setting.struct_size == sizeof setting);
    CHECK(setting.name == nullptr);
    CHECK(setting.default_value == nullptr);
    CHECK(setting.allowed == nullptr);
    CHECK(setting.environment == nullptr);
    CHECK(setting.description == nullptr);
  }
}

TEST_CASE("values within the limits are taken, values beyond are refused", "[config][rule:namespace]") {
  struct Case {
    const char *name;
    std::vector<std::string> good;
    std::vector<std::string> bad;
  };
  const std::vector<Case> cases = {
      {"schema",
       {"p", "_", "a1", "pgcache_test", std::string(31, 'a'), "z_9"},
       {"", "0a", "1a", "9a", "A", "a-b", "a b", "a\"b", "a;b", "\xC3\xA4", std::string(32, 'a'),
        std::string(5000, 'a'), "p\n"}},
      {"namespace",
       {"a", "!", "~", "a/b:c", std::string(63, 'n')},
       {"", " ", "a b", "a\tb", "\x7F", "\x80", "\xC3\xA4", std::string(64, 'n'), "a\n", "\x1F"}},
      {"table", {"unlogged", "logged"}, {"", "UNLOGGED", "unlogge", "loggedx", "temporary"}},
      {"coherence", {"on", "off"}, {"", "ON", "none", "true"}},
      {"values", {"mixed", "inline"}, {"", "MIXED", "inlinex", "3k"}},
      {"prepared", {"on", "off"}, {"", "ON", "true", "1", "no"}},
      {"app_role",
       {"", "app", "App-1.x@y", std::string(63, 'r')},
       {"pg_app", "a b", "a'b", "a\"b", "a;b", std::string(64, 'r')}},
      {"owner_role", {"", "app", std::string(63, 'r')}, {"pg_app", "a\\b", std::string(64, 'r')}},
      {"grants", {"functions", "tables"}, {"", "TABLES", "all"}},
      {"app_namespaces",
       {"", "a", "a,b", "x:y,z", std::string(63, 'n') + "," + std::string(63, 'm')},
       {",", "a,", ",a", "a,,b", "a b", "a'b", "a\"b", "a\\b", "a$$b", "\xc3\xa9", std::string(64, 'n')}},
      {"pool_min",
       {"0", "1", "19", "999", "1000", "00", "0007"},
       {"", "-1", "+1", "1001", " 1", "1 ", "1.0", "0x1", "one", "1e1"}},
      {"pool_max", {"1", "1000"}, {"", "0", "1001", "99999999999999999999999999999999", "-0"}},
      {"pool_max_lifetime_ms", {"0", "86400000"}, {"", "-1", "86400001", "30min"}},
      {"pool_idle_ms", {"0", "86400000"}, {"", "-1", "86400001", "never"}},
      {"async_connections", {"1", "64"}, {"", "0", "65", "all"}},
      {"async_requests_max", {"1", "10000000"}, {"", "0", "10000001"}},
      {"async_bytes_max", {"1", "1099511627776"}, {"", "0", "1099511627777", "1GB"}},
      {"breaker_failures", {"0", "1000"}, {"", "-1", "1001", "off"}},
      {"breaker_pause_ms", {"1", "30000"}, {"", "0", "30001"}},
      {"on_error", {"error", "miss"}, {"", "Miss", "missx", "ignore"}},
      {"timeout_ms", {"1", "86400000"}, {"0", "86400001", "5s", "never", ":", "/"}},
      {"maintenance_timeout_ms", {"1", "86400000"}, {"0", "86400001", "never"}},
      {"default_ttl_ms", {"1", "315360000000", "never"}, {"", "0", "-1", "315360000001", "Never", "never ", "neve"}},
      {"max_value_bytes", {"1", "268435456"}, {"0", "268435457", "16M"}},
      {"compression", {"off", "lz4", "zstd"}, {"", "on", "LZ4", "gzip", "lz4 "}},
      {"compression_min_bytes", {"1", "268435456"}, {"", "0", "268435457"}},
      {"encryption", {"off", "on", "required"}, {"", "true", "On", "require"}},
      {"digests", {"plain", "keyed"}, {"", "key", "Keyed"}},
      {"keys",
       {"", "file:/x", "file:/a b/c", "env:A", "env:_a9"},
       {"file:", "file:x", "/x", "env:", "env:9", "env:A-B", "env:A ", "cmd:x", "key1 AAAA", "ENV:A"}},
      {"cleanup_share", {"1", "100"}, {"0", "101", "10%"}},
      {"cleanup_chance", {"0", "1000000"}, {"-1", "1000001", "0.1"}},
      {"access_stamp_ms", {"1", "86400000"}, {"0", "86400001", "1m"}},
      {"guard", {"on", "off"}, {"", "true", "On"}},
      {"load_threads", {"1", "64"}, {"0", "65", "-1"}},
      {"near_max_bytes", {"0", "1048576", "1099511627776"}, {"-1", "1", "1048575", "1099511627777", "64MiB"}},
      {"near_max_entries", {"0", "1000000000"}, {"-1", "1000000001"}},
      {"near_staleness_ms", {"100", "60000"}, {"99", "60001"}},
      {"near_absent_ms", {"0", "86400000"}, {"-1", "86400001"}},
      {"near_audit_ms", {"0", "86400000"}, {"-1", "86400001"}},
      {"listen_url", {"", "host=/tmp", "postgresql://h/d"}, {"x", "redis://h"}},
      {"notify_channel", {"", "abc_0", std::string(63, 'c')}, {"A", "a b", "a-b", "a\"", std::string(64, 'c')}},
      {"slow_ms", {"0", "86400000"}, {"-1", "86400001", "1s"}},
      {"log_keys", {"on", "off"}, {"", "true", "On"}},
      {"publish_ms", {"0", "1000", "3600000"}, {"1", "999", "3600001", "-1", ""}},
      {"url",
       {"", "null:", "local:", "local:/x", "postgresql://h/d", "postgres://h", "host=/tmp", "dbname = 'x y'"},
       {"null:x", "local:x", "redis://h", "POSTGRES://h", "localhost", " ", "://"}},
  };
  Config config;
  CHECK(cases.size() == all_settings().size());
  for (const Case &c : cases) {
    for (const std::string &value : c.good) {
      INFO(c.name << " = " << value);
      CHECK(pgcache_config_set(config, c.name, value.c_str(), nullptr) == PGCACHE_OK);
      CHECK(config.get(c.name) == value);
    }
    const std::string kept = config.get(c.name);
    for (const std::string &value : c.bad) {
      INFO(c.name << " = " << value);
      test::Error error;
      CHECK(pgcache_config_set(config, c.name, value.c_str(), &error) == PGCACHE_BAD_SETTING);
      CHECK(error.status == PGCACHE_BAD_SETTING);
      CHECK(error.text().rfind(std::string(c.name) + ": ", 0) == 0);
      CHECK(config.get(c.name) == kept);
    }
    CHECK(pgcache_config_set(config, c.name, nullptr, nullptr) == PGCACHE_OK);
  }
  for (const pgcache_setting &setting : all_settings())
    CHECK(config.get(setting.name) == setting.default_value);
}

TEST_CASE("the message on a bad value says what is allowed", "[config][rule:error]") {
  Config config;
  auto message = [&config](const char *name, const char *value) {
    test::Error error;
    CHECK(pgcache_config_set(config, name, value, &error) == PGCACHE_BAD_SETTING);
    return error.text();
  };
  CHECK(message("pool_max", "0") == "pool_max: the value must be 1 to 1000");
  CHECK(message("default_ttl_ms", "0") == "default_ttl_ms: the value must be 1 to 315360000000, or never");
  CHECK(message("table", "x") == "table: the value must be unlogged or logged");
  CHECK(message("values", "x") == "values: the value must be mixed or inline");
  CHECK(message("schema", "X") ==
        "schema: the value must be 1 to 31 of a-z, 0-9 and _, not beginning with a digit or with pg_");
  CHECK(message("namespace", "") == "namespace: the value must be 1 to 63 visible ASCII characters");
  CHECK(message("url", "null:x") == "url: null: must stand alone");
}

TEST_CASE("the message on a wrong name names the nearest setting", "[config][rule:error]") {
  Config config;
  auto message = [&config](const char *name) {
    test::Error error;
    CHECK(pgcache_config_set(config, name, "1", &error) == PGCACHE_BAD_SETTING);
    CHECK(pgcache_config_get(config, name) == nullptr);
    return error.text();
  };
  const std::string nearest = "there is no setting of that name; the nearest is ";
  CHECK(message("poolmax") == nearest + "pool_max");
  CHECK(message("POOL-MIN") == nearest + "pool_min");
  CHECK(message("uri") == nearest + "url");
  CHECK(message("timeout") == nearest + "timeout_ms");
  CHECK(message("default_ttl") == nearest + "default_ttl_ms");
  CHECK(message("tabel") == nearest + "table");
  CHECK(message("max_value_size") == nearest + "max_value_bytes");
  const std::string all = "there is no setting of that name; pgcache_config_describe() lists them";
  CHECK(message("") == all);
  CHECK(message("verbosity") == all);
  CHECK(message(std::string(10000, 'u').c_str()) == all);
}

TEST_CASE("configurations refuse NULL and misused errors", "[config][rule:sizes]") {
  Config config;
  test::Error error;
  CHECK(pgcache_config_new(nullptr, &error) == PGCACHE_INVALID);
  CHECK(error.text() == "out is NULL");
  CHECK(pgcache_config_set(nullptr, "url", "", &error) == PGCACHE_INVALID);
  CHECK(error.text() == "config is NULL");
  CHECK(pgcache_config_set(config, nullptr, "", &error) == PGCACHE_INVALID);
  CHECK(error.text() == "name is NULL");
  CHECK(pgcache_config_load_environment(nullptr, &error) == PGCACHE_INVALID);
  CHECK(error.text() == "config is NULL");
  CHECK(pgcache_config_describe(nullptr, 0, &error) == PGCACHE_INVALID);
  CHECK(error.text() == "out is NULL");
  CHECK(pgcache_config_get(nullptr, "url") == nullptr);
  CHECK(pgcache_config_get(config, nullptr) == nullptr);
  pgcache_config_free(nullptr);

  CHECK(pgcache_config_new(nullptr, nullptr) == PGCACHE_INVALID);
  CHECK(pgcache_config_set(nullptr, nullptr, nullptr, nullptr) == PGCACHE_INVALID);

  test::Error bad;
  bad.struct_size = 15;
  auto *out = reinterpret_cast<pgcache_config *>(&bad);
  CHECK(pgcache_config_new(&out, &bad) == PGCACHE_INVALID);
  CHECK(out == nullptr);
  CHECK(pgcache_config_set(config, "table", "logged", &bad) == PGCACHE_INVALID);
  CHECK(config.get("table") == "unlogged");
  Variable variable("PGCACHE_TABLE", "logged");
  CHECK(pgcache_config_load_environment(config, &bad) == PGCACHE_INVALID);
  CHECK(config.get("table") == "unlogged");
  pgcache_setting setting = PGCACHE_SETTING_INIT;
  CHECK(pgcache_config_describe(&setting, 0, &bad) == PGCACHE_INVALID);
  CHECK(setting.name == nullptr);
  CHECK(bad.text().empty());
}

TEST_CASE("an error is left alone when nothing went wrong", "[config][rule:error]") {
  test::Error error;
  strcpy(error.message, "untouched");
  Config config;
  pgcache_setting setting = PGCACHE_SETTING_INIT;
  CHECK(pgcache_config_set(config, "table", "logged", &error) == PGCACHE_OK);
  CHECK(pgcache_config_describe(&setting, 0, &error) == PGCACHE_OK);
  CHECK(pgcache_config_describe(&setting, 1000, &error) == PGCACHE_MISS);
  CleanEnvironment environment;
  CHECK(pgcache_config_load_environment(config, &error) == PGCACHE_OK);
  CHECK(error.text() == "untouched");
  CHECK(error.status == PGCACHE_OK);
}

TEST_CASE("the environment sets what it has", "[config][environment]") {
  CleanEnvironment environment;
  Config config;
  REQUIRE(pgcache_config_set(config, "pool_max", "7", nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_config_set(config, "url", "null:", nullptr) == PGCACHE_OK);

  SECTION("nothing") {
    CHECK(pgcache_config_load_environment(config, nullptr) == PGCACHE_OK);
    CHECK(config.get("pool_max") == "7");
    CHECK(config.get("url") == "null:");
  }
  SECTION("every setting") {
    const std::vector<std::pair<std::string, std::string>> values = {{"url", "local:/x"},
                                                                     {"schema", "s"},
                                                                     {"namespace", "n"},
                                                                     {"table", "logged"},
                                                                     {"coherence", "off"},
                                                                     {"values", "inline"},
                                                                     {"prepared", "off"},
                                                                     {"app_role", "App-1"},
                                                                     {"app_namespaces", "a,b:c"},
                                                                     {"grants", "tables"},
                                                                     {"owner_role", "x.y@z"},
                                                                     {"pool_min", "2"},
                                                                     {"pool_max", "3"},
                                                                     {"pool_max_lifetime_ms", "7"},
                                                                     {"pool_idle_ms", "8"},
                                                                     {"async_connections", "14"},
                                                                     {"async_requests_max", "15"},
                                                                     {"async_bytes_max", "16"},
                                                                     {"breaker_failures", "9"},
                                                                     {"breaker_pause_ms", "10"},
                                                                     {"on_error", "miss"},
                                                                     {"timeout_ms", "4"},
                                                                     {"maintenance_timeout_ms", "5"},
                                                                     {"default_ttl_ms", "never"},
                                                                     {"max_value_bytes", "6"},
                                                                     {"compression", "zstd"},
                                                                     {"compression_min_bytes", "7"},
                                                                     {"encryption", "required"},
                                                                     {"digests", "keyed"},
                                                                     {"keys", "env:K"},
                                                                     {"cleanup_share", "11"},
                                                                     {"cleanup_chance", "12"},
                                                                     {"access_stamp_ms", "13"},
                                                                     {"guard", "off"},
                                                                     {"load_threads", "13"},
                                                                     {"near_max_bytes", "1048577"},
                                                                     {"near_max_entries", "15"},
                                                                     {"near_staleness_ms", "116"},
                                                                     {"near_absent_ms", "17"},
                                                                     {"near_audit_ms", "18"},
                                                                     {"listen_url", "host=/l"},
                                                                     {"notify_channel", "chan"},
                                                                     {"slow_ms", "19"},
                                                                     {"log_keys", "on"},
                                                                     {"publish_ms", "7000"}};
    auto settings = all_settings();
    REQUIRE(values.size() == settings.size());
    for (size_t i = 0; i < settings.size(); i++) {
      REQUIRE(values[i].first == settings[i].name);
      setenv(settings[i].environment, values[i].second.c_str(), 1);
    }
    CHECK(pgcache_config_load_environment(config, nullptr) == PGCACHE_OK);
    for (const auto &value : values)
      CHECK(config.get(value.first.c_str()) == value.second);
  }
  SECTION("an empty variable counts as none") {
    setenv("PGCACHE_POOL_MAX", "", 1);
    setenv("PGCACHE_URL", "", 1);
    setenv("DATABASE_URL", "", 1);
    CHECK(pgcache_config_load_environment(config, nullptr) == PGCACHE_OK);
    CHECK(config.get("pool_max") == "7");
    CHECK(config.get("url") == "null:");
  }
  SECTION("DATABASE_URL stands in for PGCACHE_URL") {
    setenv("DATABASE_URL", "postgres://database", 1);
    CHECK(pgcache_config_load_environment(config, nullptr) == PGCACHE_OK);
    CHECK(config.get("url") == "postgres://database");
    setenv("PGCACHE_URL", "", 1);
    CHECK(pgcache_config_load_environment(config, nullptr) == PGCACHE_OK);
    CHECK(config.get("url") == "postgres://database");
    setenv("PGCACHE_URL", "postgres://cache", 1);
    CHECK(pgcache_config_load_environment(config, nullptr) == PGCACHE_OK);
    CHECK(config.get("url") == "postgres://cache");
  }
  SECTION("a bad value is refused under the variable's name, and what came before it stays") {
    setenv("PGCACHE_SCHEMA", "before", 1);
    setenv("PGCACHE_POOL_MAX", "many", 1);
    setenv("PGCACHE_TIMEOUT_MS", "6000", 1);
    test::Error error;
    CHECK(pgcache_config_load_environment(config, &error) == PGCACHE_BAD_SETTING);
    CHECK(error.text() == "PGCACHE_POOL_MAX: the value must be 1 to 1000");
    CHECK(config.get("schema") == "before");
    CHECK(config.get("pool_max") == "7");
    CHECK(config.get("timeout_ms") == "5000");
  }
  SECTION("a bad address is refused under the variable that held it") {
    setenv("DATABASE_URL", "mysql://h", 1);
    test::Error error;
    CHECK(pgcache_config_load_environment(config, &error) == PGCACHE_BAD_SETTING);
    CHECK(error.text().rfind("DATABASE_URL: the scheme is unknown", 0) == 0);
    setenv("PGCACHE_URL", "localhost", 1);
    CHECK(pgcache_config_load_environment(config, &error) == PGCACHE_BAD_SETTING);
    CHECK(error.text().rfind("PGCACHE_URL: this is not an address", 0) == 0);
  }
}

TEST_CASE("without coherence there is no near cache, whatever it may take", "[config][coherence]") {
  Config config;
  pgc_settings settings;
  REQUIRE(pgcache_config_set(config, "near_max_bytes", "2000000", nullptr) == PGCACHE_OK);
  REQUIRE(pgcache_config_set(config, "coherence", "off", nullptr) == PGCACHE_OK);
  REQUIRE(pgc_settings_load(&settings, config, nullptr) == PGCACHE_OK);
  CHECK_FALSE(settings.kind.coherent);
  CHECK_FALSE(settings.kind.logged);
  CHECK(settings.near_max_bytes == 0);
  pgc_settings_clear(&settings);
}

TEST_CASE("settings are loaded in their types", "[config]") {
  Config config;
  pgc_settings settings;
  SECTION("defaults") {
    REQUIRE(pgc_settings_load(&settings, config, nullptr) == PGCACHE_OK);
    CHECK(std::string(settings.url).empty());
    CHECK(std::string(settings.schema) == "pgcache");
    CHECK(std::string(settings.namespace_name) == "default");
    CHECK_FALSE(settings.kind.logged);
    CHECK(settings.kind.coherent);
    CHECK_FALSE(settings.inline_values);
    CHECK(std::string(settings.owner_role) == "pgcache_owner");
    pgc_sql_roles roles;
    pgc_settings_roles(&settings, &roles);
    CHECK(std::string(roles.app_role).empty());
    CHECK(std::string(roles.grants) == "functions");
    CHECK(settings.pool_min == 0);
    CHECK(settings.pool_max == 10);
    CHECK(settings.pool_max_lifetime_ms == 1800000);
    CHECK(settings.pool_idle_ms == 600000);
    CHECK(settings.async_connections == 2);
    CHECK(settings.async_requests_max == 100000);
    CHECK(settings.async_bytes_max == 256 * 1024 * 1024);
    CHECK(settings.breaker_failures == 5);
    CHECK(settings.breaker_pause_ms == 1000);
    CHECK_FALSE(settings.failed_reads_miss);
    CHECK(settings.timeout_ms == 5000);
    CHECK(settings.maintenance_timeout_ms == 300000);
    CHECK(settings.default_ttl_ms == 300000);
    CHECK(settings.max_value_bytes == 16 * 1024 * 1024);
    CHECK(settings.compression == PGC_CODEC_NONE);
    CHECK(settings.compression_min_bytes == 1024);
    CHECK(settings.encryption == PGC_ENCRYPTION_OFF);
    CHECK_FALSE(settings.keyed_digests);
    CHECK(settings.keys == nullptr);
    CHECK(settings.cleanup_share == 10);
    CHECK(settings.cleanup_chance == 0);
    CHECK(settings.access_stamp_ms == 60000);
    CHECK(settings.near_max_bytes == 64 * 1024 * 1024);
    CHECK(settings.near_max_entries == 0);
    CHECK(settings.near_staleness_ms == 2000);
    CHECK(settings.near_absent_ms == 0);
    CHECK(settings.near_audit_ms == 0);
    CHECK(settings.guarded);
    CHECK(settings.load_threads == 4);
    CHECK(std::string(settings.listen_url) == "");
    CHECK(std::string(settings.notify_channel) == "");
    CHECK(settings.publish_ms == 0);
    pgc_settings_clear(&settings);
    CHECK(settings.url == nullptr);
    CHECK(settings.pool_max == 0);
  }
  SECTION("set") {
    const std::string schema(31, 's');
    const std::string name(63, 'n');
    const std::pair<const char *, const char *> values[] = {{"url", "host=/tmp password=x"},
                                                            {"schema", schema.c_str()},
                                                            {"namespace", name.c_str()},
                                                            {"table", "logged"},
                                                            {"pool_min", "3"},
                                                            {"pool_max", "3"},
                                                            {"pool_max_lifetime_ms", "0"},
                                                            {"pool_idle_ms", "1234"},
                                                            {"async_connections", "64"},
                                                            {"async_requests_max", "10000000"},
                                                            {"async_bytes_max", "1099511627776"},
                                                            {"breaker_failures", "0"},
                                                            {"breaker_pause_ms", "250"},
                                                            {"on_error", "miss"},
                                                            {"timeout_ms", "00012"},
                                                            {"maintenance_timeout_ms", "86400000"},
                                                            {"default_ttl_ms", "never"},
                                                            {"max_value_bytes", "268435456"},
                                                            {"compression", "lz4"},
                                                            {"compression_min_bytes", "12"},
                                                            {"encryption", "required"},
                                                            {"digests", "keyed"},
                                                            {"keys", "file:/keys"},
                                                            {"cleanup_share", "50"},
                                                            {"cleanup_chance", "100"},
                                                            {"access_stamp_ms", "1000"},
                                                            {"guard", "off"},
                                                            {"load_threads", "7"},
                                                            {"near_max_bytes", "2000000"},
                                                            {"near_max_entries", "77"},
                                                            {"near_staleness_ms", "500"},
                                                            {"near_absent_ms", "60"},
                                                            {"near_audit_ms", "5000"},
                                                            {"listen_url", "host=/direct password=y"},
                                                            {"notify_channel", "quiet"},
                                                            {"publish_ms", "10000"}};
    for (const auto &value : values)
      REQUIRE(pgcache_config_set(config, value.first, value.second, nullptr) == PGCACHE_OK);
    REQUIRE(pgc_settings_load(&settings, config, nullptr) == PGCACHE_OK);
    CHECK(std::string(settings.url) == "host=/tmp password=x");
    CHECK(settings.schema == schema);
    CHECK(settings.namespace_name == name);
    CHECK(settings.kind.logged);
    CHECK(settings.pool_min == 3);
    CHECK(settings.pool_max == 3);
    CHECK(settings.pool_max_lifetime_ms == 0);
    CHECK(settings.pool_idle_ms == 1234);
    CHECK(settings.async_connections == 64);
    CHECK(settings.async_requests_max == 10000000);
    CHECK(settings.async_bytes_max == 1099511627776);
    CHECK(settings.breaker_failures == 0);
    CHECK(settings.breaker_pause_ms == 250);
    CHECK(settings.failed_reads_miss);
    CHECK(settings.timeout_ms == 12);
    CHECK(settings.maintenance_timeout_ms == 86400000);
    CHECK(settings.default_ttl_ms == PGCACHE_TTL_NEVER);
    CHECK(settings.max_value_bytes == 268435456);
    CHECK(settings.cleanup_share == 50);
    CHECK(settings.cleanup_chance == 100);
    CHECK(settings.access_stamp_ms == 1000);
    CHECK_FALSE(settings.guarded);
    CHECK(settings.load_threads == 7);
    CHECK(settings.near_max_bytes == 2000000);
    CHECK(settings.near_max_entries == 77);
    CHECK(settings.near_staleness_ms == 500);
    CHECK(settings.near_absent_ms == 60);
    CHECK(settings.near_audit_ms == 5000);
    CHECK(std::string(settings.listen_url) == "host=/direct password=y");
    CHECK(std::string(settings.notify_channel) == "quiet");
    CHECK(settings.publish_ms == 10000);
    CHECK(settings.compression == PGC_CODEC_LZ4);
    CHECK(settings.compression_min_bytes == 12);
    CHECK(settings.encryption == PGC_ENCRYPTION_REQUIRED);
    CHECK(settings.keyed_digests);
    CHECK(std::string(settings.keys) == "file:/keys");
    pgc_settings_clear(&settings);
    REQUIRE(pgcache_config_set(config, "compression", "zstd", nullptr) == PGCACHE_OK);
    REQUIRE(pgcache_config_set(config, "encryption", "on", nullptr) == PGCACHE_OK);
    REQUIRE(pgc_settings_load(&settings, config, nullptr) == PGCACHE_OK);
    CHECK(settings.compression == PGC_CODEC_ZSTD);
    CHECK(settings.encryption == PGC_ENCRYPTION_ON);
    pgc_settings_clear(&settings);
  }
  SECTION("a pool whose least is above its most") {
    REQUIRE(pgcache_config_set(config, "pool_min", "11", nullptr) == PGCACHE_OK);
    test::Error error;
    CHECK(pgc_settings_load(&settings, config, &error) == PGCACHE_BAD_SETTING);
    CHECK(error.text() == "pool_min is 11 and must not be above pool_max, which is 10");
    CHECK(settings.url == nullptr);
  }
  SECTION("secrets without a place to find them") {
    for (const std::pair<const char *, const char *> &setting :
         {std::make_pair("encryption", "on"), {"encryption", "required"}, {"digests", "keyed"}}) {
      Config alone;
      test::Error error;
      REQUIRE(pgcache_config_set(alone, setting.first, setting.second, nullptr) == PGCACHE_OK);
      CHECK(pgc_settings_load(&settings, alone, &error) == PGCACHE_BAD_SETTING);
      CHECK(error.text() == std::string(setting.first) + " is " + setting.second + " and needs the setting keys");
      CHECK(settings.url == nullptr);
    }
  }
  pgc_settings_clear(nullptr);
}

TEST_CASE("every allocation of a configuration may fail", "[config][allocation]") {
  CleanEnvironment environment;
  Variable url("DATABASE_URL", "postgres://database");
  Variable schema("PGCACHE_SCHEMA", "other");
  Variable keys("PGCACHE_KEYS", "env:K");
  long points = test::fail_each_allocation([] {
    pgcache_config *config = nullptr;
    pgc_settings settings = {};
    test::Error error;
    pgcache_status status = pgcache_config_new(&config, &error);
    CHECK((config != nullptr) == (status == PGCACHE_OK));
    if (status == PGCACHE_OK) {
      status = pgcache_config_set(config, "namespace", "other", &error);
      CHECK(std::string(pgcache_config_get(config, "namespace")) == (status == PGCACHE_OK ? "other" : "default"));
    }
    if (status == PGCACHE_OK)
      status = pgcache_config_load_environment(config, &error);
    if (status == PGCACHE_OK)
      status = pgc_settings_load(&settings, config, &error);
    CHECK((settings.url != nullptr) == (status == PGCACHE_OK));
    CHECK(error.text() == (status == PGCACHE_OK ? "" : "out of memory"));
    pgc_settings_clear(&settings);
    pgcache_config_free(config);
    return status;
  });
  CHECK(points == 9);
}
