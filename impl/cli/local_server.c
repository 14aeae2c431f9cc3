/*
 * local_server.c - the local PostgreSQL server itself: its cluster, its process.
 *
 * The cluster is made beside its place and then renamed, so that whatever interrupts it, what stands at that place is
 * whole. It must never let the server listen anywhere but on the Unix socket in its folder, and never take a process
 * for the server only because its number stands in an old postmaster.pid.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "local_server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local_process.h"
#include "output.h"
#include "watch.h"

/* How long a start may take (after a crash the server first repairs its cluster), and a stop. */
#define START_WAIT_MS 120000
#define STOP_WAIT_MS 60000

/* ---- The process ----------------------------------------------------------------------------------------------- */

/* What the server writes about itself: its process id in line 1, how far it is in line 8. */
typedef struct pid_file {
  pid_t process; /* 0: no such file */
  bool ready;
} pid_file;

static pid_file read_pid_file(const local_place *place) {
  char path[PLACE_PATH_SIZE + 16];
  char line[1024];
  pid_file found = {0, false};
  snprintf(path, sizeof path, "%s/postmaster.pid", place->data);
  FILE *file = fopen(path, "re");
  if (file == NULL)
    return found;
  for (int number = 1; number <= 8 && fgets(line, sizeof line, file) != NULL; number++) {
    if (number == 1)
      found.process = (pid_t)strtol(line, NULL, 10);
    else if (number == 8)
      found.ready = strncmp(line, "ready", 5) == 0;
  }
  fclose(file);
  /* A negative one is that of a single-user server, of which only a crash of the machine can leave a file behind. */
  found.process = found.process > 1 ? found.process : 0;
  return found;
}

/* Says whether the process is the server of this folder: a server works in its cluster's folder. After a restart of
   the machine the number may belong to anybody. */
static bool is_server(pid_t process, const local_place *place) {
  char path[64];
  struct stat works_in;
  struct stat data;
  if (kill(process, 0) != 0 && errno == ESRCH)
    return false;
  if (access("/proc/self/cwd", F_OK) != 0)
    return true; /* no way to look closer here */
  snprintf(path, sizeof path, "/proc/%ld/cwd", (long)process);
  return stat(path, &works_in) == 0 && stat(place->data, &data) == 0 && works_in.st_dev == data.st_dev &&
         works_in.st_ino == data.st_ino;
}

pid_t server_pid(const local_place *place) {
  pid_file found = read_pid_file(place);
  return found.process != 0 && is_server(found.process, place) ? found.process : 0;
}

/* ---- What the log says ------------------------------------------------------------------------------------------- */

/* The last line of the log that tells what went wrong, else its last line. */
static const char *last_complaint(const local_place *place) {
  static const char *const marks[] = {"FATAL:", "PANIC:", "ERROR:", "error:"};
  static char found[256];
  char line[1024];
  found[0] = '\0';
  bool marked = false;
  FILE *file = fopen(place->log, "re");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    const char *complaint = NULL;
    line[strcspn(line, "\n")] = '\0';
    for (size_t index = 0; index < sizeof marks / sizeof marks[0] && complaint == NULL; index++)
      complaint = strstr(line, marks[index]);
    if (complaint == NULL && !marked && line[0] != '\0')
      complaint = line;
    else if (complaint != NULL)
      marked = true;
    if (complaint != NULL)
      snprintf(found, sizeof found, "%.*s", (int)sizeof found - 1, complaint);
  }
  if (file != NULL)
    fclose(file);
  return found[0] != '\0' ? found : "it gave no reason";
}

static int complain(const char *what, const local_place *place) {
  if (watch_signal() != 0)
    out_error("interrupted");
  else
    out_error("%s: %s (more in %s)", what, last_complaint(place), place->log);
  return CLI_ERROR;
}

static int failed(const char *what, const char *path) {
  out_error("cannot %s %s: %s", what, path, strerror(errno));
  return CLI_ERROR;
}

/* Begins a new log and keeps the one before. */
static int open_log(const local_place *place) {
  rename(place->log, place->log_old); /* the first time there is none */
  return open(place->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* ---- The cluster ------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *place) {
  (void)facts;
  (void)kind;
  (void)place;
  return remove(path);
}

static bool remove_tree(const char *path) {
  return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT;
}

static bool has_locale(const char *name) {
  locale_t locale = newlocale(LC_ALL_MASK, name, (locale_t)0);
  if (locale == (locale_t)0)
    return false;
  freelocale(locale);
  return true;
}

/* Makes the database in the new cluster, with a single-user server: no socket, no other process. */
static bool make_database(const local_place *place, const char *postgres, int log) {
  static const char sql[] = "CREATE DATABASE pgcache;\n";
  const char *const arguments[] = {postgres, "--single",         "-D",        place->data_new,
                                   "-c",     "exit_on_error=on", "template1", NULL};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return false;
  bool sent = write(ends[1], sql, sizeof sql - 1) == (ssize_t)(sizeof sql - 1); /* a pipe holds that much */
  close(ends[1]);
  pid_t process = process_start(arguments, ends[0], log, place->lock_descriptor);
  close(ends[0]);
  return process_wait(process, "making the database") && sent;
}

int server_make(const local_place *place, const server_programs *programs) {
  char initdb[4200];
  char postgres[4200];
  char path[PLACE_PATH_SIZE + 16];
  snprintf(path, sizeof path, "%s/PG_VERSION", place->data);
  if (access(path, F_OK) == 0)
    return CLI_OK;
  /* What an interrupted start left. */
  if (!remove_tree(place->data_new))
    return failed("remove", place->data_new);
  int log = open_log(place);
  if (log < 0)
    return failed("open", place->log);
  snprintf(initdb, sizeof initdb, "%s/initdb", programs->folder);
  snprintf(postgres, sizeof postgres, "%s/postgres", programs->folder);
  const char *locale = has_locale("C.UTF-8") ? "--locale=C.UTF-8" : "--locale=C";
  const char *const arguments[] = {
      initdb, "-D", place->data_new, "--username=pgcache", "--auth=trust", "--encoding=UTF8", locale, NULL};
  /* The programs keep the lock: should pgcache be killed, the next start waits until they have ended. */
  pid_t process = process_start(arguments, -1, log, place->lock_descriptor);
  bool made = process_wait(process, "making the database cluster") && make_database(place, postgres, log);
  close(log);
  if (!made) {
    complain("PostgreSQL's initdb failed", place);
    remove_tree(place->data_new); /* if that fails, the next start says so */
    return CLI_ERROR;
  }
  if (rename(place->data_new, place->data) == 0)
    return CLI_OK;
  failed("give the new cluster its name", place->data);
  remove_tree(place->data_new);
  return CLI_ERROR;
}

/* ---- Start and stop ---------------------------------------------------------------------------------------------- */

/* Makes the folder of the socket, which only its owner may enter: the server trusts whoever gets in. What a crash left
   there goes: a new server would take a process that has the old one's number for the socket's owner. */
static int make_socket_folder(const local_place *place) {
  struct stat facts;
  if (mkdir(place->socket, 0700) != 0 && errno != EEXIST)
    return failed("make the folder", place->socket);
  if (lstat(place->socket, &facts) != 0)
    return failed("look at", place->socket);
  if (!S_ISDIR(facts.st_mode) || facts.st_uid != geteuid()) {
    out_error("%s must be a folder of the server's own account; remove it", place->socket);
    return CLI_ERROR;
  }
  static const char *const left[] = {".s.PGSQL.5432", ".s.PGSQL.5432.lock"};
  for (size_t index = 0; index < sizeof left / sizeof left[0]; index++) {
    char path[PLACE_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/%s", place->socket, left[index]);
    if (unlink(path) != 0 && errno != ENOENT)
      return failed("remove", path);
  }
  return chmod(place->socket, 0700) == 0 ? CLI_OK : failed("protect", place->socket);
}

/* Waits until the server says that it is ready. child: it is ours to wait for. */
static int await(pid_t process, const local_place *place, bool child) {
  int64_t since = process_now_ms();
  for (;;) {
    pid_file found = read_pid_file(place);
    if (found.process == process && found.ready) {
      out_progress_clear();
      return CLI_OK;
    }
    bool over = child ? waitpid(process, NULL, WNOHANG) != 0 : !is_server(process, place);
    if (over)
      return complain("PostgreSQL did not start", place);
    if (watch_signal() != 0) {
      if (child)
        process_end(process, SIGINT);
      return complain("PostgreSQL did not start", place);
    }
    if (process_now_ms() - since > START_WAIT_MS) {
      out_error("PostgreSQL runs but takes no connections after %d s; see %s", START_WAIT_MS / 1000, place->log);
      return CLI_ERROR;
    }
    process_pause(since, "starting PostgreSQL");
  }
}

int server_await(pid_t process, const local_place *place) {
  return await(process, place, false);
}

int server_start(pid_t *out, const local_place *place, const server_programs *programs) {
  char postgres[4200];
  char sockets[2 * PLACE_PATH_SIZE + 32] = "unix_socket_directories=\"";
  char number[32];
  int code = make_socket_folder(place);
  if (code != CLI_OK)
    return code;
  int log = open_log(place);
  if (log < 0)
    return failed("open", place->log);
  /* The setting is a list; in quotes an element may have any character, and a quote is doubled. */
  size_t length = strlen(sockets);
  for (const char *character = place->socket; *character != '\0'; character++) {
    if (*character == '"')
      sockets[length++] = '"';
    sockets[length++] = *character;
  }
  sockets[length++] = '"';
  sockets[length] = '\0';
  snprintf(postgres, sizeof postgres, "%s/postgres", programs->folder);
  const char *const arguments[] = {postgres,
                                   "-D",
                                   place->data,
                                   "-c",
                                   "listen_addresses=",
                                   "-c",
                                   "port=5432",
                                   "-c",
                                   sockets,
                                   "-c",
                                   "unix_socket_permissions=0700",
                                   "-c",
                                   "logging_collector=off",
                                   "-c",
                                   "log_destination=stderr",
                                   NULL};
  /* A postmaster.pid that a crash left may name a process that is now something else. PostgreSQL would take it for
     another server on the same cluster, except for the number that this variable says is no server; it goes on to
     check that no old server's shared memory is in use. */
  pid_file old = read_pid_file(place);
  if (old.process != 0) {
    snprintf(number, sizeof number, "%ld", (long)old.process);
    setenv("PG_GRANDPARENT_PID", number, 1);
  }
  pid_t process = process_start(arguments, -1, log, -1);
  unsetenv("PG_GRANDPARENT_PID");
  close(log);
  if (process < 0)
    return failed("start", postgres);
  *out = process;
  return await(process, place, true);
}

int server_stop(pid_t process, const local_place *place) {
  int64_t since = process_now_ms();
  if (kill(process, SIGINT) != 0 && errno != ESRCH) { /* the fast shutdown: sessions are ended, nothing is lost */
    out_error("cannot stop the server: %s", strerror(errno));
    return CLI_ERROR;
  }
  while (is_server(process, place)) {
    if (watch_signal() != 0) {
      out_error("interrupted; the server goes on stopping");
      return CLI_ERROR;
    }
    if (process_now_ms() - since > STOP_WAIT_MS) {
      out_error("the server has not stopped after %d s; see %s", STOP_WAIT_MS / 1000, place->log);
      return CLI_ERROR;
    }
    process_pause(since, "stopping PostgreSQL");
  }
  out_progress_clear();
  return CLI_OK;
}
