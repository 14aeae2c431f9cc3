/*
 * load_program.c - running the program of `pgcache load`, and taking what it prints.
 *
 * Owns fork, exec and wait for it. It is the user's own program, run as a shell would: in the same process group, with the
 * same environment and the usual signals. It must never be left behind as a zombie, nor wait for us to read.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "load_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local_process.h"
#include "output.h"
#include "platform/memory.h"
#include "watch.h"

#define TICK_MS 100
/* How long after a signal the program may still run by itself: a terminal's reaches it without us; and how long until it is
   left to itself. */
#define GRACE_MS 300
#define LEAVE_MS 5000

typedef struct running {
  pid_t process;
  int pipe; /* -1: it has closed it */
  bool ended;
  int status;
} running;

static _Noreturn void become(char *const argv[], int output) {
  signal(SIGPIPE, SIG_DFL);
  if (dup2(output, STDOUT_FILENO) >= 0)
    execvp(argv[0], argv);
  _exit(errno == ENOENT ? CLI_NO_PROGRAM : CLI_NOT_RUN);
}

static bool start(running *self, char *const argv[]) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return false;
  signal(SIGCHLD, SIG_DFL); /* or how it ended would be lost, if the caller ignores it */
  self->process = fork();
  if (self->process == 0)
    become(argv, ends[1]);
  close(ends[1]);
  self->pipe = ends[0];
  return self->process > 0;
}

/* Reads what there is, but keeps no more than one byte beyond what can be stored. */
static void take_output(running *self, cli_bytes *output, size_t *room, size_t most) {
  unsigned char rest[4096], *place = rest;
  size_t size = sizeof rest;
  if (output->size <= most) {
    if (output->size == *room) {
      *room = *room == 0 ? 65536 : *room * 2;
      *room = *room > most ? most + 1 : *room;
      output->data = cli_memory(output->data, *room);
    }
    place = output->data + output->size;
    size = *room - output->size;
  }
  ssize_t got = read(self->pipe, place, size);
  if (got > 0 && place != rest)
    output->size += (size_t)got;
  if (got == 0 || (got < 0 && errno != EINTR)) {
    close(self->pipe);
    self->pipe = -1;
  }
}

static void look_for_end(running *self) {
  if (self->ended || waitpid(self->process, &self->status, WNOHANG) == 0)
    return;
  self->ended = true;
}

/* Waits a tick, or until it prints something. */
static void wait_a_little(running *self, cli_bytes *output, size_t *room, size_t most) {
  struct pollfd wanted = {.fd = self->pipe, .events = POLLIN};
  int tick_ms = self->pipe < 0 ? TICK_MS / 10 : TICK_MS; /* who has closed its output is about to end */
  if (poll(&wanted, 1, tick_ms) > 0)
    take_output(self, output, room, most);
}

/* Until the program has ended and its output, too, as in a shell's $(...). */
static void attend(running *self, cli_bytes *output, size_t most, int64_t renew_ms, bool (*renew)(void *context),
                   void *context) {
  int64_t renewed = process_now_ms(), asked = 0;
  size_t room = 0;
  bool passed_on = false;
  while (!self->ended || self->pipe >= 0) {
    wait_a_little(self, output, &room, most);
    look_for_end(self);
    int64_t now = process_now_ms();
    if (watch_signal() == 0) {
      if (renew != NULL && now - renewed >= renew_ms) {
        renewed = now;
        renew = renew(context) ? renew : NULL;
      }
      continue;
    }
    asked = asked == 0 ? now : asked;
    if (self->ended || now - asked > LEAVE_MS)
      return;
    if (!passed_on && now - asked >= GRACE_MS) {
      kill(self->process, watch_signal());
      passed_on = true;
    }
  }
}

int program_run(cli_bytes *output, program_end *end, char *const argv[], size_t most, int64_t renew_ms,
                bool (*renew)(void *context), void *context) {
  running self = {.process = -1, .pipe = -1};
  *end = (program_end){0, 0};
  out_flush(); /* or the child would have it, too */
  if (!start(&self, argv)) {
    out_error("cannot start the program: %s", strerror(errno));
    if (self.pipe >= 0)
      close(self.pipe);
    return CLI_ERROR;
  }
  attend(&self, output, most, renew_ms, renew, context);
  if (self.pipe >= 0)
    close(self.pipe);
  if (self.ended && WIFEXITED(self.status))
    end->code = WEXITSTATUS(self.status);
  else if (self.ended && WIFSIGNALED(self.status))
    end->signal_number = WTERMSIG(self.status);
  return CLI_OK;
}
