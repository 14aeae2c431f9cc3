/*
 * listener_thread.c - the listener's thread: opens a connection, polls and listens on it for as long as it is good, and opens
 * another one. What the stream says is understood in listener_stream.c.
 *
 * Must never: wait for the server with the mutex held, or use the near cache once the handle is gone: see `running`.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pure/backoff.h"
#include "pure/error.h"
#include "store/listener_inside.h"
#include "store/pg_schema.h"

/* Pauses between attempts to connect: as the pool's, and long ones where a setting is wrong. */
#define BACKOFF_FIRST_US 50000
#define BACKOFF_REFUSED_MAX_US 250000
#define BACKOFF_MAX_US 10000000
#define SETTING_PAUSE_US 30000000

/* A statement's time: half of the bound, so that another connection may still prove within it. */
#define STATEMENT_MIN_US 50000
/* A connection that was good for so long is no failed attempt. */
#define LASTED_US 1000000

/* To look at the schema and so on, once a connection is there. */
#define BEGIN_MS 5000

/* ---- Statements and the connection ---- */

void pgc_listener_set_deadline(pgc_listener *self) {
  int64_t half = self->settings.staleness_us / 2;
  self->session.deadline = pgc_monotonic_us() + (half > STATEMENT_MIN_US ? half : STATEMENT_MIN_US);
}

pgcache_status pgc_listener_ask(pgc_listener *self, pgc_statement_id id, const pgc_parameters *parameters,
                                PGresult **result) {
  self->session.broken = false;
  self->session.retry = false;
  return pgc_session_execute(&self->session, id, parameters, result);
}

void pgc_listener_note_failure(pgc_listener *self) {
  pthread_mutex_lock(&self->mutex);
  pgc_listener_tell_failure(self, &self->error);
  pthread_mutex_unlock(&self->mutex);
}

pgc_connection *pgc_listener_connect(pgc_listener *self, const pgc_connect_plan *plan) {
  pgc_connection *connection = NULL;
  pthread_mutex_lock(&self->mutex);
  self->connecting = true;
  pthread_mutex_unlock(&self->mutex);
  pgcache_status status = pgc_connect(&connection, plan, &self->closed, &self->error);

  pthread_mutex_lock(&self->mutex);
  bool closed = atomic_load(&self->closed);
  self->connecting = false;
  if (closed) { /* free() may have returned */
    self->running = false;
    pthread_cond_broadcast(&self->told);
  }
  bool added = !closed && connection != NULL && pgc_sockets_add(self->sockets, connection);
  pthread_mutex_unlock(&self->mutex);
  if (added) {
    pgc_count(&self->counters->connections_opened);
    return connection;
  }
  if (status == PGCACHE_OK)
    pgc_fail(&self->error, PGCACHE_NO_MEMORY,
             "this process has no file descriptor left for the near cache's connection; it needs two");
  pgc_connection_free(connection);
  return NULL;
}

void pgc_listener_disconnect(pgc_listener *self, pgc_connection *connection) {
  shutdown(PQsocket(connection->pg), SHUT_RDWR);
  pthread_mutex_lock(&self->mutex);
  pgc_sockets_remove(self->sockets, connection);
  pthread_mutex_unlock(&self->mutex);
  pgc_connection_free(connection);
}

/* Connects, and looks at the schema as every connection does. False, and the reason in self->error. */
static bool open_connection(pgc_listener *self) {
  self->error = (pgcache_error)PGCACHE_ERROR_INIT;
  pgc_connection *connection = pgc_listener_connect(self, &self->plan);
  if (connection == NULL) {
    if (self->error.status == PGCACHE_BAD_SETTING)
      pgc_fail(
          &self->error, PGCACHE_BAD_SETTING,
          "a connection pooler stands between this process and the server, so that changes cannot be heard and the "
          "near cache stays off: let the setting listen_url name the server itself");
    return false;
  }
  self->opened_at_us = pgc_monotonic_us();
  self->session.connection = connection;
  self->session.broken = false;
  self->session.deadline = pgc_deadline_in(BEGIN_MS);
  return pgc_schema_check(&self->session) == PGCACHE_OK;
}

static void close_connection(pgc_listener *self) {
  pgc_connection *connection = self->session.connection;
  if (connection == NULL)
    return;
  if (self->session.broken && !atomic_load(&self->closed))
    pgc_count(&self->counters->connections_lost);
  pgc_listener_disconnect(self, connection);
  self->session.connection = NULL;
  self->relay.leads = false;
  atomic_store(&self->leads, false);
  pgc_listener_forget_parts(self);
}

/* ---- The thread ---- */

/* Waits until then for the connection to say something, or for anybody. */
static void wait_until(pgc_listener *self, int64_t until_us) {
  pgc_connection *connection = self->session.connection;
  struct pollfd fds[2] = {{.fd = atomic_load(&self->wake_fd), .events = POLLIN},
                          {.fd = connection != NULL ? PQsocket(connection->pg) : -1, .events = POLLIN}};
  if (poll(fds, 2, pgc_deadline_poll_ms(until_us)) <= 0)
    return;
  if ((fds[0].revents & POLLIN) != 0) {
    uint64_t woken;
    ssize_t ignored = read(fds[0].fd, &woken, sizeof woken); /* nobody else reads it: there is something */
    (void)ignored;
  }
  if (fds[1].revents != 0 && (!PQconsumeInput(connection->pg) || PQstatus(connection->pg) != CONNECTION_OK))
    self->session.broken = true;
}

/* Somebody waits for a poll that has not been sent yet. */
static bool is_wanted(pgc_listener *self) {
  pthread_mutex_lock(&self->mutex);
  bool wanted = self->wanted > self->sent;
  pthread_mutex_unlock(&self->mutex);
  return wanted;
}

/* Tells the audience once of each state. Not after the handle was shut down: see `running`. */
static void tell(pgc_listener *self, const char *state) {
  if (self->told_as != NULL && strcmp(self->told_as, state) == 0)
    return;
  self->told_as = state;
  if (strcmp(state, "connected") == 0)
    pgc_audience_state(self->settings.audience, "listener", state, PGCACHE_LEVEL_INFO, 0, NULL,
                       "the near cache hears of changes");
  else
    pgc_audience_state(self->settings.audience, "listener", state, PGCACHE_LEVEL_WARNING, 0, &self->error,
                       self->error.message);
}

/* As the pool's connections end, see pool_threads.c; but one that has hardly begun is no better than the next. */
static int64_t end_of_life(const pgc_listener *self) {
  int64_t lifetime_us = self->settings.lifetime_us;
  if (lifetime_us == 0)
    return INT64_MAX;
  lifetime_us -= (int64_t)(pgc_random_u64() % (uint64_t)(lifetime_us / 10 + 1));
  return self->opened_at_us + (lifetime_us > LASTED_US ? lifetime_us : LASTED_US);
}

/* Polls when it is time, for as long as the connection is good. */
static void serve(pgc_listener *self) {
  self->poll_at_us = self->relay.ask_at_us = pgc_monotonic_us();
  self->ages_at_us = end_of_life(self);
  for (;;) {
    int64_t now = pgc_monotonic_us();
    self->aged = now >= self->ages_at_us;
    if (self->aged && !pgc_listener_poll(self)) { /* so that the last proof lasts until that of the next connection */
      self->aged = false;
      return;
    }
    if (self->aged || atomic_load(&self->closed)) {
      pgc_listener_resign(self);
      return;
    }
    if (self->poll_at_us <= now || is_wanted(self)) {
      if (!pgc_listener_poll(self))
        return;
      if (self->stream.has_nonce)
        tell(self, "connected");
    }
    if (self->settings.audit_us > 0 && self->audit_at_us <= now) {
      self->audit_at_us = now + self->settings.audit_us;
      if (!pgc_listener_audit(self))
        return;
    }
    if (!pgc_listener_attend_relay(self))
      return;
    pgc_listener_hear(self); /* also what has come beside answers: the socket tells of that no more */
    int64_t until = self->poll_at_us;
    if (self->relay.leads && self->relay.ask_at_us < until)
      until = self->relay.ask_at_us;
    if (self->settings.audit_us > 0 && self->audit_at_us < until)
      until = self->audit_at_us;
    if (!is_wanted(self))
      wait_until(self, until);
    if (self->session.broken || self->session.connection->doomed) {
      pgc_fail(&self->error, PGCACHE_UNAVAILABLE, "the near cache's connection to the server broke");
      return;
    }
  }
}

/* Tells why, and waits before the next attempt, unless somebody is in a hurry. */
static void pause_after_failure(pgc_listener *self) {
  int64_t pause_us = SETTING_PAUSE_US;
  if (self->error.status != PGCACHE_BAD_SETTING)
    pause_us = pgc_backoff_us(self->failures, BACKOFF_FIRST_US,
                              self->error.status == PGCACHE_UNAVAILABLE ? BACKOFF_REFUSED_MAX_US : BACKOFF_MAX_US,
                              pgc_random_u64());
  self->failures++;
  pgc_deadline until = pgc_monotonic_us() + pause_us;
  pthread_mutex_lock(&self->mutex);
  pgc_listener_tell_failure(self, &self->error);
  self->pausing = true;
  while (!atomic_load(&self->closed) && !self->hurry && pgc_monotonic_us() < until) {
    pthread_mutex_unlock(&self->mutex);
    wait_until(self, until);
    pthread_mutex_lock(&self->mutex);
  }
  self->pausing = self->hurry = false;
  pthread_mutex_unlock(&self->mutex);
}

/* A connection that has lasted is replaced at once, and whoever waits goes on to wait. */
static void replace_at_once(pgc_listener *self) {
  self->failures = 0;
  pthread_mutex_lock(&self->mutex);
  if (!atomic_load(&self->closed))
    self->state = self->error;
  pthread_mutex_unlock(&self->mutex);
}

void *pgc_listener_run(void *argument) {
  pgc_listener *self = argument;
  self->audit_at_us = pgc_monotonic_us() + self->settings.audit_us;
  while (!atomic_load(&self->closed)) {
    bool opened = open_connection(self);
    if (opened)
      serve(self);
    close_connection(self);
    if (atomic_load(&self->closed))
      break;
    if (opened && self->aged)
      continue; /* nothing was lost, and the proofs last until the next one */
    tell(self, self->error.status == PGCACHE_BAD_SETTING ? "off" : "lost");
    if (opened && pgc_monotonic_us() - self->opened_at_us > LASTED_US)
      replace_at_once(self);
    else
      pause_after_failure(self);
  }
  pthread_mutex_lock(&self->mutex);
  self->running = false;
  pthread_cond_broadcast(&self->told);
  pgc_listener_release_reference(self);
  return NULL;
}
