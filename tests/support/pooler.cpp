/*
 * pooler.cpp - see pooler.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/pooler.hpp"

#include "support/private_server.hpp"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {

namespace {

std::string content(const std::string &path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

std::string program() {
  for (const char *path : {"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/usr/bin/pgbouncer"}) {
    if (access(path, X_OK) == 0)
      return path;
  }
  throw std::runtime_error("pgbouncer is not installed; ci/setup check installs it");
}

bool accepts(const std::string &conninfo) {
  PGconn *connection = PQconnectdb(conninfo.c_str());
  const bool ok = PQstatus(connection) == CONNECTION_OK;
  PQfinish(connection);
  return ok;
}

} // namespace

Pooler::Pooler(const std::string &server, const std::vector<std::string> &settings) {
  static int count = 0;
  folder_ = scratch_folder() + "/pooler" + std::to_string(++count);
  mkdir(folder_.c_str(), 0777);
  chmod(folder_.c_str(), 0777); /* it writes its socket there, as another user */
  const auto parts = conninfo_parts(server);
  std::ofstream ini(folder_ + "/ini");
  ini << "[databases]\n* =";
  for (const char *name : {"host", "port", "password"}) {
    if (parts.count(name) != 0)
      ini << " " << name << "='" << parts.at(name) << "'";
  }
  /* A server connection is used for one transaction and then stands at the end of the line. */
  ini << "\n[pgbouncer]\npool_mode = transaction\nserver_round_robin = 1\ndefault_pool_size = 5\n"
      << "unix_socket_dir = " << folder_ << "\nlisten_port = 6432\nauth_type = trust\nauth_file = " << folder_
      << "/users\nmax_client_conn = 500\nlogfile = " << folder_ << "/log\n";
  for (const auto &setting : settings)
    ini << setting << "\n";
  ini.close();
  const std::string user = parts.count("user") != 0 ? parts.at("user") : "postgres";
  std::ofstream(folder_ + "/users") << "\"" << user << "\" \"\"\n";

  conninfo_ = conninfo_with(server, {{"host", folder_}, {"hostaddr", ""}, {"port", "6432"}, {"user", user}});
  pid_ = start_server_program({program(), "-q", folder_ + "/ini"}, folder_ + "/output");
  const auto ended = [&] { return waitpid(pid_, nullptr, WNOHANG) == pid_; };
  if (!eventually([&] { return accepts(conninfo_) || ended(); }, 60000) || !accepts(conninfo_)) {
    const std::string why = "pgbouncer did not start: " + content(folder_ + "/output") + content(folder_ + "/log");
    stop_server_program(pid_, SIGKILL);
    throw std::runtime_error(why);
  }
  /* It opens connections to the server as transactions need them: from now on it has several to choose from. */
  std::vector<std::unique_ptr<Pg>> clients;
  for (int i = 0; i < 4; i++) {
    clients.push_back(std::make_unique<Pg>(conninfo_));
    clients.back()->exec("BEGIN");
  }
  for (const auto &client : clients)
    client->exec("COMMIT");
}

Pooler::~Pooler() {
  stop_server_program(pid_, SIGTERM); /* at once, whoever is connected */
}

Pooler &Pooler::shared() {
  static Pooler pooler;
  return pooler;
}

} // namespace test
