/*
 * sockets.c - see sockets.h. Takes no lock: a forked child reads it while the parent's locks are lost.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/sockets.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/memory.h"

/* The socket of an open connection. libpq closes its descriptor when the stream has ended, whenever that is: shutdown uses
   a second one, that nobody else closes, and a forked child closes libpq's only if it is still the same file. */
typedef struct slot {
  atomic_int fd;   /* libpq's; -1: free */
  atomic_int ours; /* the second one; -1: none */
  ino_t inode;
} slot;

struct pgc_sockets {
  int max;
  slot slots[];
};

pgc_sockets *pgc_sockets_new(int max) {
  pgc_sockets *self = pgc_alloc_zero(sizeof *self + (size_t)max * sizeof(slot));
  if (self == NULL)
    return NULL;
  self->max = max;
  for (int i = 0; i < max; i++) {
    atomic_init(&self->slots[i].fd, -1);
    atomic_init(&self->slots[i].ours, -1);
  }
  return self;
}

void pgc_sockets_free(pgc_sockets *self) {
  pgc_free(self);
}

bool pgc_sockets_add(pgc_sockets *self, pgc_connection *connection) {
  struct stat file;
  int fd = PQsocket(connection->pg);
  int ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (ours == -1)
    return false;
  fstat(ours, &file); /* cannot fail on an open descriptor */
  int i = 0;
  while (atomic_load(&self->slots[i].fd) != -1)
    i++; /* there are as many as connections */
  self->slots[i].inode = file.st_ino;
  atomic_store(&self->slots[i].ours, ours);
  atomic_store(&self->slots[i].fd, fd);
  connection->slot = i;
  return true;
}

/* Whether the number still stands for our socket: libpq closes it when the stream has ended. */
static bool is_our_socket(const slot *place, int fd) {
  struct stat file;
  return fd != -1 && fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode) && file.st_ino == place->inode;
}

static void close_ours(slot *place) {
  int fd = atomic_exchange(&place->ours, -1);
  if (fd != -1)
    close(fd);
}

void pgc_sockets_remove(pgc_sockets *self, pgc_connection *connection) {
  if (connection->slot >= 0) {
    close_ours(&self->slots[connection->slot]);
    atomic_store(&self->slots[connection->slot].fd, -1);
  }
  connection->slot = -1;
}

void pgc_sockets_wake_all(pgc_sockets *self) {
  for (int i = 0; i < self->max; i++) {
    int fd = atomic_load(&self->slots[i].ours);
    if (fd != -1)
      shutdown(fd, SHUT_RDWR);
  }
}

void pgc_sockets_close_after_fork(pgc_sockets *parents) {
  for (int i = 0; i < parents->max; i++) {
    close_ours(&parents->slots[i]);
    int fd = atomic_exchange(&parents->slots[i].fd, -1);
    /* Only this process's copy is closed: the session is the parent's, and no word is sent on it. */
    if (is_our_socket(&parents->slots[i], fd))
      close(fd);
  }
}
