/*
 * error.cpp - tests of statuses' words and of errors of every size.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "unit.hpp"

#include <set>

TEST_CASE("versions of header and library agree", "[version]") {
  CHECK(std::string(pgcache_version()) == PGCACHE_VERSION_STRING);
  CHECK(std::string(pgcache_version()) == std::to_string(PGCACHE_VERSION_MAJOR) + "." +
                                              std::to_string(PGCACHE_VERSION_MINOR) + "." +
                                              std::to_string(PGCACHE_VERSION_PATCH));
  CHECK(pgcache_version_number() ==
        PGCACHE_VERSION_MAJOR * 10000 + PGCACHE_VERSION_MINOR * 100 + PGCACHE_VERSION_PATCH);
}

TEST_CASE("each status has a name and a sentence of its own", "[status]") {
  std::set<std::string> names;
  std::set<std::string> texts;
  for (int number = PGCACHE_CANCELLED; number <= PGCACHE_REFUSED; number++) {
    auto status = static_cast<pgcache_status>(number);
    std::string name = pgcache_status_name(status);
    std::string text = pgcache_status_text(status);
    CHECK(name.rfind("PGCACHE_", 0) == 0);
    CHECK(name != "PGCACHE_?");
    CHECK(text.size() > 10);
    CHECK(text.back() == '.');
    CHECK(names.insert(name).second);
    CHECK(texts.insert(text).second);
  }
  CHECK(std::string(pgcache_status_name(PGCACHE_OK)) == "PGCACHE_OK");
  CHECK(std::string(pgcache_status_name(PGCACHE_MISS)) == "PGCACHE_MISS");
  CHECK(std::string(pgcache_status_name(PGCACHE_INVALID)) == "PGCACHE_INVALID");
  CHECK(std::string(pgcache_status_name(PGCACHE_SERVER_ERROR)) == "PGCACHE_SERVER_ERROR");
  for (int number : {-1000000, PGCACHE_CANCELLED - 1, PGCACHE_REFUSED + 1, 1000000}) {
    auto status = static_cast<pgcache_status>(number);
    CHECK(std::string(pgcache_status_name(status)) == "PGCACHE_?");
    CHECK(texts.count(pgcache_status_text(status)) == 0);
  }
}

namespace {

/* A struct of some version of the library, with guard bytes behind what it claims to be. */
struct Sized {
  alignas(pgcache_error) unsigned char bytes[2 * sizeof(pgcache_error)];
  size_t size;

  explicit Sized(size_t struct_size) : size(struct_size) {
    memset(bytes, 0xAA, sizeof bytes);
    memcpy(bytes, &size, sizeof size);
  }
  pgcache_error *get() {
    return reinterpret_cast<pgcache_error *>(bytes);
  }
  bool untouched_from(size_t start) const {
    for (size_t i = start; i < sizeof bytes; i++) {
      if (bytes[i] != 0xAA)
        return false;
    }
    return true;
  }
};

} // namespace

TEST_CASE("an error's layout is the one of version 1.0", "[error][rule:sizes]") {
  CHECK(sizeof(pgcache_error) == 528);
  CHECK(offsetof(pgcache_error, status) == 8);
  CHECK(offsetof(pgcache_error, sqlstate) == 12);
  CHECK(offsetof(pgcache_error, message) == 18);
}

TEST_CASE("an error of any size is filled as far as it goes", "[error][rule:sizes]") {
  for (size_t size = 0; size <= sizeof(pgcache_error) + 64; size++) {
    Sized sized(size);
    pgcache_error *error = sized.get();
    INFO("struct_size " << size);
    CHECK(pgc_fail_sql(error, PGCACHE_FULL, "53100", "%s", "no space left") == PGCACHE_FULL);
    CHECK(error->struct_size == size);
    CHECK(pgc_error_ok(error) == (size >= 16));
    if (size < 16) {
      CHECK(sized.untouched_from(sizeof size));
      continue;
    }
    CHECK(error->status == PGCACHE_FULL);
    if (size < 18) {
      CHECK(sized.untouched_from(12));
      continue;
    }
    CHECK(std::string(error->sqlstate) == "53100");
    if (size == 18) {
      CHECK(sized.untouched_from(18));
      continue;
    }
    CHECK(std::string(error->message) == std::string("no space left").substr(0, size - 19));
    CHECK(sized.untouched_from(size));
  }
}

TEST_CASE("an error is initialised whatever its size", "[error][rule:sizes]") {
  pgcache_error_init(nullptr, sizeof(pgcache_error));
  for (size_t size = 0; size <= sizeof(pgcache_error) + 64; size++) {
    Sized sized(0xAAAAAAAAAAAAAAAA);
    INFO("struct_size " << size);
    pgcache_error_init(sized.get(), size);
    if (size < 16) {
      CHECK(sized.untouched_from(0));
      continue;
    }
    CHECK(sized.get()->struct_size == size);
    for (size_t i = sizeof size; i < size; i++)
      REQUIRE(sized.bytes[i] == 0);
    CHECK(sized.untouched_from(size));
  }
  pgcache_error by_macro = PGCACHE_ERROR_INIT;
  Sized by_function(0);
  pgcache_error_init(by_function.get(), sizeof(pgcache_error));
  CHECK(memcmp(&by_macro, by_function.get(), sizeof by_macro) == 0);
}

TEST_CASE("the caller need not want the message", "[error][rule:options]") {
  CHECK(pgc_error_ok(nullptr));
  CHECK(pgc_fail(nullptr, PGCACHE_DENIED, "%s", "ignored") == PGCACHE_DENIED);
  CHECK(pgc_fail_sql(nullptr, PGCACHE_DENIED, "28000", "%s", "ignored") == PGCACHE_DENIED);
  CHECK(pgc_fail_memory(nullptr) == PGCACHE_NO_MEMORY);
}

TEST_CASE("a message is one line that fits", "[error][rule:error]") {
  test::Error error;
  pgc_fail(&error, PGCACHE_SERVER_ERROR, "%s", "one\ntwo\r\nthree\tfour\x1b[31m\x7f.");
  CHECK(error.text() == "one two  three four [31m .");
  CHECK(error.status == PGCACHE_SERVER_ERROR);
  CHECK(std::string(error.sqlstate).empty());

  for (size_t length : {504u, 505u, 506u, 1011u, 1012u, 5000u}) {
    std::string text(length, 'x');
    pgc_fail(&error, PGCACHE_SERVER_ERROR, "%s", text.c_str());
    CHECK(error.text() == text.substr(0, 505));
  }
}

TEST_CASE("a message is not cut within a character", "[error]") {
  test::Error error;
  std::string euro = "\xE2\x82\xAC";
  for (size_t before = 500; before <= 506; before++) {
    std::string text = std::string(before, 'x') + euro + euro;
    pgc_fail(&error, PGCACHE_SERVER_ERROR, "%s", text.c_str());
    size_t whole = before + 3 <= 505 ? before + 3 : before <= 505 ? before : 505;
    INFO(before << " letters before");
    CHECK(error.text() == text.substr(0, whole));
  }
  /* Bytes that are no UTF-8 at all end the search, too. */
  std::string nonsense(600, '\x80');
  pgc_fail(&error, PGCACHE_SERVER_ERROR, "%s", nonsense.c_str());
  CHECK(error.text().empty());
}

TEST_CASE("an SQLSTATE is taken over and taken back", "[error]") {
  test::Error error;
  pgc_fail_sql(&error, PGCACHE_SERVER_ERROR, "42P01", "x");
  CHECK(std::string(error.sqlstate) == "42P01");
  pgc_fail_sql(&error, PGCACHE_SERVER_ERROR, "too long to be one", "x");
  CHECK(std::string(error.sqlstate) == "too l");
  pgc_fail_sql(&error, PGCACHE_SERVER_ERROR, nullptr, "x");
  CHECK(std::string(error.sqlstate).empty());
  pgc_fail_sql(&error, PGCACHE_SERVER_ERROR, "42P01", "x");
  pgc_fail(&error, PGCACHE_INVALID, "y");
  CHECK(std::string(error.sqlstate).empty());
  CHECK(error.text() == "y");
  pgc_fail_memory(&error);
  CHECK(error.status == PGCACHE_NO_MEMORY);
  CHECK(error.text() == "out of memory");
}

TEST_CASE("options are initialised whatever their size", "[options][rule:sizes]") {
  CHECK(sizeof(pgcache_options) == 72);
  pgcache_options_init(nullptr, sizeof(pgcache_options));
  for (size_t size = 0; size <= sizeof(pgcache_options) + 64; size++) {
    alignas(pgcache_options) unsigned char bytes[2 * sizeof(pgcache_options) + 64];
    memset(bytes, 0xAA, sizeof bytes);
    auto *options = reinterpret_cast<pgcache_options *>(bytes);
    pgcache_options_init(options, size);
    INFO("struct_size " << size);
    if (size >= 16) {
      CHECK(options->struct_size == size);
      CHECK(options->deadline_ms == PGCACHE_DEADLINE_DEFAULT);
    }
    for (size_t i = size >= 16 ? 16 : 0; i < sizeof bytes; i++)
      REQUIRE(bytes[i] == (size >= 16 && i < size ? 0 : 0xAA));
  }
  pgcache_options by_macro = PGCACHE_OPTIONS_INIT;
  pgcache_options by_function;
  pgcache_options_init(&by_function, sizeof by_function);
  CHECK(memcmp(&by_macro, &by_function, sizeof by_macro) == 0);
}
