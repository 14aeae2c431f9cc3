/*
 * flights.c - see flights.h. A small hash table under one mutex: whoever comes here is about to ask a server, or to wait.
 *
 * A flight that nobody takes part in is gone. One whose leader's time is over leaves the table: who waited joins another one,
 * and the late leader lands where nobody is.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/flights.h"

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#include "platform/memory.h"
#include "platform/sync.h"

#define BUCKETS 64

struct pgc_flight {
  pgc_digest digest;
  pgc_flights *home;
  pgc_flight *next; /* in its bucket, as long as it is known */
  bool known;       /* it stands in the table */
  bool led;
  uint32_t members;
  uint64_t turn;      /* grows by one with each sending, landing and rousing */
  uint64_t woken;     /* the turn of the last landing or rousing: who took an earlier one is awake */
  uint64_t sent;      /* the turn before the last sending: who took it or an earlier one will share what comes of it */
  pgc_landing landed; /* with last; one reference */
  uint64_t shared;    /* who took this turn or an earlier one shares it */
  pgc_deadline led_until;
  pthread_cond_t changed;
};

struct pgc_flights {
  pthread_mutex_t mutex; /* guards all flights */
  pgc_flight *buckets[BUCKETS];
  atomic_size_t count; /* of those that are known */
  _Atomic(void *) context;
  void (*_Atomic roused)(void *context, const pgc_digest *digest);
  atomic_int telling; /* threads that may be inside of roused() */
};

pgc_flights *pgc_flights_new(void) {
  pgc_flights *self = pgc_alloc_zero(sizeof *self);
  if (self != NULL)
    pthread_mutex_init(&self->mutex, NULL);
  return self;
}

void pgc_flights_free(pgc_flights *self) {
  if (self == NULL)
    return;
  pthread_mutex_destroy(&self->mutex);
  pgc_free(self);
}

/* ---- Telling the engine ---- */

void pgc_flights_on_rouse(pgc_flights *self, void (*roused)(void *context, const pgc_digest *digest), void *context) {
  atomic_store(&self->roused, NULL);
  while (atomic_load(&self->telling) > 0)
    sched_yield();
  atomic_store(&self->context, context);
  atomic_store(&self->roused, roused);
}

static void tell(pgc_flights *self, const pgc_digest *digest) {
  if (atomic_load(&self->roused) == NULL)
    return;
  atomic_fetch_add(&self->telling, 1);
  void (*roused)(void *, const pgc_digest *) = atomic_load(&self->roused); /* again, now that it stays */
  if (roused != NULL)
    roused(atomic_load(&self->context), digest);
  atomic_fetch_sub(&self->telling, 1);
}

/* ---- The table; with the mutex held ---- */

static pgc_flight **bucket_of(pgc_flights *self, const pgc_digest *digest) {
  return &self->buckets[digest->bytes[0] % BUCKETS];
}

static pgc_flight *find(pgc_flights *self, const pgc_digest *digest) {
  pgc_flight *flight = *bucket_of(self, digest);
  while (flight != NULL && pgc_digest_compare(&flight->digest, digest) != 0)
    flight = flight->next;
  return flight;
}

static void forget(pgc_flight *flight) {
  if (!flight->known)
    return;
  pgc_flight **link = bucket_of(flight->home, &flight->digest);
  while (*link != flight)
    link = &(*link)->next;
  *link = flight->next;
  flight->known = false;
  atomic_fetch_sub(&flight->home->count, 1);
}

static void wake(pgc_flight *flight) {
  flight->woken = ++flight->turn;
  pthread_cond_broadcast(&flight->changed);
}

/* What was landed with before; to be released without the lock. */
static pgcache_value *land(pgc_flight *flight, const pgc_landing *landed) {
  pgcache_value *before = flight->landed.value;
  flight->led = false;
  flight->led_until = PGC_NO_DEADLINE;
  flight->landed = landed != NULL ? *landed : (pgc_landing){0};
  flight->shared = flight->sent;
  wake(flight);
  return before;
}

/* The leader's time is over: nobody who comes shall wait for it. */
static bool is_overdue(const pgc_flight *flight) {
  return flight->led && flight->led_until != PGC_NO_DEADLINE && pgc_monotonic_us() >= flight->led_until;
}

static void release(pgcache_value *value) {
  if (value != NULL)
    pgc_value_release(value);
}

/* ---- Taking part ---- */

static pgc_flight *add(pgc_flights *self, const pgc_digest *digest) {
  pgc_flight *flight = pgc_alloc_zero(sizeof *flight);
  if (flight == NULL)
    return NULL;
  pgc_cond_init(&flight->changed);
  flight->digest = *digest;
  flight->home = self;
  flight->known = true;
  flight->led_until = PGC_NO_DEADLINE;
  pgc_flight **bucket = bucket_of(self, digest);
  flight->next = *bucket;
  *bucket = flight;
  atomic_fetch_add(&self->count, 1);
  return flight;
}

pgc_flight *pgc_flights_join(pgc_flights *self, const pgc_digest *digest, bool *leads) {
  pgcache_value *dropped = NULL;
  *leads = false;
  pthread_mutex_lock(&self->mutex);
  pgc_flight *flight = find(self, digest);
  if (flight != NULL && is_overdue(flight)) {
    forget(flight);
    dropped = land(flight, NULL);
    flight = NULL;
  }
  if (flight == NULL)
    flight = add(self, digest);
  if (flight != NULL) {
    flight->members++;
    *leads = !flight->led;
    flight->led = true;
  }
  pthread_mutex_unlock(&self->mutex);
  release(dropped);
  return flight;
}

void pgc_flight_leave(pgc_flights *self, pgc_flight *flight) {
  if (flight == NULL)
    return;
  pthread_mutex_lock(&self->mutex);
  bool last = --flight->members == 0;
  if (last)
    forget(flight);
  pthread_mutex_unlock(&self->mutex);
  if (!last)
    return;
  release(flight->landed.value);
  pthread_cond_destroy(&flight->changed);
  pgc_free(flight);
}

uint64_t pgc_flight_turn(pgc_flight *self) {
  pthread_mutex_lock(&self->home->mutex);
  uint64_t turn = self->turn;
  pthread_mutex_unlock(&self->home->mutex);
  return turn;
}

bool pgc_flight_wait(pgc_flight *self, uint64_t turn, pgc_deadline until, pgc_landing *landed) {
  pgcache_value *dropped = NULL;
  *landed = (pgc_landing){0};
  pthread_mutex_lock(&self->home->mutex);
  for (bool late = false; self->woken <= turn && self->led && !late;) {
    pgc_deadline soonest = self->led_until < until ? self->led_until : until;
    bool in_time = pgc_cond_wait_until(&self->changed, &self->home->mutex, soonest);
    if (self->woken <= turn && is_overdue(self)) {
      forget(self);
      dropped = land(self, NULL);
    }
    late = !in_time && pgc_monotonic_us() >= until;
  }
  bool happened = self->woken > turn || !self->led;
  if (self->woken > turn && turn <= self->shared)
    *landed = self->landed;
  if (landed->value != NULL)
    pgc_value_retain(landed->value);
  pthread_mutex_unlock(&self->home->mutex);
  release(dropped);
  return happened;
}

/* ---- Leading ---- */

bool pgc_flight_sending(pgc_flight *self) {
  pthread_mutex_lock(&self->home->mutex);
  self->sent = self->turn++;
  bool others = self->members > 1;
  pthread_mutex_unlock(&self->home->mutex);
  return others;
}

void pgc_flight_lead_until(pgc_flight *self, pgc_deadline until) {
  pthread_mutex_lock(&self->home->mutex);
  self->led_until = until;
  pthread_cond_broadcast(&self->changed); /* it may be sooner than what is waited for */
  bool waited_for = self->members > 1;
  pthread_mutex_unlock(&self->home->mutex);
  if (waited_for)
    tell(self->home, &self->digest);
}

void pgc_flight_land(pgc_flight *self, const pgc_landing *landed) {
  if (landed != NULL && landed->value != NULL)
    pgc_value_retain(landed->value);
  pthread_mutex_lock(&self->home->mutex);
  pgcache_value *before = land(self, landed);
  bool waited_for = self->members > 1;
  pthread_mutex_unlock(&self->home->mutex);
  release(before);
  if (waited_for)
    tell(self->home, &self->digest);
}

pgc_deadline pgc_flight_led_until(pgc_flight *self) {
  pthread_mutex_lock(&self->home->mutex);
  pgc_deadline until = self->led ? self->led_until : PGC_NO_DEADLINE;
  pthread_mutex_unlock(&self->home->mutex);
  return until;
}

/* ---- Rousing ---- */

void pgc_flights_rouse(pgc_flights *self, const pgc_digest *digest) {
  if (atomic_load(&self->count) == 0)
    return;
  pthread_mutex_lock(&self->mutex);
  pgc_flight *flight = find(self, digest);
  bool found = flight != NULL;
  if (found)
    wake(flight);
  pthread_mutex_unlock(&self->mutex);
  if (found) /* after the turn has changed: who looks at it now does not go to sleep again */
    tell(self, digest);
}

void pgc_flights_rouse_all(pgc_flights *self) {
  pthread_mutex_lock(&self->mutex);
  for (int i = 0; i < BUCKETS; i++) {
    for (pgc_flight *flight = self->buckets[i]; flight != NULL; flight = flight->next)
      wake(flight);
  }
  pthread_mutex_unlock(&self->mutex);
  tell(self, NULL);
}
