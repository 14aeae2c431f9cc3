/*
 * endpoint.c - GET /metrics over libmicrohttpd, which reads the requests. Owns the listening socket and a list of handles,
 * which it asks for snapshots; never calls anything of a handle that asks a server or waits.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pgcache_prometheus.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept.h"
#include "words.h"

/* A scraper needs one connection; a few more for those who look at the page, and nobody can take more memory than that. */
#define CONNECTIONS_MAX 16
#define CONNECTION_SECONDS 10

typedef struct served {
  pgcache *cache;
  char *name; /* NULL: no label */
} served;

struct pgcache_prometheus_server {
  struct MHD_Daemon *daemon;
  pid_t process; /* that started it: the thread is in no other */
  int listening;
  int listening_for_mhd; /* the same socket once more, which libmicrohttpd closes */
  uint16_t port;
  pthread_mutex_t
      lock; /* of the list; held while snapshots are taken, so that a handle that was withdrawn is not in use */
  served list[PGCACHE_PROMETHEUS_HANDLES_MAX];
  size_t count;
};

/* ---- Answers --------------------------------------------------------------------------------------------------------- */

/* Takes the snapshots of all handles, with copies of the labels: what they are made of may be withdrawn before all is
   written. Returns how many; fewer than there are handles: out of memory. */
static size_t take_snapshots(pgcache_prometheus_server *self, pgcache_prometheus_source *sources, size_t *expected) {
  size_t count = 0;
  pthread_mutex_lock(&self->lock);
  *expected = self->count;
  for (; count < self->count; count++) {
    pgcache_snapshot *snapshot = NULL;
    char *name = self->list[count].name != NULL ? strdup(self->list[count].name) : NULL;
    if ((self->list[count].name != NULL && name == NULL) ||
        pgcache_stats_snapshot(self->list[count].cache, &snapshot, NULL) != PGCACHE_OK) {
      free(name);
      break;
    }
    sources[count] = (pgcache_prometheus_source){sizeof *sources, snapshot, name != NULL ? "cache" : NULL, name};
  }
  pthread_mutex_unlock(&self->lock);
  return count;
}

static void free_snapshots(pgcache_prometheus_source *sources, size_t count) {
  for (size_t i = 0; i < count; i++) {
    pgcache_snapshot_free((pgcache_snapshot *)sources[i].snapshot);
    free((char *)sources[i].label_value);
  }
}

/* The exposition of all handles, allocated with malloc(); NULL: out of memory. */
static char *expose(pgcache_prometheus_server *self, pgcache_prometheus_format format, size_t *length) {
  pgcache_prometheus_source sources[PGCACHE_PROMETHEUS_HANDLES_MAX];
  size_t expected = 0, count = take_snapshots(self, sources, &expected);
  char *text = NULL;
  if (count == expected)
    pgcache_prometheus_text(&text, length, sources, count, format, NULL);
  free_snapshots(sources, count);
  return text;
}

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response,
                                     const char *header, const char *value) {
  if (response == NULL)
    return MHD_NO; /* out of memory: the connection ends */
  enum MHD_Result result = MHD_add_response_header(response, header, value);
  if (result == MHD_YES)
    result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result send_words(struct MHD_Connection *connection, unsigned status, const char *words,
                                  const char *header, const char *value) {
  struct MHD_Response *response = MHD_create_response_from_buffer(strlen(words), (void *)words, MHD_RESPMEM_PERSISTENT);
  return send_response(connection, status, response, header, value);
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_length, void **of_request) {
  pgcache_prometheus_server *self = context;
  static const char plain[] = "text/plain; charset=utf-8";
  static char begun; /* its address is what a request is marked with */
  (void)version, (void)upload;

  if (strcmp(url, "/metrics") != 0)
    return send_words(connection, MHD_HTTP_NOT_FOUND, "There is nothing but /metrics.\n", "Content-Type", plain);
  if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
    return send_words(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET it.\n", "Allow", "GET, HEAD");
  /* Answered when all of it was read, so that the connection stays open for the next one. What comes with it is ignored. */
  if (*of_request == NULL || *upload_length > 0) {
    *of_request = &begun;
    *upload_length = 0;
    return MHD_YES;
  }
  pgcache_prometheus_format format =
      pgc_accept_format(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
  size_t length = 0;
  char *text = expose(self, format, &length);
  if (text == NULL)
    return send_words(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory.\n", "Content-Type", plain);
  struct MHD_Response *response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
  if (response == NULL)
    free(text);
  return send_response(connection, MHD_HTTP_OK, response, "Content-Type", pgcache_prometheus_content_type(format));
}

/* ---- Life ------------------------------------------------------------------------------------------------------------ */

static pgcache_status cannot_listen(pgcache_error *error, const char *address, uint16_t port, int reason) {
  pgcache_status status = reason == EACCES || reason == EPERM                        ? PGCACHE_DENIED
                          : reason == ENOMEM || reason == EMFILE || reason == ENFILE ? PGCACHE_NO_MEMORY
                                                                                     : PGCACHE_UNAVAILABLE;
  char words[128];
  return pgc_words_fail(error, status, "cannot listen on %s, port %u: %s", address, (unsigned)port,
                        strerror_r(reason, words, sizeof words));
}

/* A listening socket, and the port that it got; -1 with errno. */
static int listen_on(const struct addrinfo *where, uint16_t *port) {
  int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -1;
  int yes = 1; /* a port of one that has just ended is free */
  struct sockaddr_storage got;
  socklen_t size = sizeof got;
  char text[8];
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(fd, where->ai_addr, where->ai_addrlen) != 0 || listen(fd, CONNECTIONS_MAX) != 0 ||
      getsockname(fd, (struct sockaddr *)&got, &size) != 0 ||
      getnameinfo((struct sockaddr *)&got, size, NULL, 0, text, sizeof text, NI_NUMERICSERV) != 0) {
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
  }
  *port = (uint16_t)strtoul(text, NULL, 10);
  return fd;
}

static pgcache_status open_socket(pgcache_prometheus_server *self, const char *address, uint16_t port,
                                  pgcache_error *error) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
  struct addrinfo *where = NULL;
  char service[8];
  snprintf(service, sizeof service, "%u", (unsigned)port);
  int refused = getaddrinfo(address, service, &hints, &where);
  if (refused == EAI_MEMORY)
    return pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for an endpoint");
  if (refused != 0)
    return pgc_words_fail(error, PGCACHE_INVALID, "the address is not an IPv4 or IPv6 address in digits");
  self->listening = listen_on(where, &self->port);
  int reason = errno;
  freeaddrinfo(where);
  if (self->listening < 0)
    return cannot_listen(error, address, port, reason);
  /* Whether a start that failed has closed the socket is not said anywhere; so it gets one of its own. */
  self->listening_for_mhd = fcntl(self->listening, F_DUPFD_CLOEXEC, 0);
  return self->listening_for_mhd >= 0 ? PGCACHE_OK : cannot_listen(error, address, port, errno);
}

static pgcache_status start_thread(pgcache_prometheus_server *self, pgcache_error *error) {
  sigset_t all, own;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &own);
  self->daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ITC, self->port, NULL, NULL, answer, self,
                                  MHD_OPTION_LISTEN_SOCKET, self->listening_for_mhd, MHD_OPTION_CONNECTION_LIMIT,
                                  (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                  (unsigned)CONNECTION_SECONDS, MHD_OPTION_END);
  pthread_sigmask(SIG_SETMASK, &own, NULL);
  return self->daemon != NULL ? PGCACHE_OK
                              : pgc_words_fail(error, PGCACHE_NO_MEMORY, "the endpoint's thread could not be started");
}

pgcache_status pgcache_prometheus_start(pgcache_prometheus_server **out, const char *address, uint16_t port,
                                        pgcache_error *error) {
  if (out == NULL)
    return pgc_words_fail(error, PGCACHE_INVALID, "the place for the endpoint is NULL");
  *out = NULL;
  pgcache_prometheus_server *self = calloc(1, sizeof *self);
  if (self == NULL)
    return pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for an endpoint");
  self->process = getpid();
  self->listening = -1;
  pthread_mutex_init(&self->lock, NULL);
  pgcache_status status = open_socket(self, address != NULL ? address : "127.0.0.1", port, error);
  if (status == PGCACHE_OK)
    status = start_thread(self, error);
  if (status == PGCACHE_OK)
    *out = self;
  else
    pgcache_prometheus_stop(self);
  return status;
}

uint16_t pgcache_prometheus_port(const pgcache_prometheus_server *self) {
  return self != NULL ? self->port : 0;
}

void pgcache_prometheus_stop(pgcache_prometheus_server *self) {
  if (self == NULL)
    return;
  if (self->process == getpid()) {
    if (self->daemon != NULL)
      MHD_stop_daemon(self->daemon);
    pthread_mutex_destroy(&self->lock);
  } else {
    close(self->listening_for_mhd); /* the rest is the parent's, whose thread is not here to be ended */
  }
  if (self->listening >= 0)
    close(self->listening);
  for (size_t i = 0; i < self->count; i++)
    free(self->list[i].name);
  free(self);
}

/* ---- Handles --------------------------------------------------------------------------------------------------------- */

static pgcache_status check(const pgcache_prometheus_server *self, const pgcache *cache, pgcache_error *error) {
  if (self == NULL || cache == NULL)
    return pgc_words_fail(error, PGCACHE_INVALID, "the endpoint or the handle is NULL");
  if (self->process != getpid()) /* its lock may be held for ever here */
    return pgc_words_fail(error, PGCACHE_UNSUPPORTED, "the endpoint is of the parent process: start another one");
  return PGCACHE_OK;
}

/* Where the handle stands in the list, or the count: nowhere. */
static size_t place_of(const pgcache_prometheus_server *self, const pgcache *cache) {
  size_t i = 0;
  while (i < self->count && self->list[i].cache != cache)
    i++;
  return i;
}

static bool is_taken(const pgcache_prometheus_server *self, const char *name) {
  for (size_t i = 0; i < self->count; i++) {
    const char *other = self->list[i].name;
    if (name == NULL || other == NULL ? name == other : strcmp(name, other) == 0)
      return true;
  }
  return false;
}

static pgcache_status add(pgcache_prometheus_server *self, pgcache *cache, const char *name, pgcache_error *error) {
  if (place_of(self, cache) < self->count)
    return pgc_words_fail(error, PGCACHE_INVALID, "the handle is served already");
  if (is_taken(self, name))
    return pgc_words_fail(error, PGCACHE_INVALID, "another handle is served under this name: give it another one");
  if (self->count == PGCACHE_PROMETHEUS_HANDLES_MAX)
    return pgc_words_fail(error, PGCACHE_QUEUE_FULL, "the endpoint serves %d handles already",
                          PGCACHE_PROMETHEUS_HANDLES_MAX);
  served *place = &self->list[self->count];
  *place = (served){cache, name != NULL ? strdup(name) : NULL};
  if (name != NULL && place->name == NULL)
    return pgc_words_fail(error, PGCACHE_NO_MEMORY, "out of memory for a name");
  self->count++;
  return PGCACHE_OK;
}

pgcache_status pgcache_prometheus_serve(pgcache_prometheus_server *self, pgcache *cache, const char *name,
                                        pgcache_error *error) {
  pgcache_status status = check(self, cache, error);
  if (status != PGCACHE_OK)
    return status;
  pthread_mutex_lock(&self->lock);
  status = add(self, cache, name, error);
  pthread_mutex_unlock(&self->lock);
  return status;
}

pgcache_status pgcache_prometheus_withdraw(pgcache_prometheus_server *self, pgcache *cache, pgcache_error *error) {
  pgcache_status status = check(self, cache, error);
  if (status != PGCACHE_OK)
    return status;
  pthread_mutex_lock(&self->lock);
  size_t at = place_of(self, cache);
  if (at == self->count) {
    status = PGCACHE_MISS;
  } else {
    free(self->list[at].name);
    self->count--;
    memmove(&self->list[at], &self->list[at + 1], (self->count - at) * sizeof *self->list);
  }
  pthread_mutex_unlock(&self->lock);
  return status;
}
