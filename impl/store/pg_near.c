/*
 * pg_near.c - the near cache of a process beside its store: makes it together with the listener that keeps it true, and
 * takes both away. A handle that cannot have it for want of memory works without.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "platform/sync.h"
#include "pure/address.h"
#include "pure/error.h"
#include "store/pg_inside.h"

static pgc_near *near_new(const pgc_settings *settings) {
  pgc_near *made = pgc_near_new(settings->near_max_bytes, settings->near_max_entries,
                                settings->near_staleness_ms * 1000, settings->near_absent_ms * 1000);
  if (made != NULL)
    pgc_near_set_home(made, settings->namespace_name);
  return made;
}

/* Where to listen: at an address of its own, or where the store is. Our own sessions, whatever the store's are: on others
   nothing would be heard. */
static pgcache_status make_plan(pgc_connect_plan *plan, const char *conninfo, const char *local_dir,
                                const pgc_settings *settings, pgcache_error *error) {
  pgc_address own = {0};
  if (settings->listen_url[0] != '\0') {
    pgcache_status status = pgc_address_parse(&own, settings->listen_url, error);
    if (status != PGCACHE_OK)
      return status;
    conninfo = own.conninfo;
    local_dir = own.local_dir;
  }
  pgcache_status status = PGCACHE_OK;
  if (conninfo != NULL)
    status = pgc_connect_plan_make(plan, conninfo, local_dir, true, error);
  if (status == PGCACHE_BAD_SETTING)
    pgc_fail(error, status, "listen_url: not a connection string or URI that libpq understands");
  pgc_address_clear(&own);
  return status;
}

pgcache_status pgc_pg_near_make(pgc_pg_near *out, const char *conninfo, const char *local_dir,
                                const pgc_settings *settings, pgc_flights *flights, pgc_store *store,
                                pgcache_error *error) {
  *out = (pgc_pg_near){0};
  if (settings->near_max_bytes == 0)
    return PGCACHE_OK;
  pgc_connect_plan plan = {0}, store_plan = {0};
  pgcache_error failure = PGCACHE_ERROR_INIT;
  pgcache_status status = make_plan(&plan, conninfo, local_dir, settings, &failure);
  if (status == PGCACHE_OK && settings->listen_url[0] != '\0')
    status = pgc_connect_plan_make(&store_plan, conninfo, local_dir, settings->prepared, &failure);
  if (status != PGCACHE_OK && status != PGCACHE_NO_MEMORY) {
    pgc_connect_plan_clear(&plan);
    return pgc_fail(error, status, "%s", failure.message);
  }
  if (status != PGCACHE_OK || plan.conninfo == NULL) { /* no memory; or listen_url is null:, where nothing is heard */
    pgc_connect_plan_clear(&plan);
    pgc_connect_plan_clear(&store_plan);
    return PGCACHE_OK;
  }
  const pgc_listener_settings listening = {.schema = settings->schema,
                                           .namespace_name = settings->namespace_name,
                                           .kind = settings->kind,
                                           .staleness_us = settings->near_staleness_ms * 1000,
                                           .audit_us = settings->near_audit_ms * 1000,
                                           .lifetime_us = settings->pool_max_lifetime_ms * 1000,
                                           .flights = flights,
                                           .audience = store->audience};
  if (flights != NULL)
    out->near = near_new(settings);
  if (out->near != NULL) {
    out->listener = pgc_listener_new(&plan, &store_plan, &listening, out->near, &store->counters);
  } else {
    pgc_connect_plan_clear(&plan);
    pgc_connect_plan_clear(&store_plan);
  }
  if (out->listener == NULL)
    pgc_pg_near_free(out);
  return PGCACHE_OK;
}

pgc_pg_near pgc_pg_near_after_fork(const pgc_pg_near *parents, const pgc_settings *settings, pgc_flights *flights) {
  pgc_pg_near out = {0};
  if (parents->near != NULL && flights != NULL)
    out.near = near_new(settings);
  if (out.near != NULL)
    out.listener = pgc_listener_new_after_fork(parents->listener, out.near, flights);
  if (out.listener == NULL)
    pgc_pg_near_free(&out);
  return out;
}

void pgc_pg_near_free(pgc_pg_near *self) {
  pgc_listener_free(self->listener);
  pgc_near_free(self->near);
  *self = (pgc_pg_near){0};
}

struct pgc_near *pgc_pg_near_of(pgc_store *base, bool reads) {
  pgc_process *here = pgc_pg_process((pgc_pg_store *)base);
  if (here == NULL || here->near.near == NULL)
    return NULL;
  if (reads)
    pgc_listener_want(here->near.listener);
  return here->near.near;
}

pgcache_status pgc_pg_fence(pgc_store *base, pgc_deadline deadline, pgcache_error *error) {
  pgc_process *here = pgc_pg_process((pgc_pg_store *)base);
  if (here == NULL)
    return pgc_fail_memory(error);
  return here->near.listener != NULL ? pgc_listener_fence(here->near.listener, deadline, error) : PGCACHE_OK;
}
