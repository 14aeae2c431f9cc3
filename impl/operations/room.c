/*
 * room.c - see room.h.
 *
 * Owns: the place where the engine of a handle is looked up: one for each process, found without a lock once there is an
 * engine. After a fork the parent's is left as it is in the child, because its lock may have been held at the fork. Must
 * never: start a thread for a handle that has no requests.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/room.h"

#include "operations/measure.h"
#include "operations/publisher.h"
#include "platform/memory.h"
#include "platform/sync.h"
#include "pure/error.h"

struct pgc_room {
  uint64_t fork_generation;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* there is an engine, or there will be none */
  pgc_engine *engine;     /* set once, under the lock; read through __atomic functions */
  pgc_copies_writes writes;
  pgc_lobby *lobby;
};

static pgc_room *room_here(pgcache *cache) {
  pgc_room *known = __atomic_load_n(&cache->room, __ATOMIC_ACQUIRE);
  return known != NULL && known->fork_generation == pgc_fork_generation() ? known : NULL;
}

static void room_free(pgc_room *self) {
  if (self->lobby != NULL)
    pgc_lobby_close(self->lobby);
  pthread_cond_destroy(&self->changed);
  pthread_mutex_destroy(&self->lock);
  pgc_free(self);
}

/* The room of this process, made by the first who needs it. NULL when out of memory. */
static pgc_room *room_of(pgcache *cache) {
  pgc_room *known = __atomic_load_n(&cache->room, __ATOMIC_ACQUIRE);
  if (known != NULL && known->fork_generation == pgc_fork_generation())
    return known;
  pgc_room *fresh = pgc_alloc_zero(sizeof *fresh);
  if (fresh == NULL)
    return NULL;
  fresh->lobby = pgc_lobby_new();
  if (fresh->lobby == NULL) {
    pgc_free(fresh);
    return NULL;
  }
  fresh->fork_generation = pgc_fork_generation();
  fresh->writes.absences = cache->settings.near_absent_ms > 0;
  pthread_mutex_init(&fresh->lock, NULL);
  pgc_cond_init(&fresh->changed);
  if (!__atomic_compare_exchange_n(&cache->room, &known, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    room_free(fresh); /* another thread was first */
    return known;
  }
  return fresh; /* the parent's room is left as it is */
}

static pgc_engine *engine_in(const pgc_room *room) {
  return room != NULL ? __atomic_load_n(&room->engine, __ATOMIC_ACQUIRE) : NULL;
}

static pgc_flights *flights_of(pgcache *cache) {
  return cache->store->flights != NULL ? cache->store->flights(cache->store) : NULL;
}

static void rouse(void *engine, const pgc_digest *digest) {
  pgc_engine_rouse(engine, digest);
}

/* Makes the engine; the room's lock is held. */
static pgcache_status make_engine(pgcache *cache, pgc_room *room, pgcache_error *error) {
  const pgc_settings *settings = &cache->settings;
  if (__atomic_load_n(&cache->closed, __ATOMIC_SEQ_CST))
    return pgc_fail(error, PGCACHE_CLOSED, "the handle was shut down");
  const pgc_engine_limits limits = {.connections = settings->async_connections < settings->pool_max
                                                       ? settings->async_connections
                                                       : settings->pool_max,
                                    .requests_max = (size_t)settings->async_requests_max,
                                    .bytes_max = (size_t)settings->async_bytes_max,
                                    .failed_reads_miss = settings->failed_reads_miss,
                                    .unguarded = !settings->guarded,
                                    .decode = pgc_decode,
                                    .decoder = &cache->encoding,
                                    .watch = {pgc_measure_completed, pgc_measure_taken, cache}};
  pgc_engine *made = NULL;
  pgc_publisher_wanted(cache);
  pgcache_status status = pgc_engine_new(&made, cache->store, &limits, error);
  pgc_flights *flights = flights_of(cache);
  if (status == PGCACHE_OK && flights != NULL)
    pgc_flights_on_rouse(flights, rouse, made);
  if (status == PGCACHE_OK) {
    __atomic_store_n(&room->engine, made, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&room->changed);
  }
  return status;
}

pgcache_status pgc_room_engine(pgcache *cache, pgc_engine **out, pgcache_error *error) {
  if (cache->borrows)
    return pgc_fail(error, PGCACHE_UNSUPPORTED,
                    "requests need connections of the library's own, and this handle works on the application's; make "
                    "a handle with pgcache_new() for them");
  pgc_room *room = room_of(cache);
  if (room == NULL)
    return pgc_fail_memory(error);
  pgcache_status status = PGCACHE_OK;
  *out = engine_in(room);
  if (*out == NULL) {
    pthread_mutex_lock(&room->lock);
    if (room->engine == NULL)
      status = make_engine(cache, room, error);
    *out = room->engine;
    pthread_mutex_unlock(&room->lock);
  }
  return status;
}

pgc_engine *pgc_room_engine_here(pgcache *cache) {
  return engine_in(room_here(cache));
}

pgc_copies_writes *pgc_room_writes(pgcache *cache) {
  pgc_room *room = room_of(cache);
  return room != NULL ? &room->writes : NULL;
}

pgc_lobby *pgc_room_lobby(pgcache *cache) {
  pgc_room *room = room_of(cache);
  return room != NULL ? room->lobby : NULL;
}

pgc_engine *pgc_room_await_engine(pgcache *cache, pgc_deadline until) {
  pgc_room *room = cache->borrows ? NULL : room_of(cache);
  if (room == NULL || engine_in(room) != NULL)
    return engine_in(room);
  pthread_mutex_lock(&room->lock);
  bool in_time = true;
  while (in_time && room->engine == NULL && !__atomic_load_n(&cache->closed, __ATOMIC_SEQ_CST))
    in_time = pgc_cond_wait_until(&room->changed, &room->lock, until);
  pgc_engine *engine = room->engine;
  pthread_mutex_unlock(&room->lock);
  return engine;
}

void pgc_room_close(pgcache *cache) {
  pgc_room *room = room_here(cache);
  if (room == NULL)
    return;
  pthread_mutex_lock(&room->lock); /* who makes the engine has seen that the handle was shut down, or is done */
  pgc_engine *engine = room->engine;
  pthread_cond_broadcast(&room->changed);
  pthread_mutex_unlock(&room->lock);
  if (engine != NULL)
    pgc_engine_shutdown(engine);
}

void pgc_room_free(pgcache *cache) {
  pgc_room *room = room_here(cache);
  if (room == NULL) {
    pgc_free(cache->room); /* none, or the parent's: its lock and its engine are left alone */
    return;
  }
  pgc_flights *flights = flights_of(cache);
  if (flights != NULL)
    pgc_flights_on_rouse(flights, NULL, NULL);
  pgc_lobby_close(room->lobby); /* what the engine frees is not abandoned by a request any more */
  room->lobby = NULL;
  if (room->engine != NULL)
    pgc_engine_free(room->engine);
  room_free(room);
}
