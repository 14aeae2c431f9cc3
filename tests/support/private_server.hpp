/*
 * private_server.hpp - a PostgreSQL server that a test may crash, restart and misconfigure: on a Unix socket in a
 * temporary folder, never on TCP. It ends with the object; and if the test program is killed, the kernel stops the
 * server and a watchdog removes the folder. Never touches a server that it did not start.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_PRIVATE_SERVER_HPP
#define PGCACHE_TESTS_PRIVATE_SERVER_HPP

#include <string>
#include <sys/types.h>
#include <vector>

namespace test {

/* A folder for this run of the test program, owned by the user that servers run as, removed when the program ends
   however it ends. */
const std::string &scratch_folder();

/* Starts a program as the user that servers run as; it gets SIGQUIT when this process ends in any way. */
pid_t start_server_program(const std::vector<std::string> &arguments, const std::string &log);
/* The path of a program of the server's package, such as pg_dump. */
std::string server_binary(const char *name);
/* Stops it, and waits for its end. */
void stop_server_program(pid_t pid, int signal);

class PrivateServer {
public:
  /* Settings as in postgresql.conf: {"max_connections = 5"}; "port = N" also names the socket. `hba` are lines put
     before the one that trusts everybody on the socket. The server runs when the constructor returns. */
  explicit PrivateServer(const std::vector<std::string> &settings = {}, const std::vector<std::string> &hba = {},
                         const std::vector<std::string> &environment = {}); /* "NAME=value" */
  /* A standby that streams from the primary, which has to run: a base backup of it. */
  explicit PrivateServer(const PrivateServer *primary);
  PrivateServer(const PrivateServer &) = delete;
  PrivateServer &operator=(const PrivateServer &) = delete;
  ~PrivateServer();

  void start();         /* returns when it accepts connections */
  void launch();        /* returns at once */
  void stop();          /* fast: sessions are told and closed */
  void crash();         /* immediate: nothing is written, unlogged tables are emptied by the next start */
  void promote();       /* a standby; returns when it takes writes */
  bool accepts() const; /* whether a log-in succeeds now */
  std::string conninfo(const std::string &user = "postgres", const std::string &database = "postgres") const;
  const std::string &socket_folder() const {
    return folder_;
  }
  pid_t pid() const {
    return pid_;
  }

  /* One for the whole program, started at the first call: for tests when no server was given. */
  static PrivateServer &shared();

private:
  void end(int signal);
  std::string folder_;
  std::string port_ = "5432";
  std::vector<std::string> environment_;
  pid_t pid_ = -1;
};

} // namespace test

#endif
