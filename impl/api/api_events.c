/*
 * api_events.c - exported: observers and providers.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <pthread.h>
#include <string.h>

#include "operations/call.h"
#include "platform/memory.h"
#include "pure/error.h"
#include "state/observer.h"

static pgcache_status check_handle(const pgcache *self, pgcache_error *error) {
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  return self != NULL ? PGCACHE_OK : pgc_fail(error, PGCACHE_INVALID, "the handle is NULL");
}

pgcache_status pgcache_add_provider(pgcache *self, const pgcache_provider *provider, pgcache_error *error) {
  pgcache_status status = check_handle(self, error);
  if (status != PGCACHE_OK)
    return status;
  if (provider == NULL || provider->struct_size < sizeof *provider)
    return pgc_fail(error, PGCACHE_INVALID,
                    "provider is NULL, or its struct_size is not set; use PGCACHE_PROVIDER_INIT");
  bool spans = provider->begin != NULL || provider->end != NULL;
  bool told = provider->told != NULL && (provider->what & ~PGCACHE_OBSERVE_KEYS) != 0;
  if (!spans && !told)
    return pgc_fail(error, PGCACHE_INVALID,
                    "the provider would never be called: it has neither begin nor end, and told is NULL or what names "
                    "no kind of event");
  status = pgc_audience_check(provider->what, provider->level, error);
  return status == PGCACHE_OK ? pgc_audience_add_provider(&self->audience, provider, error) : status;
}

pgcache_status pgcache_observe(pgcache *self, pgcache_observer **out, uint32_t what, pgcache_level level, size_t room,
                               pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  pgcache_status status = check_handle(self, error);
  if (status != PGCACHE_OK)
    return status;
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  if ((what & ~PGCACHE_OBSERVE_KEYS) == 0)
    return pgc_fail(error, PGCACHE_INVALID, "what names no kind of event");
  if (room < 1 || room > PGCACHE_OBSERVER_ROOM_MAX)
    return pgc_fail(error, PGCACHE_INVALID, "room is %zu; 1 to %d events are allowed", room, PGCACHE_OBSERVER_ROOM_MAX);
  status = pgc_audience_check(what, level, error);
  return status == PGCACHE_OK ? pgc_observe(&self->audience, out, what, level, room, error) : status;
}

pgcache_status pgcache_observer_next(pgcache_observer *self, pgcache_event **out, int64_t wait_ms,
                                     pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (self == NULL || out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "%s is NULL", self == NULL ? "the observer" : "out");
  if (wait_ms < 0)
    return pgc_fail(error, PGCACHE_INVALID, "wait_ms is negative");
  int cancellable; /* a thread that is cancelled while it waits would leave a lock behind */
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
  pgcache_status status = pgc_observer_next(self, out, wait_ms, error);
  pthread_setcancelstate(cancellable, NULL);
  return status;
}

int64_t pgcache_observer_dropped(const pgcache_observer *self) {
  return self != NULL ? pgc_observer_dropped(self) : 0;
}

void pgcache_observer_free(pgcache_observer *self) {
  if (self != NULL)
    pgc_observer_free(self);
}

void pgcache_event_free(pgcache_event *event) {
  pgc_free(event);
}
