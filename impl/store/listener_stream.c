/*
 * listener_stream.c - what polls and notifications say, and what follows for the near cache and for loads.
 *
 * A poll reads the table of changes from the cursor on. It alone proves: when it has been applied, all that was acknowledged
 * before it was sent is. Notifications only make things known earlier; they can be lost, come twice, or come from anybody.
 * Where a poll cannot tell what was missed, everything is forgotten.
 * Who can send a message that passes for the relay's can poll, and so could write any entry that others see: then what a
 * message has told need not be read again, and it moves the cursor. Unless there are roles that are kept to namespaces: then
 * polls alone move it.
 *
 * Must never: prove before the changes are applied, or with the time at which an answer came.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pgc_sql.h"
#include "pure/error.h"
#include "pure/sql_text.h"
#include "store/listener_inside.h"

/* Whatever arrives, a poll that was not due is made no sooner after the last one. */
#define PROVOKED_US 5000

/* More than the relay sends at once: who sends more is not the relay. */
#define CHAIN_MAX (2u << 20)

static void apply_change(void *context, const pgc_change *change) {
  pgc_listener *self = context;
  switch (change->kind) {
  case PGC_CHANGE_ENTRIES:
    pgc_near_changed(self->near, &change->digest, change->version);
    break;
  case PGC_CHANGE_INVALIDATED:
    pgc_near_invalidated(self->near, &change->digest);
    break;
  case PGC_CHANGE_EVERYTHING:
    pgc_near_flush(self->near, PGC_NEAR_FLUSH_STREAM);
    pgc_flights_rouse_all(self->settings.flights);
    return;
  case PGC_CHANGE_RELEASED:
    break;
  }
  pgc_flights_rouse(self->settings.flights, &change->digest);
}

static void flush(pgc_listener *self, pgc_near_flush_reason reason) {
#ifdef PGC_PLANT_NO_FLUSH
  if (reason != PGC_NEAR_FLUSH_START)
    return;
#endif
#ifdef PGC_PLANT_NO_RECONNECT_FLUSH
  if (reason == PGC_NEAR_FLUSH_START && self->stream.has_nonce) /* it had a place in the stream before */
    return;
#endif
  pgc_near_flush(self->near, reason);
  pgc_flights_rouse_all(self->settings.flights); /* whoever waits may have missed it */
}

/* Something was missed: the table has it. */
static void note_gap(pgc_listener *self) {
  self->chain.next = 0;
  if (self->behind)
    return;
  pgc_count(&self->counters->near_gaps);
  self->behind = true;
  if (self->poll_at_us > self->polled_at_us + PROVOKED_US)
    self->poll_at_us = self->polled_at_us + PROVOKED_US;
}

/* ---- Polls ---- */

/* What a poll gives, as it stands in the result. */
typedef struct answer {
  pgc_snapshot snapshot;
  bool too_long; /* it has more transactions in progress than a cursor takes */
  const unsigned char *nonce;
  int64_t floor;
  const char *channel;
  const unsigned char *frames; /* NULL: too many */
  size_t size;
  bool restricted;
  int32_t epoch;
} answer;

static bool is_channel(const char *name, size_t size) {
  return size > 0 && size <= PGC_LISTENER_CHANNEL_MAX && strlen(name) == size &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

/* The answer to a poll, with nothing believed that could not be so. */
static bool read_answer(pgc_listener *self, const PGresult *result, answer *out) {
  pgc_session *session = &self->session;
  size_t size = (size_t)PQgetlength(result, 0, PGC_POLL_SNAPSHOT);
  out->too_long = size > PGC_SNAPSHOT_TEXT_MAX;
  out->nonce = (const unsigned char *)PQgetvalue(result, 0, PGC_POLL_NONCE);
  out->channel = PQgetvalue(result, 0, PGC_POLL_CHANNEL);
  out->frames =
      PQgetisnull(result, 0, PGC_POLL_FRAMES) ? NULL : (const unsigned char *)PQgetvalue(result, 0, PGC_POLL_FRAMES);
  out->size = (size_t)PQgetlength(result, 0, PGC_POLL_FRAMES);
  if (pgc_session_int8(session, result, 0, PGC_POLL_FLOOR, &out->floor) == PGCACHE_OK &&
      pgc_session_bool(session, result, 0, PGC_POLL_RELAY_FREE, &self->relay.free) == PGCACHE_OK &&
      pgc_session_bool(session, result, 0, PGC_POLL_BUSY, &self->relay.busy) == PGCACHE_OK &&
      pgc_session_bool(session, result, 0, PGC_POLL_RESTRICTED, &out->restricted) == PGCACHE_OK &&
      pgc_session_int4(session, result, 0, PGC_POLL_EPOCH, &out->epoch) == PGCACHE_OK && PQntuples(result) == 1 &&
      PQgetlength(result, 0, PGC_POLL_NONCE) == PGC_NONCE_SIZE &&
      is_channel(out->channel, (size_t)PQgetlength(result, 0, PGC_POLL_CHANNEL)) &&
      (out->too_long || pgc_snapshot_parse(&out->snapshot, PQgetvalue(result, 0, PGC_POLL_SNAPSHOT), size)))
    return true;
  session->broken = true;
  pgc_fail(session->error, PGCACHE_SCHEMA_CHANGED,
           "the server's answer has another shape than expected; schema %s was changed by hand", session->schema);
  return false;
}

/* The unlogged tables were emptied: nothing that is held is worth anything, and without the marker there is no stream. Who
   writes makes a new epoch; where nobody does, we do. */
static bool make_epoch(pgc_listener *self) {
  pgc_stream *stream = &self->stream;
  if (stream->has_nonce)
    flush(self, PGC_NEAR_FLUSH_EPOCH);
  stream->has_nonce = false;
  stream->cursor.text[0] = '\0';
  self->poll_at_us = self->polled_at_us + self->settings.staleness_us / 4; /* if that is in vain */
  pgc_parameters none = {0};
  PGresult *result;
  pgcache_status status = pgc_listener_ask(self, PGC_STATEMENT_NEW_EPOCH, &none, &result);
  PQclear(result);
  if (status == PGCACHE_OK) {
    self->poll_at_us = self->polled_at_us + PROVOKED_US;
    return true;
  }
  pgc_listener_note_failure(self);
  return !self->session.broken;
}

/* Why what a poll gives does not continue what we have; PGC_NEAR_FLUSH_REASONS: it does. asked: the poll was for what came
   behind the cursor. */
static pgc_near_flush_reason find_reason(const pgc_stream *stream, const answer *got, bool asked) {
  if (stream->has_nonce && memcmp(stream->nonce, got->nonce, PGC_NONCE_SIZE) != 0)
    return PGC_NEAR_FLUSH_EPOCH;
  if (!asked)
    return PGC_NEAR_FLUSH_START;
  if (stream->cursor.position < got->floor || got->frames == NULL || (got->restricted && !stream->restricted) ||
      (!got->too_long && got->snapshot.position < stream->cursor.position))
    return PGC_NEAR_FLUSH_GAP;
  return PGC_NEAR_FLUSH_REASONS;
}

/* Applies the changes of a poll, or forgets everything; then the cursor is where the poll looked. Whether they were applied. */
static bool apply_answer(pgc_listener *self, const answer *got, bool asked) {
  pgc_stream *stream = &self->stream;
  pgc_near_flush_reason reason = find_reason(stream, got, asked);
#ifdef PGC_PLANT_DROPPED_NOTIFY
  if (reason == PGC_NEAR_FLUSH_REASONS && !self->relay.leads && self->wanted < self->sent)
    return true; /* for no fence: what was read is left to the messages, and so is the cursor */
#endif
  if (reason == PGC_NEAR_FLUSH_REASONS && !pgc_changes_apply(got->frames, got->size, apply_change, self))
    reason = PGC_NEAR_FLUSH_GAP;
  if (reason != PGC_NEAR_FLUSH_REASONS) {
    flush(self, reason);
    stream->cursor.text[0] = '\0';
  }
  memcpy(stream->nonce, got->nonce, PGC_NONCE_SIZE);
  stream->has_nonce = true;
  stream->restricted = got->restricted;
  if (!got->too_long) { /* else what follows is read again, or forgotten again */
    stream->cursor = got->snapshot;
    stream->heard = stream->cursor.position; /* a message that said more was not the relay's */
  }
  if (reason != PGC_NEAR_FLUSH_REASONS)
    self->relay.published = stream->cursor.position; /* what is missing here is missing in what we send */
  return reason == PGC_NEAR_FLUSH_REASONS;
}

/* And on no other any more: the schema was made anew, perhaps. What is sent on the channel before this is committed is in the
   next poll, which is made at once. */
static bool listen_on(pgc_listener *self, const char *channel) {
  pgc_buffer sql = PGC_BUFFER_INIT;
  pgc_sql_resolve_channel(&sql, pgc_sql_statements_listen, channel);
  pgc_buffer_append(&sql, "", 1);
  self->session.broken = false;
  pgcache_status status =
      sql.failed ? pgc_fail_memory(&self->error) : pgc_session_run(&self->session, (const char *)sql.data, NULL);
  pgc_buffer_clear(&sql);
  if (status != PGCACHE_OK)
    return false;
  snprintf(self->channel, sizeof self->channel, "%s", channel);
  self->poll_at_us = self->polled_at_us;
  return true;
}

static void note_success(pgc_listener *self, uint64_t number) {
  pgc_count(&self->counters->near_polls);
  pthread_mutex_lock(&self->mutex);
  self->done = number;
  self->state.status = atomic_load(&self->closed) ? PGCACHE_CLOSED : PGCACHE_OK;
  pthread_cond_broadcast(&self->told);
  pthread_mutex_unlock(&self->mutex);
}

static bool take_answer(pgc_listener *self, const PGresult *result, bool asked, int64_t sent_us, uint64_t number) {
  pgc_stream *stream = &self->stream;
  answer got;
  if (!read_answer(self, result, &got) || !pgc_listener_is_in_place(self, got.nonce, got.channel))
    return false;
  bool new_changes = apply_answer(self, &got, asked) && got.size > 0;
  stream->proven_us = sent_us;
  if (stream->was_left)
    pgc_near_adopt_epoch(self->near, got.epoch);
  stream->was_left = !pgc_near_prove(self->near, sent_us, got.epoch);
  if (stream->was_left) {
    self->placed = false; /* with listen_url the store is asked again */
    pgc_fail(&self->error, PGCACHE_UNAVAILABLE,
             "the server whose changes are heard is not the one that the store is on: it is of epoch %d, and later "
             "ones were seen; a new connection is made",
             (int)got.epoch);
    return false;
  }
  note_success(self, number);
  self->poll_at_us = self->polled_at_us + self->settings.staleness_us / 4;
  bool good = true;
  if (self->relay.leads) {
    if (new_changes)
      self->relay.active_us = self->polled_at_us;
    good = pgc_listener_publish(self, got.too_long ? NULL : &got.snapshot, got.frames, new_changes ? got.size : 0);
    self->relay.round_us = pgc_monotonic_us() - self->polled_at_us;
    self->poll_at_us = self->polled_at_us + pgc_listener_pace_us(self);
  }
  if (good && strcmp(got.channel, self->channel) != 0)
    good = listen_on(self, got.channel);
  return good;
}

bool pgc_listener_poll(pgc_listener *self) {
  pgc_stream *stream = &self->stream;
  pgc_listener_set_deadline(self);
  pthread_mutex_lock(&self->mutex);
  uint64_t number = ++self->sent;
  pthread_mutex_unlock(&self->mutex);
  self->behind = false;
  self->polled_at_us = pgc_monotonic_us();
  int64_t sent_us = pgc_now_us();
  bool asked = stream->cursor.text[0] != '\0' && sent_us - stream->proven_us <= self->settings.staleness_us;
  const char *cursor = asked ? stream->cursor.text : "";
#ifdef PGC_PLANT_NAIVE_CURSOR
  char naive[48];
  snprintf(naive, sizeof naive, "%" PRIu64 ":%" PRIu64 ":", stream->cursor.xmax, stream->cursor.xmax);
  if (asked)
    cursor = naive;
#endif
  pgc_parameters parameters = {0};
  PGresult *result;
  pgc_parameters_add_text(&parameters, cursor);
  bool good = pgc_listener_ask(self, PGC_STATEMENT_POLL_CHANGES, &parameters, &result) == PGCACHE_OK;
  if (good)
    good = PQntuples(result) == 0 ? make_epoch(self) : take_answer(self, result, asked, sent_us, number);
  PQclear(result);
  if (good)
    pgc_listener_hear(self);
  return good;
}

/* ---- Notifications ---- */

void pgc_listener_forget_parts(pgc_listener *self) {
  self->channel[0] = '\0';
  self->behind = false;
  self->chain.next = 0;
  pgc_buffer_clear(&self->chain.frames);
}

/* All parts are there: what the relay has read from `from` on. Unless a poll was faster, or another relay. */
static void apply_chain(pgc_listener *self, const pgc_snapshot *to) {
  pgc_stream *stream = &self->stream;
  pgc_chain *chain = &self->chain;
  if (to->position > stream->heard) {
    if (!pgc_changes_apply(chain->frames.data, chain->frames.size, apply_change, self)) {
      pgc_count(&self->counters->near_messages_refused);
    } else {
      stream->heard = to->position;
      if (!stream->restricted) {
        stream->cursor = *to;
        self->relay.published = to->position; /* our next poll begins here, and so does what we send of it */
      }
    }
  }
  chain->next = 0;
  pgc_buffer_clear(&chain->frames);
}

static void take_part(pgc_listener *self, const pgc_message *message) {
  pgc_chain *chain = &self->chain;
#ifdef PGC_PLANT_DROPPED_NOTIFY
  if (message->part == 1 && message->from > self->stream.heard)
    self->stream.heard = message->from; /* what is missing in between is forgotten */
#endif
  if (message->part == 1 && message->from <= self->stream.heard) {
    pgc_buffer_clear(&chain->frames);
    *chain = (pgc_chain){.from = message->from, .next = 1, .parts = message->parts, .frames = PGC_BUFFER_INIT};
  }
  if (chain->next != message->part || chain->from != message->from || chain->parts != message->parts) {
    note_gap(self);
    return;
  }
  pgc_buffer_append(&chain->frames, message->frames.data, message->frames.size);
  chain->next++;
  if (chain->frames.failed || chain->frames.size > CHAIN_MAX) {
    pgc_buffer_clear(&chain->frames);
    note_gap(self);
  } else if (message->part == message->parts) {
    apply_chain(self, &message->to);
  }
}

static void hear_one(pgc_listener *self, const PGnotify *said) {
  pgc_stream *stream = &self->stream;
  if (said->be_pid == PQbackendPID(self->session.connection->pg))
    return; /* our own, as the relay: what it says was read by our poll */
  pgc_message message;
  if (strcmp(said->relname, self->channel) != 0 || !pgc_message_parse(&message, said->extra, strlen(said->extra))) {
    pgc_count(&self->counters->near_messages_refused);
    return;
  }
  if (stream->cursor.text[0] == '\0') {
    /* Nothing that could be behind: the next poll begins anew. */
  } else if (memcmp(message.nonce, stream->nonce, PGC_NONCE_SIZE) != 0) {
    pgc_count(&self->counters->near_messages_refused);
    note_gap(self);
  } else {
    pgc_count(&self->counters->near_messages);
    take_part(self, &message);
  }
  pgc_buffer_clear(&message.frames);
}

void pgc_listener_hear(pgc_listener *self) {
  PGnotify *said;
  while ((said = PQnotifies(self->session.connection->pg)) != NULL) {
    hear_one(self, said);
    PQfreemem(said);
  }
}
