/*
 * screen.c - see screen.h.
 *
 * Owns what was changed of the terminal: another page than the one with the shell's lines, no cursor, no broken lines, keys
 * without a newline and without being shown. Ctrl-C stays a signal; Ctrl-Z, behind which the shell would have the terminal like
 * this, is off. It must never leave a terminal as it is not used to be.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "output.h"

#define TAKE "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define GIVE_BACK "\033[?7h\033[?25h\033[?1049l"

static struct {
  bool open;
  bool keys; /* standard input is the terminal, and `before` what it was like */
  struct termios before;
} screen;

static void wake(int number) {
  (void)number; /* poll() is interrupted, and that is all */
}

void screen_open(void) {
  struct sigaction resized = {.sa_handler = wake};
  sigemptyset(&resized.sa_mask);
  sigaction(SIGWINCH, &resized, NULL);
  screen.keys = tcgetattr(STDIN_FILENO, &screen.before) == 0;
  if (screen.keys) {
    struct termios now = screen.before;
    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    now.c_cc[VMIN] = 0;
    now.c_cc[VTIME] = 0;
    now.c_cc[VSUSP] = now.c_cc[VQUIT] = _POSIX_VDISABLE;
    screen.keys = tcsetattr(STDIN_FILENO, TCSADRAIN, &now) == 0;
  }
  screen.open = true;
  out_text(TAKE);
  out_flush();
}

void screen_close(void) {
  if (!screen.open)
    return;
  screen.open = false;
  ssize_t ignored =
      write(STDOUT_FILENO, GIVE_BACK, strlen(GIVE_BACK)); /* or the terminal is gone, and nobody to tell */
  (void)ignored;
  if (screen.keys)
    tcsetattr(STDIN_FILENO, TCSADRAIN, &screen.before);
}

void screen_size(int *lines, int *columns) {
  struct winsize size;
  bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
  *lines = known ? size.ws_row : 24;
  *columns = known ? size.ws_col : 80;
}

void screen_home(void) {
  out_text("\033[H");
}

void screen_line(void) {
  out_text("\033[K\n");
}

void screen_rest(void) {
  out_text("\033[J");
}

int screen_wait(int64_t milliseconds) {
  struct pollfd input = {.fd = screen.open && screen.keys ? STDIN_FILENO : -1, .events = POLLIN};
  int timeout = milliseconds < 1000000000 ? (int)milliseconds : 1000000000;
  unsigned char key;
  if (poll(&input, 1, timeout) <= 0 || read(STDIN_FILENO, &key, 1) != 1)
    return 0;
  return key;
}
