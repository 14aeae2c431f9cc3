/*
 * redis.c - a Redis of the program's own, and clients of it that pipeline.
 *
 * Owns the server: it listens on a Unix socket alone, writes nothing to disk, and the kernel ends it when this program
 * ends, in whatever way. All clients connect at the start; then the socket's folder goes away, so nothing stays behind.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <stdlib.h>

#ifndef BENCH_HIREDIS

redis *redis_open(const dataset *data, const char **missing) {
  (void)data;
  *missing = "this program was built without hiredis; ci/setup bench installs it";
  return NULL;
}

double redis_run(redis *self, operation what, int callers, double seconds) {
  (void)self, (void)what, (void)callers, (void)seconds;
  return 0;
}

void redis_close(redis *self) {
  (void)self;
}

#else

#include <errno.h>
#include <hiredis.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEPTH = 32 }; /* commands in one pipeline */

struct redis {
  const dataset *data;
  pid_t server;
  redisContext *clients[MOST_THREADS];
};

/* ---- The server ------------------------------------------------------------------------------------------------------ */

static _Noreturn void become_server(const char *folder, const char *socket, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent && freopen("/dev/null", "w", stdout) != NULL) {
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir",
           folder, "--save", "", "--appendonly", "no", "--loglevel", "warning", (char *)NULL);
  }
  _exit(127);
}

/* A client of the server as soon as it answers; NULL if it has ended or does not for 10 seconds. */
static redisContext *first_client(redis *self, const char *socket) {
  for (int tries = 0; tries < 200; tries++) {
    redisContext *client = redisConnectUnix(socket);
    if (client != NULL && client->err == 0) {
      return client;
    }
    redisFree(client);
    usleep(50000);
    if (waitpid(self->server, NULL, WNOHANG) != 0) {
      self->server = 0;
      return NULL;
    }
  }
  return NULL;
}

static void fill(redis *self);

redis *redis_open(const dataset *data, const char **missing) {
  char folder[] = "/tmp/pgcache-bench.XXXXXX", socket[64];
  redis *self = calloc(1, sizeof *self);
  pid_t parent = getpid();
  if (self == NULL || mkdtemp(folder) == NULL) {
    die("%s: %s", folder, strerror(errno));
  }
  self->data = data;
  snprintf(socket, sizeof socket, "%s/redis", folder);
  self->server = fork();
  if (self->server == 0) {
    become_server(folder, socket, parent);
  }
  self->clients[0] = self->server < 0 ? NULL : first_client(self, socket);
  for (int i = 1; self->clients[0] != NULL && i < MOST_THREADS; i++) {
    self->clients[i] = redisConnectUnix(socket);
    if (self->clients[i] == NULL || self->clients[i]->err != 0) {
      die("cannot connect to Redis");
    }
  }
  unlink(socket);
  rmdir(folder);
  if (self->clients[0] == NULL) {
    *missing = "redis-server does not start; ci/setup bench installs it";
    redis_close(self);
    return NULL;
  }
  fill(self);
  return self;
}

void redis_close(redis *self) {
  if (self == NULL) {
    return;
  }
  for (int i = 0; i < MOST_THREADS; i++) {
    redisFree(self->clients[i]);
  }
  if (self->server > 0) {
    kill(self->server, SIGKILL);
    waitpid(self->server, NULL, 0);
  }
  free(self);
}

/* ---- The clients ------------------------------------------------------------------------------------------------------ */

/* A plain SET: less work than one with an expiry. */
static void append(const redis *self, redisContext *client, operation what, int64_t number) {
  char key[KEY_LEN + 2];
  key_of(key, number);
  const char *words[3] = {what == GET ? "GET" : "SET", key, (const char *)self->data->value};
  const size_t lengths[3] = {3, KEY_LEN, self->data->value_bytes};
  redisAppendCommandArgv(client, what == GET ? 2 : 3, words, lengths);
}

static void receive(const redis *self, redisContext *client, operation what) {
  redisReply *reply = NULL;
  if (redisGetReply(client, (void **)&reply) != REDIS_OK) {
    die("Redis: %s", client->errstr);
  }
  if (what == GET ? reply->type != REDIS_REPLY_STRING || reply->len != self->data->value_bytes
                  : reply->type != REDIS_REPLY_STATUS) {
    die("Redis: %s", reply->type == REDIS_REPLY_ERROR ? reply->str : "an entry is missing");
  }
  freeReplyObject(reply);
}

static void fill(redis *self) {
  enum { PAGE = 500 };
  redisContext *client = self->clients[0];
  for (int64_t first = 0; first < self->data->keys; first += PAGE) {
    int64_t end = first + PAGE < self->data->keys ? first + PAGE : self->data->keys;
    for (int64_t number = first; number < end; number++) {
      append(self, client, PUT, number);
    }
    for (int64_t number = first; number < end; number++) {
      receive(self, client, PUT);
    }
  }
}

typedef struct runner {
  pthread_t thread;
  const redis *of;
  redisContext *client;
  operation what;
  uint64_t random;
  double seconds, rate;
} runner;

static void *work(void *argument) {
  runner *self = argument;
  int64_t began = now_ns(), end = began + (int64_t)(self->seconds * 1e9), now = began, done = 0;
  while (now < end) {
    for (int i = 0; i < DEPTH; i++) {
      append(self->of, self->client, self->what,
             (int64_t)((random_next(&self->random) >> 20) % (uint64_t)self->of->data->keys));
    }
    for (int i = 0; i < DEPTH; i++) {
      receive(self->of, self->client, self->what);
    }
    done += DEPTH;
    now = now_ns();
  }
  self->rate = (double)done * 1e9 / (double)(now - began);
  return NULL;
}

double redis_run(redis *self, operation what, int callers, double seconds) {
  static uint64_t seed = 1;
  runner runners[MOST_THREADS];
  double rate = 0;
  for (int i = 0; i < callers; i++) {
    runners[i] = (runner){.of = self,
                          .client = self->clients[i],
                          .what = what,
                          .random = UINT64_C(0x9E3779B97F4A7C15) * ++seed,
                          .seconds = seconds};
    if (i > 0 && pthread_create(&runners[i].thread, NULL, work, &runners[i]) != 0) {
      die("cannot start a client of Redis");
    }
  }
  work(&runners[0]);
  for (int i = 0; i < callers; i++) {
    if (i > 0) {
      pthread_join(runners[i].thread, NULL);
    }
    rate += runners[i].rate;
  }
  return rate;
}

#endif
