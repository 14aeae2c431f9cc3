/*
 * secret_file.c - see secret_file.h. Looks at the file that is open, not at its name: nobody can exchange it in between.
 *
 * SPDX-License-Identifier: MIT
 */
#include "platform/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *problem_of_open(int number) {
  switch (number) {
  case ENOENT:
  case ENOTDIR:
    return "is not there";
  case EACCES:
  case EPERM:
    return "cannot be opened: this process may not read it";
  default:
    return "cannot be opened";
  }
}

static const char *problem_of_file(int file) {
  struct stat facts;
  if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode))
    return "is no regular file";
  if (facts.st_mode & (S_IRWXO | S_IWGRP))
    return "can be accessed by other users, or changed by its group; run chmod 600 (or 640) on it";
  return NULL;
}

const char *pgc_read_secret_file(const char *path, unsigned char *out, size_t room, size_t *size) {
  *size = 0;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe must not make us wait */
  if (file < 0)
    return problem_of_open(errno);
  const char *problem = problem_of_file(file);
  while (problem == NULL) {
    unsigned char beyond;
    ssize_t got = *size < room ? read(file, out + *size, room - *size) : read(file, &beyond, 1);
    if (got < 0 && errno != EINTR)
      problem = "cannot be read";
    else if (got > 0 && *size == room)
      problem = "is too large";
    else if (got > 0)
      *size += (size_t)got;
    else if (got == 0)
      break;
  }
  close(file);
  return problem;
}
