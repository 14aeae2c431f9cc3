/*
 * listener_relay.c - one listener of all processes is the relay: it polls every few milliseconds and sends what it finds as
 * notifications. Who it is says a row of the database, a lease of half a second. Two at a time, or one that was stopped and goes on,
 * do no harm: who hears the messages compares positions.
 *
 * Must never: hold a transaction open, or send while the server's queue of notifications fills up: everybody polls anyway.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "pure/codec.h"
#include "pure/error.h"
#include "store/listener_inside.h"

/* Others see it end with their next poll, and those are as far apart with the default bound. */
#define LEASE_MS 500
#define RENEW_US 100000
/* After another one has the lease, or when the role may not take it. */
#define ASK_AGAIN_US 100000
#define REFUSED_AGAIN_US 1000000
#define TRIM_US 5000000

/* How often the relay polls: while there are changes, and how its pace falls off when there are none any more. */
#define PACE_BUSY_US 5000
#define PACE_IDLE_US 10000
#define PACE_QUIET_US 25000
#define LATELY_US 100000
#define QUIET_US 3000000
/* The server works at most this part of the time for the relay. */
#define ROUND_SHARE 3

/* What is more at once is read from the table. */
#define PUBLISH_MAX (1u << 20)
#define PARTS_MAX 512
/* To let another one lead, at the end. */
#define RESIGN_MS 100

int64_t pgc_listener_pace_us(const pgc_listener *self) {
  int64_t since = self->polled_at_us - self->relay.active_us;
  int64_t pace = since < LATELY_US ? PACE_BUSY_US : since < QUIET_US ? PACE_IDLE_US : PACE_QUIET_US;
  if (pace < self->relay.round_us * ROUND_SHARE)
    pace = self->relay.round_us * ROUND_SHARE;
  return pace < self->settings.staleness_us / 4 ? pace : self->settings.staleness_us / 4;
}

/* Whether we lead from now on. False: the connection is of no more use. */
static bool take_lease(pgc_listener *self, int32_t lease_ms) {
  pgc_relay *relay = &self->relay;
  pgc_parameters parameters = {0};
  PGresult *result;
  bool leads = false;
  int64_t now = pgc_monotonic_us();
  pgc_parameters_add_bytes(&parameters, relay->holder, sizeof relay->holder);
  pgc_parameters_add_int4(&parameters, lease_ms);
  pgcache_status status = pgc_listener_ask(self, PGC_STATEMENT_LEAD_RELAY, &parameters, &result);
  if (status == PGCACHE_OK && PQntuples(result) == 1)
    status = pgc_session_bool(&self->session, result, 0, 0, &leads);
  PQclear(result);
  if (leads && !relay->leads) {
    relay->published = self->stream.cursor.position;
    relay->active_us = now;
    relay->round_us = 0;
    relay->trim_at_us = now;
    self->poll_at_us = now;
  }
  relay->leads = leads;
  relay->free = false; /* until a poll says so again */
  relay->ask_at_us = now + (leads ? RENEW_US : status == PGCACHE_OK ? ASK_AGAIN_US : REFUSED_AGAIN_US);
  atomic_store(&self->leads, leads);
  return !self->session.broken;
}

static bool trim(pgc_listener *self) {
  pgc_parameters none = {0};
  PGresult *result;
  self->relay.trim_at_us = pgc_monotonic_us() + TRIM_US;
  (void)pgc_listener_ask(self, PGC_STATEMENT_TRIM_CHANGES, &none, &result); /* if it fails, later */
  PQclear(result);
  return !self->session.broken;
}

bool pgc_listener_attend_relay(pgc_listener *self) {
  pgc_relay *relay = &self->relay;
  int64_t now = pgc_monotonic_us();
  pgc_listener_set_deadline(self);
  bool good = true;
  if (now >= relay->ask_at_us && (relay->leads || (relay->free && self->stream.cursor.text[0] != '\0')))
    good = take_lease(self, LEASE_MS);
  if (good && relay->leads && now >= relay->trim_at_us)
    good = trim(self);
  return good;
}

void pgc_listener_resign(pgc_listener *self) {
  self->session.deadline = pgc_deadline_in(RESIGN_MS);
  if (self->relay.leads)
    (void)take_lease(self, 0);
}

/* Each payload is an element of a text[]. */
static void append_payloads(pgc_buffer *out, const pgc_buffer *payloads, uint32_t parts) {
  const char *payload = (const char *)payloads->data;
  pgc_encode_array_header(out, PGC_OID_TEXT, parts);
  for (uint32_t i = 0; i < parts; i++) {
    size_t size = strlen(payload);
    pgc_buffer_append_u32(out, (uint32_t)size);
    pgc_buffer_append(out, payload, size);
    payload += size + 1;
  }
}

static bool send_payloads(pgc_listener *self, const pgc_buffer *payloads, uint32_t parts) {
  pgc_buffer array = PGC_BUFFER_INIT;
  append_payloads(&array, payloads, parts);
  if (!array.failed) {
    pgc_parameters parameters = {0};
    PGresult *result;
    pgc_parameters_add_text(&parameters, self->channel);
    pgc_parameters_add_bytes(&parameters, array.data, array.size);
    /* If it fails, those who listen find the gap in the next message. */
    (void)pgc_listener_ask(self, PGC_STATEMENT_PUBLISH, &parameters, &result);
    PQclear(result);
  }
  pgc_buffer_clear(&array);
  return array.failed || !self->session.broken;
}

bool pgc_listener_publish(pgc_listener *self, const pgc_snapshot *to, const unsigned char *frames, size_t size) {
  pgc_relay *relay = &self->relay;
  bool good = true;
  if (to == NULL || size == 0)
    return true;
#ifdef PGC_PLANT_DROPPED_NOTIFY
  if (++relay->dropped % 10 == 0) {
    relay->published = to->position;
    return true;
  }
#endif
  pgc_buffer payloads = PGC_BUFFER_INIT;
  uint32_t parts;
  if (!relay->busy && size <= PUBLISH_MAX && self->channel[0] != '\0' &&
      pgc_messages_write(&payloads, &parts, self->stream.nonce, relay->published, to, frames, size, PARTS_MAX))
    good = send_payloads(self, &payloads, parts);
  pgc_buffer_clear(&payloads);
  relay->published = to->position; /* sent or not: the next message begins here */
  return good;
}
