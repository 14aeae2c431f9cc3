/*
 * private_server.cpp - see private_server.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "support/private_server.hpp"

#include "support/server.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {

std::string server_binary(const char *name) {
  const char *given = getenv("PGCACHE_TEST_BINDIR");
  if (given != nullptr && *given != '\0')
    return std::string(given) + "/" + name;
  glob_t found;
  std::string best;
  if (glob((std::string("/usr/lib/postgresql/*/bin/") + name).c_str(), 0, nullptr, &found) == 0) {
    best = found.gl_pathv[found.gl_pathc - 1];
    globfree(&found);
  }
  if (best.empty())
    best = std::string("/usr/bin/") + name;
  return best;
}

namespace {

/* PostgreSQL refuses to run as root: then the user `postgres` runs it. */
const passwd *server_user() {
  if (geteuid() != 0)
    return nullptr;
  const passwd *user = getpwnam("postgres");
  if (user == nullptr)
    throw std::runtime_error("running as root needs a user named postgres");
  return user;
}

/* Runs a program as the server's user; with `dies_with_us` it gets SIGQUIT when this process ends in any way. */
pid_t spawn(const std::vector<std::string> &arguments, const std::string &log, bool dies_with_us) {
  const passwd *user = server_user();
  const uid_t uid = user != nullptr ? user->pw_uid : geteuid();
  const gid_t gid = user != nullptr ? user->pw_gid : getegid();
  std::vector<char *> argv;
  for (const auto &argument : arguments)
    argv.push_back(const_cast<char *>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0)
    throw std::runtime_error("fork failed");
  if (child > 0)
    return child;

  setsid(); /* a Ctrl-C at the terminal is for the test program, not for the server */
  if (user != nullptr && (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(uid) != 0))
    _exit(126);
  const int in = open("/dev/null", O_RDONLY);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  for (int fd = 3; fd < 1024; fd++)
    close(fd);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (dies_with_us) {
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != parent)
      _exit(126);
  }
  /* Not execv(), which writes down what was covered when that is counted: a child that was forked among threads can hang there. */
  execve(argv[0], argv.data(), environ);
  _exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

void run(const std::vector<std::string> &arguments, const std::string &log) {
  if (wait_for(spawn(arguments, log, false)) != 0) {
    std::ifstream file(log);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    throw std::runtime_error(arguments[0] + " failed: " + text);
  }
}

/* A process of its own that waits for the end of this one (the pipe closes) and removes the folder. */
void start_watchdog(const std::string &folder) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw std::runtime_error("pipe failed");
  const pid_t child = fork();
  if (child < 0)
    throw std::runtime_error("fork failed");
  if (child == 0) {
    setsid();
    if (fork() != 0)
      _exit(0); /* not our child: nobody has to wait for it */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (int fd = 0; fd < 1024; fd++) {
      if (fd != ends[0])
        close(fd);
    }
    char byte;
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
    }
    for (int i = 0; i < 50; i++) { /* until the server has ended and writes no more */
      const pid_t rm = fork();
      if (rm == 0) {
        execl("/bin/rm", "rm", "-rf", folder.c_str(), static_cast<char *>(nullptr));
        _exit(1);
      }
      wait_for(rm);
      usleep(200 * 1000);
      if (access(folder.c_str(), F_OK) != 0)
        _exit(0);
    }
    _exit(1);
  }
  wait_for(child);
  close(ends[0]); /* the other end stays open as long as this process lives */
}

} // namespace

const std::string &scratch_folder() {
  static const std::string folder = [] {
    const char *given = getenv("PGCACHE_TEST_FOLDER");
    /* Short: a socket's path has at most 107 bytes. */
    std::string name = std::string(given != nullptr && *given != '\0' ? given : "/tmp") + "/pgcache-test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("mkdtemp failed");
    start_watchdog(name);
    if (const passwd *user = server_user()) {
      if (chown(name.c_str(), user->pw_uid, user->pw_gid) != 0)
        throw std::runtime_error("chown failed");
    }
    chmod(name.c_str(), 0755);
    return name;
  }();
  return folder;
}

pid_t start_server_program(const std::vector<std::string> &arguments, const std::string &log) {
  return spawn(arguments, log, true);
}

void stop_server_program(pid_t pid, int signal) {
  kill(pid, signal);
  wait_for(pid);
}

/* Numbers the servers of this program. */
static int server_count = 0;

PrivateServer::PrivateServer(const PrivateServer *primary) {
  folder_ = scratch_folder() + "/" + std::to_string(++server_count);
  run({server_binary("pg_basebackup"), "-D", folder_, "-d", primary->conninfo(), "-X", "stream", "-c", "fast", "-R"},
      scratch_folder() + "/basebackup.log");
  unlink((folder_ + "/.s.PGSQL." + primary->port_ + ".lock").c_str()); /* the socket stands in the data folder */
  std::ofstream(folder_ + "/postgresql.conf", std::ios::app) << "unix_socket_directories = '" << folder_ << "'\n";
  port_ = primary->port_;
  chmod(folder_.c_str(), 0750);
  start();
}

PrivateServer::PrivateServer(const std::vector<std::string> &settings, const std::vector<std::string> &hba,
                             const std::vector<std::string> &environment)
    : environment_(environment) {
  static const std::string model = [] {
    const std::string folder = scratch_folder() + "/model";
    run({server_binary("initdb"), "-D", folder, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"},
        scratch_folder() + "/initdb.log");
    return folder;
  }();
  folder_ = scratch_folder() + "/" + std::to_string(++server_count);
  run({"/bin/cp", "-a", model, folder_}, scratch_folder() + "/initdb.log");

  std::ofstream conf(folder_ + "/postgresql.conf", std::ios::app);
  conf << "listen_addresses = ''\nunix_socket_directories = '" << folder_ << "'\nport = 5432\nfsync = off\n"
       << "shared_buffers = 16MB\nmax_wal_size = 256MB\n";
  for (const auto &setting : settings) {
    conf << setting << "\n";
    if (setting.rfind("port = ", 0) == 0)
      port_ = setting.substr(7);
  }
  conf.close();
  std::ofstream access_rules(folder_ + "/pg_hba.conf", std::ios::trunc);
  for (const auto &line : hba)
    access_rules << line << "\n";
  access_rules << "local all all trust\nlocal replication all trust\n";
  access_rules.close();
  chmod(folder_.c_str(), 0750); /* the most that PostgreSQL accepts for a data folder that others may enter */
  start();
}

PrivateServer::~PrivateServer() {
  if (pid_ > 0)
    end(SIGQUIT);
  try {
    run({"/bin/rm", "-rf", folder_}, scratch_folder() + "/rm.log");
  } catch (const std::exception &) {
    /* The watchdog tries again. */
  }
}

void PrivateServer::launch() {
  if (pid_ > 0)
    return;
  std::vector<std::string> program{server_binary("postgres"), "-D", folder_};
  if (!environment_.empty()) {
    program.insert(program.begin(), environment_.begin(), environment_.end());
    program.insert(program.begin(), "/usr/bin/env");
  }
  pid_ = start_server_program(program, folder_ + "/log");
}

void PrivateServer::start() {
  launch();
  if (!eventually([&] { return accepts() || waitpid(pid_, nullptr, WNOHANG) == pid_; }, 60000) || !accepts()) {
    std::ifstream file(folder_ + "/log");
    throw std::runtime_error("the server did not start: " +
                             std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()));
  }
}

bool PrivateServer::accepts() const {
  PGconn *connection = PQconnectdb(conninfo().c_str());
  const bool ok = PQstatus(connection) == CONNECTION_OK;
  PQfinish(connection);
  return ok;
}

void PrivateServer::end(int signal) {
  if (pid_ <= 0)
    return;
  stop_server_program(pid_, signal);
  pid_ = -1;
}

void PrivateServer::stop() {
  end(SIGINT);
}

void PrivateServer::crash() {
  end(SIGQUIT);
}

void PrivateServer::promote() {
  run({server_binary("pg_ctl"), "promote", "-w", "-t", "60", "-D", folder_}, scratch_folder() + "/promote.log");
}

std::string PrivateServer::conninfo(const std::string &user, const std::string &database) const {
  return "host=" + folder_ + " port=" + port_ + " user=" + user + " dbname=" + database;
}

PrivateServer &PrivateServer::shared() {
  static PrivateServer server({"max_connections = 120"});
  return server;
}

} // namespace test
