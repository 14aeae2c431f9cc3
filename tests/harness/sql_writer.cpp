/*
 * sql_writer.cpp - see sql_writer.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/sql_writer.hpp"

#include "harness/process.hpp"
#include "support/server.hpp"

#include <algorithm>
#include <memory>
#include <vector>

namespace harness {

namespace {

/* The connection broke, or the server refused the statement. */
struct Failed {};

class SqlWriter {
public:
  SqlWriter(Block &block, int process)
      : block_(block), figures_(block.figures[process][1]), pace_(block, process, 1),
        address_(test::conninfo_with(block.sql_address, {{"application_name", application_name(process) + "-sql"}})) {
    room_.resize(static_cast<size_t>(std::max(block.options.value_bytes, 32)));
  }

  void work() {
    while (pace_.wait()) {
      try {
        if (!connection_)
          connection_ = std::make_unique<test::Pg>(address_);
        if (pace_.random(3) == 0)
          transaction();
        else
          single();
      } catch (const std::exception &) { /* no connection, or it was lost */
        connection_.reset();
        figures_.failures++;
        test::sleep_ms(20);
      } catch (const Failed &) {
        figures_.failures++;
        if (PQstatus(connection_->raw()) != CONNECTION_OK)
          connection_.reset();
      }
    }
  }

private:
  struct Pending {
    int slot;
    uint64_t id;
  };

  void execute(const std::string &statement, const std::vector<const char *> &values = {}) {
    PGresult *result = values.empty()
                           ? PQexec(connection_->raw(), statement.c_str())
                           : PQexecParams(connection_->raw(), statement.c_str(), static_cast<int>(values.size()),
                                          nullptr, values.data(), nullptr, nullptr, 0);
    const ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
      throw Failed();
  }

  void send(const Pending &write, bool removes) {
    const std::string key = key_name(write.slot, generation_of(write.id));
    const std::string schema = block_.schema;
    if (removes) {
      execute("SELECT " + schema + ".remove($1::text)", {key.c_str()});
      return;
    }
    const std::string text(value_of(block_.options, key, write.id, room_));
    execute("SELECT " + schema + ".put($1::text, convert_to($2, 'UTF8'), '1 day')", {key.c_str(), text.c_str()});
  }

  void settle(const std::vector<Pending> &writes, int64_t outcome) {
    for (const Pending &write : writes) {
      if (outcome > 0)
        write_acknowledged(block_.cells[write.slot], write.id);
      else
        end_write(block_.cells[write.slot], write.id, outcome);
    }
  }

  /* Counters belong to the library. */
  bool begin(bool removes, std::vector<Pending> *writes, int slot) {
    const auto taken = [&](const Pending &write) { return write.slot == slot; };
    if (is_counter(block_.options, slot) || std::any_of(writes->begin(), writes->end(), taken))
      return false;
    const uint64_t id = begin_write(block_.cells[slot], BY_SQL | (removes ? REMOVE : PUT));
    if (id != 0)
      writes->push_back({slot, id});
    return id != 0;
  }

  void single() {
    const int slot = pace_.slot();
    const bool removes = slot >= block_.options.contended && pace_.random(8) == 0;
    std::vector<Pending> write;
    if (!begin(removes, &write, slot))
      return;
    try {
      send(write[0], removes);
    } catch (const Failed &) {
      settle(write, PQstatus(connection_->raw()) == CONNECTION_OK ? REFUSED : UNKNOWN);
      throw;
    }
    settle(write, 1);
    figures_.writes++;
  }

  void transaction() {
    std::vector<Pending> kept, undone;
    const bool lasts = pace_.random(10) == 0, rolls_back = pace_.random(4) == 0;
    try {
      execute("BEGIN");
      some_writes(&kept, lasts);
      pause(lasts);
      if (pace_.random(2) == 0) {
        execute("SAVEPOINT a");
        /* Slots that the transaction has locked are its own: what is undone goes back to what it wrote before. */
        const size_t before = kept.size();
        some_writes(&kept, lasts);
        if (pace_.random(2) == 0) {
          execute("ROLLBACK TO SAVEPOINT a");
          undone.assign(kept.begin() + static_cast<std::ptrdiff_t>(before), kept.end());
          kept.resize(before);
          settle(undone, REFUSED);
        } else {
          execute("RELEASE SAVEPOINT a");
        }
      }
      pause(lasts);
    } catch (const Failed &) {
      /* It was not committed, and never will be. */
      settle(kept, REFUSED);
      PQclear(PQexec(connection_->raw(), "ROLLBACK"));
      throw;
    }
    try {
      execute(rolls_back ? "ROLLBACK" : "COMMIT");
    } catch (const Failed &) {
      settle(kept, rolls_back ? REFUSED : UNKNOWN);
      throw;
    }
    settle(kept, rolls_back ? REFUSED : 1);
    figures_.writes += static_cast<int64_t>(rolls_back ? 0 : kept.size());
  }

  /* In the order of their slots, so that transactions wait for each other and do not deadlock; a long one keeps out of
     others' way. */
  void some_writes(std::vector<Pending> *writes, bool own_alone) {
    std::vector<int> slots;
    for (uint64_t i = 0, count = 1 + pace_.random(3); i < count; i++)
      slots.push_back(pace_.slot());
    std::sort(slots.begin(), slots.end());
    for (const int slot : slots) {
      if (own_alone && slot < block_.options.contended)
        continue;
      const bool removes = slot >= block_.options.contended && pace_.random(8) == 0;
      if (begin(removes, writes, slot))
        send(writes->back(), removes);
    }
  }

  /* Long: over several polls of the change stream. */
  void pause(bool lasts) {
    if (lasts)
      test::sleep_ms(static_cast<int>(block_.options.staleness_ms * static_cast<int64_t>(1 + pace_.random(2))));
    else if (pace_.random(2) == 0)
      test::sleep_ms(static_cast<int>(pace_.random(15)));
  }

  Block &block_;
  Figures &figures_;
  Pace pace_;
  const std::string address_;
  std::string room_;
  std::unique_ptr<test::Pg> connection_;
};

} // namespace

void write_through_sql(Block &block, int process) {
  SqlWriter(block, process).work();
}

} // namespace harness
