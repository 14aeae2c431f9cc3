/*
 * local_process.c - running PostgreSQL's programs: starting, waiting, reading what they print.
 *
 * Owns fork, exec and wait. It must never use a shell, and never start a program that inherits the command's signals,
 * descriptors or libpq variables.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "local_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "watch.h"

int64_t process_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void process_pause(int64_t since, const char *what) {
  const struct timespec moment = {.tv_sec = 0, .tv_nsec = 20 * 1000000L};
  nanosleep(&moment, NULL);
  int64_t waited = process_now_ms() - since;
  if (waited >= 1000)
    out_progress(what, waited / 1000);
}

void process_clean_environment(void) {
  for (char **variable = environ; *variable != NULL;) {
    char name[64];
    size_t length = strcspn(*variable, "=");
    bool ours = strncmp(*variable, "PGCACHE_", 8) == 0;
    if (strncmp(*variable, "PG", 2) != 0 || ours || length >= sizeof name) {
      variable++;
      continue;
    }
    memcpy(name, *variable, length);
    name[length] = '\0';
    unsetenv(name);
    variable = environ; /* it has moved */
  }
  setenv("LC_ALL", "C", 1);
  signal(SIGCHLD, SIG_DFL); /* or how a program ended would be lost, if the caller ignores it */
}

/* In the child: gives the program a clean start and becomes it. */
static _Noreturn void become(const char *const argv[], int input, int output, int inherited, bool search) {
  setsid();
  const int usual[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT};
  for (size_t index = 0; index < sizeof usual / sizeof usual[0]; index++)
    signal(usual[index], SIG_DFL);
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(input >= 0 ? input : nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  /* What else the caller of pgcache left open, such as a pipe whose reader waits for its end, is not for a server that
     goes on running. Nobody leaves thousands open. */
  for (int other = 3; other < 1024; other++)
    fcntl(other, F_SETFD, other == inherited ? 0 : FD_CLOEXEC);
  char *const *arguments = (char *const *)(uintptr_t)argv; /* exec promises not to change them */
  if (search)
    execvp(argv[0], arguments);
  else
    execv(argv[0], arguments);
  _exit(127);
}

void process_become(const char *path, char *const argv[]) {
  signal(SIGPIPE, SIG_DFL);
  if (path[0] == '/')
    execv(path, argv);
  execvp(argv[0], argv);
  signal(SIGPIPE, SIG_IGN);
}

pid_t process_start(const char *const argv[], int input, int output, int inherited) {
  pid_t process = fork();
  if (process == 0)
    become(argv, input, output, inherited, false);
  return process;
}

void process_end(pid_t process, int signal_number) {
  int64_t since = process_now_ms();
  kill(process, signal_number);
  while (waitpid(process, NULL, WNOHANG) == 0) {
    if (process_now_ms() - since > 10000) {
      kill(-process, SIGKILL);
      waitpid(process, NULL, 0);
      return;
    }
    process_pause(since, "stopping");
  }
}

bool process_wait(pid_t process, const char *what) {
  int64_t since = process_now_ms();
  int status = 0;
  if (process < 0)
    return false;
  while (waitpid(process, &status, WNOHANG) == 0) {
    if (watch_signal() != 0) {
      process_end(process, SIGINT);
      return false;
    }
    process_pause(since, what);
  }
  out_progress_clear();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool process_first_line(char *line, size_t size, const char *const argv[]) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return false;
  pid_t process = fork();
  if (process == 0)
    become(argv, -1, ends[1], -1, true);
  close(ends[1]);
  size_t length = 0;
  for (;;) { /* read to the end, so that the program is not stopped by a closed pipe */
    char part[256];
    ssize_t got = read(ends[0], part, sizeof part);
    if (got <= 0) /* the end, or a signal, of which process_wait() knows more */
      break;
    for (ssize_t index = 0; index < got && length + 1 < size; index++)
      line[length++] = part[index];
  }
  line[length] = '\0';
  line[strcspn(line, "\n")] = '\0';
  close(ends[0]);
  return process_wait(process, "looking for PostgreSQL") && line[0] != '\0';
}
