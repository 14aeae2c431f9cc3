/*
 * secrets.cpp - [A62] tests that no message shows a password, wherever it stood.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include "support/secrets.hpp"

#include <memory>
#include <vector>

namespace {

std::vector<std::string> every_address() {
  std::vector<std::string> out;
  for (const std::string &secret : test::broken_canaries()) {
    for (std::string &address : test::addresses_with(secret))
      out.push_back(std::move(address));
  }
  return out;
}

struct FreeConfig {
  void operator()(pgcache_config *config) const {
    pgcache_config_free(config);
  }
};

std::unique_ptr<pgcache_config, FreeConfig> new_config() {
  pgcache_config *config = nullptr;
  REQUIRE(pgcache_config_new(&config, nullptr) == PGCACHE_OK);
  return std::unique_ptr<pgcache_config, FreeConfig>(config);
}

} // namespace

TEST_CASE("a shown canary is seen", "[secrets]") {
  CHECK(test::shows_canary("password \"" + test::canary + "\" is wrong"));
  CHECK(test::shows_canary("... near \"Kw3\""));
  CHECK_FALSE(test::shows_canary("password is wrong"));
}

TEST_CASE("[A62] [A22] parsing an address shows nothing of it", "[A62][A22][secrets][rule:error]") {
  size_t refused = 0;
  for (const std::string &url : every_address()) {
    pgc_address address;
    test::Error error;
    pgcache_status status = pgc_address_parse(&address, url.c_str(), &error);
    INFO(url);
    INFO(error.text());
    CHECK((status == PGCACHE_OK || status == PGCACHE_BAD_SETTING));
    CHECK(error.text().empty() == (status == PGCACHE_OK));
    REQUIRE_FALSE(test::shows_canary(error.text()));
    refused += status != PGCACHE_OK;
    pgc_address_clear(&address);
  }
  CHECK(refused > 1000);
}

TEST_CASE("[A62] setting anything to a secret shows nothing of it", "[A62][secrets][rule:error]") {
  auto config = new_config();
  for (const std::string &secret : test::broken_canaries()) {
    pgcache_setting setting = PGCACHE_SETTING_INIT;
    for (size_t i = 0; pgcache_config_describe(&setting, i, nullptr) == PGCACHE_OK; i++) {
      test::Error error;
      pgcache_config_set(config.get(), setting.name, secret.c_str(), &error);
      INFO(setting.name << " = " << secret << ": " << error.text());
      REQUIRE_FALSE(test::shows_canary(error.text()));
    }
    for (const std::string &name : {secret, "pool_" + secret, secret + "=1", "password=" + secret}) {
      test::Error error;
      CHECK(pgcache_config_set(config.get(), name.c_str(), secret.c_str(), &error) == PGCACHE_BAD_SETTING);
      INFO(name << ": " << error.text());
      REQUIRE_FALSE(test::shows_canary(error.text()));
    }
  }
}

TEST_CASE("[A62] an environment full of secrets shows none", "[A62][secrets][environment]") {
  auto config = new_config();
  pgcache_setting setting = PGCACHE_SETTING_INIT;
  std::vector<const char *> variables = {"DATABASE_URL"};
  for (size_t i = 0; pgcache_config_describe(&setting, i, nullptr) == PGCACHE_OK; i++)
    variables.push_back(setting.environment);
  std::vector<std::unique_ptr<test::Variable>> cleared;
  for (const char *variable : variables)
    cleared.push_back(std::make_unique<test::Variable>(variable, nullptr));
  size_t refused = 0;
  for (const char *variable : variables) {
    for (const std::string &address : test::addresses_with(test::canary)) {
      test::Variable secret(variable, address.c_str());
      test::Error error;
      refused += pgcache_config_load_environment(config.get(), &error) != PGCACHE_OK;
      INFO(variable << "=" << address << ": " << error.text());
      REQUIRE_FALSE(test::shows_canary(error.text()));
    }
  }
  CHECK(refused > variables.size() * 10);
}
