/*
 * session.cpp - see session.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "loads/session.hpp"

#include <poll.h>
#include <stdexcept>

namespace loads {

namespace {

constexpr int SOON_MS = 5;          /* then it is asked whether it waits for a lock */
constexpr int MUCH_TOO_LATE = 4000; /* so many times that: the test hangs */

} // namespace

void Session::prepare(const std::string &name, const std::string &sql) {
  PGresult *made = PQprepare(pg_.raw(), name.c_str(), sql.c_str(), 0, nullptr);
  const bool good = PQresultStatus(made) == PGRES_COMMAND_OK;
  PQclear(made);
  if (!good)
    throw std::runtime_error(std::string("prepare ") + name + ": " + PQerrorMessage(pg_.raw()) + sql);
}

void Session::send(const std::string &name, const std::string &sql, const std::vector<std::string> &params) {
  std::vector<const char *> values;
  for (const std::string &param : params)
    values.push_back(param == "NULL" ? nullptr : param.c_str());
  const int sent = name.empty() ? PQsendQuery(pg_.raw(), sql.c_str())
                                : PQsendQueryPrepared(pg_.raw(), name.c_str(), static_cast<int>(values.size()),
                                                      values.data(), nullptr, nullptr, 0);
  if (sent == 0)
    throw std::runtime_error(std::string("send: ") + PQerrorMessage(pg_.raw()));
  busy_ = true;
}

bool Session::answered(int milliseconds) {
  while (PQisBusy(pg_.raw()) != 0) {
    pollfd wait = {PQsocket(pg_.raw()), POLLIN, 0};
    if (poll(&wait, 1, milliseconds) == 0)
      return false;
    if (PQconsumeInput(pg_.raw()) == 0)
      throw std::runtime_error(std::string("the session is gone: ") + PQerrorMessage(pg_.raw()));
  }
  return true;
}

bool Session::settle() {
  for (int i = 0; !answered(SOON_MS); i++) {
    if (monitor_.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = " +
                     std::to_string(pg_.pid())) == "1")
      return false;
    if (i == MUCH_TOO_LATE)
      throw std::runtime_error("a statement does not end, and waits for no lock");
  }
  result_ = Result();
  while (PGresult *got = PQgetResult(pg_.raw())) {
    const char *state = PQresultErrorField(got, PG_DIAG_SQLSTATE);
    if (state != nullptr)
      result_.sqlstate = state;
    for (int i = 0; i < PQntuples(got); i++) {
      test::Row row;
      for (int j = 0; j < PQnfields(got); j++)
        row.emplace_back(PQgetisnull(got, i, j) != 0 ? "NULL" : PQgetvalue(got, i, j));
      result_.rows.push_back(row);
    }
    PQclear(got);
  }
  busy_ = false;
  return true;
}

const Result &Session::run(const std::string &name, const std::vector<std::string> &params) {
  send(name, "", params);
  if (!settle())
    throw std::runtime_error(name + " waits for a lock");
  if (result_.sqlstate != "00000")
    throw std::runtime_error(name + " failed: " + result_.sqlstate + " " + PQerrorMessage(pg_.raw()));
  return result_;
}

} // namespace loads
