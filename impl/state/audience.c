/*
 * audience.c - see audience.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/audience.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"
#include "state/audience_inside.h"
#include "state/event.h"

/* This thread is in a provider's function: what it does there nobody is told of, or there would be no end to it. */
static _Thread_local bool inside;

/* ---- Coming and going ---- */

pgc_hall *pgc_audience_hall(pgc_audience *self) {
  pgc_hall *known = __atomic_load_n(&self->hall, __ATOMIC_ACQUIRE);
  if (known != NULL && known->fork_generation == pgc_fork_generation())
    return known;
  pgc_hall *fresh = pgc_alloc_zero(sizeof *fresh);
  if (fresh == NULL)
    return NULL;
  fresh->fork_generation = pgc_fork_generation();
  pthread_mutex_init(&fresh->lock, NULL);
  if (__atomic_compare_exchange_n(&self->hall, &known, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return fresh; /* the parent's is left as it is */
  pthread_mutex_destroy(&fresh->lock);
  pgc_free(fresh); /* another thread was first */
  return known;
}

/* What somebody's wish means for operations. spans: he has begin() or end(). */
static uint32_t reckon_one(const pgc_audience *self, uint32_t what, pgcache_level level, bool spans) {
  uint32_t wants = what;
  if (spans || (what & PGCACHE_OBSERVE_OPERATIONS) != 0)
    wants |= PGC_ATTENDS_ALL;
  bool log = (what & PGCACHE_OBSERVE_LOG) != 0 && level <= PGCACHE_LEVEL_WARNING;
  if (self->slow_ms > 0 && (log || (what & PGCACHE_OBSERVE_SLOW) != 0))
    wants |= PGC_ATTENDS_SLOW;
  return wants;
}

void pgc_audience_reckon(pgc_audience *self) {
  uint32_t providers = 0, observers = 0;
  for (int i = 0; i < PGC_SEATS; i++) {
    const pgcache_provider *provider = self->providers[i];
    if (provider != NULL)
      providers |= reckon_one(self, provider->what, provider->level, provider->begin != NULL || provider->end != NULL);
    uint32_t what;
    pgcache_level level;
    if (self->observers[i] != NULL) {
      pgc_observer_wants(self->observers[i], &what, &level);
      observers |= reckon_one(self, what, level, false);
    }
  }
  __atomic_store_n(&self->observers_want, observers, __ATOMIC_RELAXED);
  __atomic_store_n(&self->wants, providers | observers, __ATOMIC_RELAXED);
}

pgcache_status pgc_audience_admit(const pgc_audience *self, pgcache_error *error) {
  int count = 0;
  for (int i = 0; i < PGC_SEATS; i++)
    count += (self->providers[i] != NULL) + (self->observers[i] != NULL);
  if (__atomic_load_n(&self->closed, __ATOMIC_SEQ_CST))
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  if (count >= PGC_SEATS)
    return pgc_fail(error, PGCACHE_QUEUE_FULL, "a handle has at most %d providers and observers", PGC_SEATS);
  return PGCACHE_OK;
}

pgcache_status pgc_audience_check(uint32_t what, pgcache_level level, pgcache_error *error) {
  const uint32_t known = PGCACHE_OBSERVE_OPERATIONS | PGCACHE_OBSERVE_SLOW | PGCACHE_OBSERVE_STATES |
                         PGCACHE_OBSERVE_LOG | PGCACHE_OBSERVE_KEYS;
  if ((what & ~known) != 0)
    return pgc_fail(error, PGCACHE_INVALID, "what has unknown flags; PGCACHE_OBSERVE_ flags are known");
  if (level < PGCACHE_LEVEL_DEBUG || level > PGCACHE_LEVEL_ERROR)
    return pgc_fail(error, PGCACHE_INVALID, "unknown level");
  return PGCACHE_OK;
}

pgcache_status pgc_audience_add_provider(pgc_audience *self, const pgcache_provider *provider, pgcache_error *error) {
  pgc_hall *hall = pgc_audience_hall(self);
  pgcache_provider *copy = hall != NULL ? pgc_alloc(sizeof *copy) : NULL;
  if (copy == NULL)
    return pgc_fail_memory(error);
  *copy = *provider;
  if (copy->told == NULL)
    copy->what &= PGCACHE_OBSERVE_KEYS;
  pthread_mutex_lock(&hall->lock);
  pgcache_status status = pgc_audience_admit(self, error);
  if (status == PGCACHE_OK) {
    int seat = 0;
    while (self->providers[seat] != NULL)
      seat++;
    __atomic_store_n(&self->providers[seat], copy, __ATOMIC_RELEASE);
    pgc_audience_reckon(self);
  }
  pthread_mutex_unlock(&hall->lock);
  if (status != PGCACHE_OK)
    pgc_free(copy);
  return status;
}

void pgc_audience_open(pgc_audience *self, int64_t slow_ms, bool log_keys) {
  self->slow_ms = slow_ms;
  self->log_keys = log_keys;
}

void pgc_audience_close(pgc_audience *self) {
  __atomic_store_n(&self->closed, true, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&self->hall, __ATOMIC_ACQUIRE) != NULL)
    pgc_observers_wake(self);
}

void pgc_audience_leave(pgc_audience *self) {
  const pgc_hall *hall = self->hall;
  if (hall == NULL || hall->fork_generation != pgc_fork_generation())
    return;
  while (__atomic_load_n(&hall->telling, __ATOMIC_SEQ_CST) > 0)
    usleep(1000);
}

void pgc_audience_free(pgc_audience *self) {
  pgc_hall *hall = self->hall;
  for (int i = 0; i < PGC_SEATS && self->providers[i] != NULL; i++) {
    if (self->providers[i]->release != NULL)
      self->providers[i]->release(self->providers[i]->context);
    pgc_free(self->providers[i]);
  }
  if (hall != NULL && hall->fork_generation == pgc_fork_generation())
    pthread_mutex_destroy(&hall->lock);
  pgc_free(hall);
}

/* ---- Telling ---- */

/* Where the thread was before it began to tell. One that is cancelled in there would leave the call half done. */
typedef struct place {
  bool inside;
  int cancellable;
} place;

static place enter(void) {
  place before = {.inside = inside};
  inside = true;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before.cancellable);
  return before;
}

static void leave(place before) {
  pthread_setcancelstate(before.cancellable, NULL);
  inside = before.inside;
}

static const pgcache_provider *provider_in(const pgc_audience *self, int seat) {
  return __atomic_load_n(&self->providers[seat], __ATOMIC_ACQUIRE);
}

/* The event that a provider is given: `whole`, or `bare` without the key. */
static const pgcache_event *for_provider(const pgcache_provider *provider, const pgcache_event *whole,
                                         const pgcache_event *bare) {
  return (provider->what & PGCACHE_OBSERVE_KEYS) != 0 ? whole : bare;
}

static pgcache_event without_key(const pgcache_event *event) {
  pgcache_event bare = *event;
  bare.key = NULL;
  bare.key_len = 0;
  return bare;
}

static void tell_providers(const pgc_audience *self, const pgcache_event *event) {
  const pgcache_event bare = without_key(event);
  const pgcache_provider *provider;
  for (int i = 0; i < PGC_SEATS && (provider = provider_in(self, i)) != NULL; i++) {
    if (pgc_event_is_wanted(event, provider->what, provider->level))
      provider->told(provider->context, for_provider(provider, event, &bare));
  }
}

static void tell_observers(pgc_audience *self, const pgcache_event *event) {
  if ((__atomic_load_n(&self->observers_want, __ATOMIC_RELAXED) & pgc_event_flag(event)) != 0)
    pgc_observers_tell(self, event);
}

/* Tells everybody who wants it; between enter() and leave(). */
static void tell(pgc_audience *self, const pgcache_event *event) {
  tell_providers(self, event);
  tell_observers(self, event);
}

static bool wants(const pgc_audience *self, uint32_t flags) {
  return (__atomic_load_n(&self->wants, __ATOMIC_RELAXED) & flags) != 0;
}

/* ---- Operations ---- */

void pgc_audience_begin(pgc_audience *self, pgc_attendance *out, const pgcache_event *event) {
  *out = (pgc_attendance){.noticed = false};
  if (inside)
    return;
  place before = enter();
  out->noticed = true;
  out->began_us = pgc_wall_us();
  pgcache_event whole = pgc_event_complete(event, PGCACHE_EVENT_OPERATION, PGCACHE_LEVEL_DEBUG, out->began_us);
  whole.bytes = -1;
  const pgcache_event bare = without_key(&whole);
  pgc_probe_operation_begin(&whole);
  const pgcache_provider *provider;
  for (int i = 0; i < PGC_SEATS && (provider = provider_in(self, i)) != NULL; i++) {
    out->seats |= (uint8_t)(1u << i);
    if (provider->begin != NULL)
      out->begun[i] = provider->begin(provider->context, for_provider(provider, &whole, &bare));
  }
  leave(before);
}

static void tell_slow(pgc_audience *self, const pgcache_event *operation) {
  pgcache_event event = *operation;
  event.kind = PGCACHE_EVENT_SLOW;
  event.level = PGCACHE_LEVEL_WARNING;
  tell(self, &event);
  if (!wants(self, PGCACHE_OBSERVE_LOG))
    return;
  char words[PGC_SLOW_WORDS_MAX];
  pgc_event_slow_words(words, operation, self->log_keys);
  event.kind = PGCACHE_EVENT_LOG;
  event.message = words;
  tell(self, &event);
}

void pgc_audience_end(pgc_audience *self, const pgc_attendance *begun, const pgcache_event *event) {
  if (!begun->noticed)
    return;
  place before = enter(); /* perhaps once more: a completion may be taken in there */
  pgcache_level level = event->status < 0 ? PGCACHE_LEVEL_ERROR : PGCACHE_LEVEL_DEBUG;
  const pgcache_event whole = pgc_event_complete(event, PGCACHE_EVENT_OPERATION, level, begun->began_us);
  const pgcache_event bare = without_key(&whole);
  pgc_probe_operation_end(&whole);
  for (int i = 0; i < PGC_SEATS; i++) {
    const pgcache_provider *provider = (begun->seats & 1u << i) != 0 ? provider_in(self, i) : NULL;
    if (provider != NULL && provider->end != NULL)
      provider->end(provider->context, begun->begun[i], for_provider(provider, &whole, &bare));
  }
  if (wants(self, PGCACHE_OBSERVE_OPERATIONS))
    tell(self, &whole);
  if (wants(self, PGC_ATTENDS_SLOW) && whole.duration_ns / 1000000 >= self->slow_ms)
    tell_slow(self, &whole);
  leave(before);
}

/* ---- Requests ---- */

struct pgc_attended {
  pgc_attendance attendance;
  pgcache_event event; /* its texts and key are in `bytes` */
  char bytes[];
};

static const char *keep(char **to, const void *bytes, size_t size) {
  char *kept = *to;
  if (size > 0)
    memcpy(kept, bytes, size);
  kept[size] = '\0';
  *to += size + 1;
  return kept;
}

pgc_attended *pgc_audience_begin_request(pgc_audience *self, const pgcache_event *event) {
  if (inside)
    return NULL;
  const pgcache_event given = pgc_event_complete(event, PGCACHE_EVENT_OPERATION, PGCACHE_LEVEL_DEBUG, 0);
  bool keyed = given.key != NULL && (self->log_keys || wants(self, PGCACHE_OBSERVE_KEYS));
  size_t namespace_size = strlen(given.namespace_name), span_size = strlen(given.span_name);
  size_t key_size = keyed ? given.key_len : 0;
  pgc_attended *kept = pgc_alloc(sizeof *kept + namespace_size + span_size + key_size + 3);
  if (kept == NULL)
    return NULL;
  char *to = kept->bytes;
  kept->event = given; /* names of operations have static storage */
  kept->event.namespace_name = keep(&to, given.namespace_name, namespace_size);
  kept->event.span_name = keep(&to, given.span_name, span_size);
  kept->event.key = keyed ? keep(&to, given.key, key_size) : NULL;
  kept->event.key_len = key_size;
  pgc_audience_begin(self, &kept->attendance, &kept->event);
  return kept;
}

void pgc_audience_end_request(pgc_audience *self, pgc_attended *begun, const pgcache_event *event) {
  pgcache_event whole = *event;
  whole.operation = begun->event.operation;
  whole.namespace_name = begun->event.namespace_name;
  whole.span_name = begun->event.span_name;
  whole.key = begun->event.key;
  whole.key_len = begun->event.key_len;
  whole.key_count = begun->event.key_count;
  pgc_audience_end(self, &begun->attendance, &whole);
  pgc_free(begun);
}

/* ---- States and logs ---- */

/* Who frees the handle either sees that somebody is telling, or is seen to have shut it down. NULL: nobody is to be told. */
static pgc_hall *step_in(pgc_audience *self) {
  pgc_hall *hall = pgc_audience_hall(self);
  if (hall == NULL)
    return NULL;
  __atomic_fetch_add(&hall->telling, 1, __ATOMIC_SEQ_CST);
  if (!__atomic_load_n(&self->closed, __ATOMIC_SEQ_CST))
    return hall;
  __atomic_fetch_sub(&hall->telling, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

static void step_out(pgc_hall *hall) {
  __atomic_fetch_sub(&hall->telling, 1, __ATOMIC_SEQ_CST);
}

/* What came of a call inside of a provider's function is true all the same: observers are told of it, they call nothing. */
static void tell_outside(pgc_audience *self, const pgcache_event *event) {
  pgc_hall *hall = step_in(self);
  if (hall == NULL)
    return;
  bool nested = inside;
  place before = enter();
  if (!nested)
    tell_providers(self, event);
  tell_observers(self, event);
  leave(before);
  step_out(hall);
}

void pgc_audience_state(pgc_audience *self, const char *what, const char *state, pgcache_level level, int64_t number,
                        const pgcache_error *error, const char *words) {
  pgc_probe_state(what, state);
  if (self == NULL || !wants(self, PGCACHE_OBSERVE_STATES | PGCACHE_OBSERVE_LOG))
    return;
  pgcache_event event = {.operation = what, .outcome = state, .bytes = -1, .number = number, .message = words};
  if (error != NULL) {
    event.status = error->status;
    event.sqlstate = error->sqlstate;
  }
  event = pgc_event_complete(&event, PGCACHE_EVENT_STATE, level, pgc_wall_us());
  tell_outside(self, &event);
  event.kind = PGCACHE_EVENT_LOG;
  if (event.message[0] != '\0')
    tell_outside(self, &event);
}

void pgc_audience_log(pgc_audience *self, pgcache_level level, const char *operation, const char *format, ...) {
  char words[PGC_SLOW_WORDS_MAX];
  if (self == NULL || !wants(self, PGCACHE_OBSERVE_LOG))
    return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  pgcache_event event = {.operation = operation, .bytes = -1, .message = words};
  event = pgc_event_complete(&event, PGCACHE_EVENT_LOG, level, pgc_wall_us());
  tell_outside(self, &event);
}
