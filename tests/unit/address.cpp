/*
 * address.cpp - tests of telling addresses apart, and of where a local server lives.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <libpq-fe.h>
#include <unistd.h>

#include <cstdlib>

using test::contains;
using test::Variable;

namespace {

struct Address : pgc_address {
  Address() : pgc_address{} {}
  Address(const Address &) = delete;
  Address &operator=(const Address &) = delete;
  ~Address() {
    pgc_address_clear(this);
  }
};

std::string problem(const std::string &url) {
  const char *text = pgc_address_problem(url.c_str());
  Address address;
  test::Error error;
  pgcache_status status = pgc_address_parse(&address, url.c_str(), &error);
  if (text != nullptr) {
    CHECK(status == PGCACHE_BAD_SETTING);
    CHECK(error.text() == std::string("url: ") + text);
    CHECK(address.conninfo == nullptr);
    CHECK(address.local_dir == nullptr);
  }
  return text != nullptr ? text : "";
}

/* While it lives, the process is not root, as whom `local:` means another folder. */
struct OrdinaryUser {
  const uid_t before = geteuid();
  OrdinaryUser() {
    if (before == 0)
      REQUIRE(seteuid(65534) == 0);
  }
  OrdinaryUser(const OrdinaryUser &) = delete;
  OrdinaryUser &operator=(const OrdinaryUser &) = delete;
  ~OrdinaryUser() {
    if (seteuid(before) != 0)
      abort(); /* the tests that follow would fail for no reason of theirs */
  }
};

/* What libpq reads in a connection string for one keyword. */
std::string libpq_reads(const char *conninfo, const std::string &keyword) {
  PQconninfoOption *options = PQconninfoParse(conninfo, nullptr);
  REQUIRE(options != nullptr);
  std::string value = "(none)";
  for (PQconninfoOption *option = options; option->keyword != nullptr; option++) {
    if (keyword == option->keyword && option->val != nullptr)
      value = option->val;
  }
  PQconninfoFree(options);
  return value;
}

} // namespace

TEST_CASE("the null address", "[address]") {
  Address address;
  REQUIRE(pgc_address_parse(&address, "null:", nullptr) == PGCACHE_OK);
  CHECK(address.kind == PGC_ADDRESS_NULL);
  CHECK(address.conninfo == nullptr);
  CHECK(address.local_dir == nullptr);
  CHECK(problem("null:x") == "null: must stand alone");
  CHECK(problem("null://") == "null: must stand alone");
}

TEST_CASE("connection strings are given on as they are", "[address]") {
  for (const char *url : {"postgresql://user:secret@host:1/db?sslmode=require", "postgres://", "host=a,b port=1,2",
                          "  dbname = 'a b'  ", "service=x", "postgresql://a,b/?target_session_attrs=any"}) {
    Address address;
    REQUIRE(pgc_address_parse(&address, url, nullptr) == PGCACHE_OK);
    CHECK(address.kind == PGC_ADDRESS_POSTGRES);
    CHECK(std::string(address.conninfo) == url);
    CHECK(address.local_dir == nullptr);
  }
}

TEST_CASE("what cannot be an address is refused with the forms that can", "[address][rule:error]") {
  for (const char *url : {"redis://h", "mysql+x://u:p@h/d", "POSTGRESQL://h", "Local:/x://", "://", "unix:///tmp"}) {
    std::string text = problem(url);
    if (std::string(url) == "Local:/x://")
      CHECK(contains(text, "this is not an address"));
    else
      CHECK(contains(text, "the scheme is unknown"));
    CHECK(contains(text, "postgresql://"));
    CHECK(contains(text, "local:"));
  }
  for (const char *url : {"localhost", "localhost:5432", " ", "NULL:", "nul:", "postgresql:/h", "LOCAL:"})
    CHECK(contains(problem(url), "this is not an address"));

  CHECK(problem("").empty()); /* a setting may be empty; an address may not */
  Address address;
  test::Error error;
  CHECK(pgc_address_parse(&address, "", &error) == PGCACHE_BAD_SETTING);
  CHECK(error.text() == "url: not set; it must be postgresql://..., a libpq connection string, null: or local:");
}

TEST_CASE("a local server in a named folder", "[address][local]") {
  struct Case {
    std::string path;
    std::string folder;
  };
  const std::string longest = "/" + std::string(PGC_LOCAL_DIR_MAX - 1, 'x');
  for (const Case &c : {Case{"/srv/cache", "/srv/cache"}, Case{"/srv/cache///", "/srv/cache"}, Case{"/a b", "/a b"},
                        Case{"/it's\\here", "/it's\\here"}, Case{"/\xC3\xA4", "/\xC3\xA4"}, Case{"/x=y&z", "/x=y&z"},
                        Case{"/''\\'\\\\ ", "/''\\'\\\\ "}, Case{longest, longest}, Case{longest + "//", longest}}) {
    INFO(c.path);
    Address address;
    REQUIRE(pgc_address_parse(&address, ("local:" + c.path).c_str(), nullptr) == PGCACHE_OK);
    CHECK(address.kind == PGC_ADDRESS_LOCAL);
    CHECK(std::string(address.local_dir) == c.folder);
    CHECK(libpq_reads(address.conninfo, "host") == c.folder + "/socket");
    CHECK(libpq_reads(address.conninfo, "hostaddr").empty()); /* set, so that PGHOSTADDR does not lead elsewhere */
    CHECK(libpq_reads(address.conninfo, "port") == "5432");
    CHECK(libpq_reads(address.conninfo, "user") == "pgcache");
    CHECK(libpq_reads(address.conninfo, "dbname") == "pgcache");
    CHECK(problem("local:" + c.path).empty());
  }
  for (const std::string &path : {std::string("x"), std::string("./x"), std::string("//"), std::string("/"),
                                  std::string("/a,b"), std::string("/a\nb"), std::string("/a\x7F"), longest + "x",
                                  std::string("~/x"), std::string(5000, '/'), "/" + std::string(5000, 'x')}) {
    INFO(path);
    CHECK(contains(problem("local:" + path), "must be an absolute path of at most 80 bytes"));
  }
}

TEST_CASE("the folder of the default local server", "[address][local]") {
  auto folder = [] {
    Address address;
    test::Error error;
    pgcache_status status = pgc_address_parse(&address, "local:", &error);
    CHECK((address.conninfo != nullptr) == (status == PGCACHE_OK));
    if (status != PGCACHE_OK) {
      CHECK(status == PGCACHE_BAD_SETTING);
      CHECK(address.local_dir == nullptr);
      return error.text();
    }
    CHECK(address.kind == PGC_ADDRESS_LOCAL);
    return std::string(address.local_dir);
  };
  Variable home("HOME", "/home/u");
  Variable data("XDG_DATA_HOME", "/home/u/data/");
  CHECK(problem("local:").empty());
  if (geteuid() == 0)
    CHECK(folder() == "/var/lib/pgcache/local");
  OrdinaryUser user;
  CHECK(folder() == "/home/u/data/pgcache/local");
  for (const char *no_path : {static_cast<const char *>(nullptr), "", "data"}) {
    Variable no_data("XDG_DATA_HOME", no_path); /* the standard says to ignore a relative one */
    CHECK(folder() == "/home/u/.local/share/pgcache/local");
    Variable no_home("HOME", no_path);
    CHECK(contains(folder(), "neither XDG_DATA_HOME nor HOME holds an absolute path"));
    Variable root("HOME", "/");
    CHECK(folder() == "/.local/share/pgcache/local");
    const std::string deep = "/" + std::string(70, 'x');
    Variable far("HOME", deep.c_str());
    CHECK(contains(folder(), "XDG_DATA_HOME or HOME leads to another"));
    CHECK_FALSE(contains(folder(), "xx"));
  }
}

TEST_CASE("clearing an address", "[address]") {
  pgc_address_clear(nullptr);
  pgc_address address;
  REQUIRE(pgc_address_parse(&address, "local:/x", nullptr) == PGCACHE_OK);
  pgc_address_clear(&address);
  CHECK(address.conninfo == nullptr);
  CHECK(address.local_dir == nullptr);
  pgc_address_clear(&address);
}

TEST_CASE("every allocation of an address may fail", "[address][allocation]") {
  auto points = [](const char *url) {
    return test::fail_each_allocation([url] {
      Address address;
      test::Error error;
      pgcache_status status = pgc_address_parse(&address, url, &error);
      CHECK((address.conninfo != nullptr) == (status == PGCACHE_OK));
      CHECK((address.local_dir != nullptr) == (status == PGCACHE_OK && strncmp(url, "local", 5) == 0));
      CHECK(error.text() == (status == PGCACHE_OK ? "" : "out of memory"));
      return status;
    });
  };
  Variable home("HOME", "/home/u");
  CHECK(points("postgresql://h") == 1);
  CHECK(points("local:/x") == 2);
  CHECK(points("local:") == 2);
}
