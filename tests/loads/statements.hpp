/*
 * statements.hpp - the library's own statements, executed as plain SQL in any session and transaction, by any way of access.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_STATEMENTS_HPP
#define PGCACHE_TESTS_STATEMENTS_HPP

#include "support/server.hpp"

#include <string>
#include <vector>

extern "C" {
#include "pure/sql_text.h"
#include "store/statements.h"
}

namespace statements {

/* Its text, with these parameters put in as literals; "NULL" is one, too. :now is the beginning of the statement. */
inline std::string text(pgc_statement_id id, const std::string &schema, pgc_access access,
                        const std::vector<std::string> &parameters) {
  pgc_buffer resolved = PGC_BUFFER_INIT;
  pgc_sql_resolve(&resolved, pgc_statement_get(id)->sql[access], schema.c_str(), {false, true});
  std::string sql(reinterpret_cast<const char *>(resolved.data), resolved.size);
  pgc_buffer_clear(&resolved);
  for (size_t i = parameters.size(); i > 0; i--) {
    const std::string name = "$" + std::to_string(i);
    const std::string literal = parameters[i - 1] == "NULL" ? "NULL" : "'" + parameters[i - 1] + "'";
    for (size_t at = 0; (at = sql.find(name, at)) != std::string::npos; at += literal.size())
      sql.replace(at, name.size(), literal);
  }
  return sql;
}

/* Bytes as a literal. */
inline std::string bytes(const std::string &plain) {
  const char digits[] = "0123456789abcdef";
  std::string text = "\\x";
  for (unsigned char c : plain)
    text += {digits[c >> 4], digits[c & 15]};
  return text;
}

const char TOKEN[] = "11111111-1111-1111-1111-111111111111", OTHER[] = "22222222-2222-2222-2222-222222222222",
           TAG[] = "99999999-0000-0000-0000-000000000001", TAG2[] = "99999999-0000-0000-0000-000000000002";

struct Begun {
  bool leased, failed;
  int64_t others_ms;
  std::string value; /* "NULL": there is none */
  std::string tags;
  std::string load_ms;
  bool hit(const char *what) const {
    return !leased && value == what;
  }
};
struct Filled {
  std::string version; /* "NULL": refused */
  int reason;
};

/* A session that does what the library does for loads of the key that it is told. */
class Session {
public:
  Session(std::string schema, const std::string &conninfo = test::url(), pgc_access access = PGC_ACCESS_TABLES)
      : pg(conninfo), schema_(std::move(schema)), access_(access) {}

  std::vector<test::Row> run(pgc_statement_id id, const std::vector<std::string> &parameters) {
    return pg.query(text(id, schema_, access_, parameters));
  }
  std::string digest(const std::string &key) {
    return pg.one("SELECT " + schema_ + ".digest('" + key + "'::text)");
  }
  Begun begin(const std::string &key, const std::string &token = TOKEN, int64_t lease_ms = 60000, bool early = false) {
    const auto rows = run(PGC_STATEMENT_BEGIN_LOAD, {digest(key), token, std::to_string(lease_ms), early ? "t" : "f"});
    const test::Row &row = rows.at(0);
    std::string value = row[3];
    if (value != "NULL")
      value = pg.one("SELECT encode('" + value + "'::bytea, 'escape')");
    return {row[0] == "t", row[1] == "t", std::stoll(row[2]), value, row[11], row[12]};
  }
  /* ttl_ms "NULL": for ever. tags: an array as text, "NULL": none. */
  Filled fill(const std::string &key, const std::string &value, const std::string &token = TOKEN,
              const std::string &tags = "NULL", const std::string &ttl_ms = "60000", int64_t keep_ms = 0,
              int flags = 0) {
    const auto rows = run(PGC_STATEMENT_FILL_LOAD, {digest(key), token, "default", bytes(key), bytes(value), "0",
                                                    ttl_ms, std::to_string(keep_ms), std::to_string(flags), "7", tags});
    return {rows.at(0).at(0), std::stoi(rows.at(0).at(1))};
  }
  bool end(const std::string &key, const std::string &token = TOKEN, int64_t throttle_ms = 0) {
    return run(PGC_STATEMENT_END_LOAD, {digest(key), token, std::to_string(throttle_ms)}).at(0).at(0) == "t";
  }
  bool extend(const std::string &key, const std::string &token = TOKEN, int64_t lease_ms = 60000) {
    return run(PGC_STATEMENT_EXTEND_LOAD, {digest(key), token, std::to_string(lease_ms)}).at(0).at(0) == "t";
  }

  test::Pg pg;

private:
  std::string schema_;
  pgc_access access_;
};

} // namespace statements

#endif
