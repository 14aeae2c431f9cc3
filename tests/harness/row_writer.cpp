/*
 * row_writer.cpp - see row_writer.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/row_writer.hpp"

#include "harness/loader.hpp"
#include "harness/process.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <unistd.h>

namespace harness {

namespace {

/* The server refused a statement, or the connection broke. */
struct Failed {};

class RowWriter {
public:
  RowWriter(Block &block, int process)
      : block_(block), figures_(block.figures[process][0]), pace_(block, process, 0),
        address_(test::conninfo_with(block.sql_address, {{"application_name", application_name(process) + "-sql"}})),
        schema_(block.schema), process_(process) {}

  void work() {
    pace_.start();
    while (pace_.wait()) {
      try {
        if (!connection_)
          connection_ = std::make_unique<test::Pg>(address_);
        resolve();
        transaction();
      } catch (const std::exception &) { /* no connection */
        lost();
      } catch (const Failed &) {
        figures_.failures++;
        if (PQstatus(connection_->raw()) != CONNECTION_OK)
          lost();
        else
          PQclear(PQexec(connection_->raw(), "ROLLBACK"));
      }
    }
    /* What is prepared holds locks. */
    for (int attempt = 0; !prepared_.empty() && attempt < 1000; attempt++) {
      try {
        if (!connection_)
          connection_ = std::make_unique<test::Pg>(address_);
        resolve();
      } catch (const std::exception &) {
        lost();
      } catch (const Failed &) {
        lost();
      }
    }
  }

private:
  using Numbers = std::map<int, int64_t>; /* of rows that a transaction has raised */

  void lost() {
    connection_.reset();
    figures_.failures++;
    test::sleep_ms(20);
  }

  std::string execute(const std::string &statement) {
    PGresult *result = PQexec(connection_->raw(), statement.c_str());
    const ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    state_ = state != nullptr ? state : "";
    const std::string first = status == PGRES_TUPLES_OK && PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
    PQclear(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
      throw Failed();
    return first;
  }

  void raise_row(int row, Numbers *numbers) {
    (*numbers)[row] =
        std::stoll(execute("UPDATE " + rows_schema(schema_) + (is_watched(row) ? ".watched_rows" : ".rows") +
                           " SET n = n + 1 WHERE id = " + std::to_string(row) + " RETURNING n"));
  }

  /* Watched rows do so by themselves. */
  void invalidate(const std::vector<int> &rows) {
    std::string tags, keys;
    for (const int row : rows) {
      if (is_watched(row))
        continue;
      tags += (tags.empty() ? "'row:" : ", 'row:") + std::to_string(row) + "'";
      keys += (keys.empty() ? "'" : ", '") + loaded_key(row, 0) + "'";
    }
    if (!tags.empty())
      execute("SELECT " + schema_ + ".invalidate(ARRAY[" + tags + "], ARRAY[" + keys + "])");
  }

  void acknowledge(const Numbers &numbers) {
    for (const auto &[row, number] : numbers)
      block_.rows[row].acknowledged(number);
    figures_.writes += static_cast<int64_t>(numbers.size());
  }

  /* In the order of their numbers, so that transactions wait for each other and do not deadlock. */
  std::vector<int> some_rows() {
    std::vector<int> rows;
    const auto all = static_cast<uint64_t>(block_.options.keys);
    for (uint64_t i = 0, count = 1 + pace_.random(3); i < count; i++)
      rows.push_back(
          static_cast<int>(pace_.random(2) == 0 ? pace_.random(std::max<uint64_t>(all / 10, 1)) : pace_.random(all)));
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
  }

  void transaction() {
    static const char *const levels[] = {"READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};
    const std::vector<int> rows = some_rows();
    Numbers numbers;
    if (rows.size() == 1 && is_watched(rows[0]) && pace_.random(2) == 0) {
      raise_row(rows[0], &numbers); /* a transaction of its own */
      return acknowledge(numbers);
    }
    execute(std::string("BEGIN ISOLATION LEVEL ") + levels[pace_.random(4)]);
    const bool before = pace_.random(2) == 0, savepoint = pace_.random(4) == 0;
    if (savepoint)
      execute("SAVEPOINT a");
    if (before)
      invalidate(rows);
    for (const int row : rows)
      raise_row(row, &numbers);
    if (!before)
      invalidate(rows);
    if (savepoint && pace_.random(3) == 0) {
      execute("ROLLBACK TO SAVEPOINT a");
      numbers.clear();
    } else if (savepoint) {
      execute("RELEASE SAVEPOINT a");
    }
    if (pace_.random(3) == 0)
      test::sleep_ms(static_cast<int>(pace_.random(12)));
    if (pace_.random(5) == 0) {
      execute("ROLLBACK");
    } else if (pace_.random(6) == 0) {
      prepare(numbers);
    } else {
      execute("COMMIT");
      acknowledge(numbers);
    }
  }

  void prepare(const Numbers &numbers) {
    const std::string name =
        "harness-" + std::to_string(getpid()) + "-" + std::to_string(process_) + "-" + std::to_string(++prepares_);
    prepared_ = name;
    prepared_numbers_ = numbers;
    execute("PREPARE TRANSACTION '" + name + "'");
    if (pace_.random(2) == 0)
      test::sleep_ms(static_cast<int>(pace_.random(20)));
    resolve();
  }

  /* Commits what is prepared: after a lost connection or a crash, too. If it is not there, it was committed or never prepared. */
  void resolve() {
    if (prepared_.empty())
      return;
    try {
      execute("COMMIT PREPARED '" + prepared_ + "'");
    } catch (const Failed &) {
      if (state_ != "42704")
        throw;
      prepared_.clear();
      return;
    }
    prepared_.clear();
    acknowledge(prepared_numbers_);
  }

  Block &block_;
  Figures &figures_;
  Pace pace_;
  const std::string address_, schema_;
  const int process_;
  std::unique_ptr<test::Pg> connection_;
  std::string state_, prepared_;
  Numbers prepared_numbers_;
  int prepares_ = 0;
};

} // namespace

std::string make_rows(const Block &block) {
  const std::string cache = block.schema, rows = rows_schema(cache), to = std::to_string(block.options.keys - 1);
  std::string out = "CREATE SCHEMA " + rows + ";";
  for (const char *table : {"rows", "watched_rows"})
    out += "CREATE TABLE " + rows + "." + table +
           " (id bigint PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50);" + "INSERT INTO " + rows + "." + table +
           " SELECT i, 0 FROM generate_series(0, " + to + ") i;";
  return out + "SELECT " + cache + ".watch('" + rows + ".watched_rows', ARRAY['row:<id>'])";
}

void run_row_writer(Block &block, int process) {
  block.ready++;
  while (block.phase == WAIT)
    test::sleep_ms(1);
  block.ready++;
  while (block.phase == FILL)
    test::sleep_ms(1);
  RowWriter(block, process).work();
  block.ready++;
  while (block.phase == SETTLE || block.phase == WORK)
    test::sleep_ms(1);
  block.ready++;
  while (block.phase != END)
    test::sleep_ms(1);
}

} // namespace harness
