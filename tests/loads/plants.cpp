/*
 * plants.cpp - see plants.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/plants.hpp"

#include <cstring>
#include <stdexcept>

namespace loads {

namespace {

/* What an invalidation has to be to count, for an entry and for a lease. */
#define OF_ENTRY "i.xid >= e.asof AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot))"
#define OF_LEASE "i.xid >= l.asof AND (l.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, l.snapshot))"

/* Comments end, and all white space becomes one space. */
std::string on_one_line(const std::string &text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    if (text.compare(i, 2, "--") == 0) {
      i = text.find('\n', i);
      if (i == std::string::npos)
        break;
    }
    const bool space = strchr(" \t\n", text[i]) != nullptr;
    if (!space)
      out += text[i];
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  return out;
}

} // namespace

const std::vector<Plant> &plants() {
  static const std::vector<Plant> all = {
      {"guard off", "", "", {{"get", OF_ENTRY, "false"}, {"fill_load", OF_LEASE, "false"}}},
      {"guard at the fill alone", "", "", {{"get", OF_ENTRY, "false"}}},
      /* Commit order is not the order of clocks: a transaction that began to invalidate before the lease and commits after. */
      {"guard by wall clock",
       "ALTER TABLE {s}.invalidations ADD at timestamptz NOT NULL DEFAULT clock_timestamp()",
       "",
       {{"get", OF_ENTRY, "i.at >= e.accessed_at"},
        {"fill_load", OF_LEASE, "i.at >= l.deadline - interval '60000 ms'"},
        {"fill_load", "RETURNING l.asof", "RETURNING l.deadline, l.asof"},
        {"fill_load", "SELECT l.asof", "SELECT l.deadline, l.asof"},
        {"fill_load", "t.now, j.asof", "j.deadline - interval '60000 ms', j.asof"}}},
      /* As if transactions became visible in the order of their numbers. */
      {"guard by transaction number alone",
       "",
       "",
       {{"get", OF_ENTRY, "i.xid >= coalesce(pg_snapshot_xmax(e.snapshot), e.asof)"},
        {"fill_load", OF_LEASE, "i.xid >= coalesce(pg_snapshot_xmax(l.snapshot), l.asof)"}}},
      {"tags not checked",
       "",
       "",
       {{"get", "i.digest = ANY (e.dependencies)", "i.digest = e.digest"},
        {"fill_load", "i.digest = ANY (d.dependencies)", "i.digest = $1::uuid"}}},
      {"lease not cleared",
       "",
       "",
       {{"fill_load", "DELETE FROM", "UPDATE"},
        {"fill_load", "leases l WHERE", "leases l SET deadline = l.deadline WHERE"}}},
      {"somebody else's lease will do", "", "clock", {{"fill_load", "l.token = $2::uuid", "$2::uuid IS NOT NULL"}}},
      {"as of the fill",
       "",
       "",
       {{"fill_load", "t.now, j.asof", "t.now, pg_snapshot_xmin(pg_current_snapshot())"},
        {"fill_load", "$4::bytea, j.snapshot", "$4::bytea, NULL::pg_snapshot"}}},
      {"a touch revives",
       "",
       "toucher",
       {{"touch", "accessed_at = t.now", "accessed_at = t.now, asof = pg_current_xact_id(), snapshot = NULL"},
        {"touch", OF_ENTRY, "false"}}},
      {"a put during a load is lost",
       "",
       "putter",
       {{"fill_load", "WHERE e.version = (SELECT j.version FROM judged j)", ""}}},
      {"a removal during a load is undone", "", "remover", {{"remove", "l.digest = $1::uuid", "l.digest <> $1::uuid"}}},
  };
  return all;
}

std::string planted(const Plant &plant, const std::string &name, const std::string &text) {
  std::string out = on_one_line(text);
  for (const Plant::Change &change : plant.changes) {
    if (name != change.statement)
      continue;
    const std::string what = change.from;
    bool found = false;
    for (size_t at = 0; (at = out.find(what, at)) != std::string::npos; at += strlen(change.to)) {
      out.replace(at, what.size(), change.to);
      found = true;
    }
    if (!found)
      throw std::runtime_error(std::string("plant '") + plant.name + "': " + name + ".sql is not as it was: " + out);
  }
  return out;
}

} // namespace loads
