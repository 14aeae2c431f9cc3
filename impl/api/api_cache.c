/*
 * api_cache.c - exported: the life of a handle and of its schema.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/janitor.h"

#include <string.h>

#include "operations/lent.h"
#include "operations/loaders.h"
#include "operations/measure.h"
#include "operations/publisher.h"
#include "operations/room.h"
#include "platform/memory.h"
#include "pure/address.h"
#include "pure/error.h"
#include "pgcache_hooks.h"
#include "pure/migrations.h"

/* Where a handle's connections come from: the url, a connection of the application, or its hooks. */
typedef struct origin {
  struct pg_conn *connection;
  const pgcache_connection_hooks *hooks;
} origin;

static pgcache_status open_store(pgcache *self, const origin *from, pgcache_error *error) {
  bool borrowing = from->connection != NULL || from->hooks != NULL;
  pgc_address address = {.kind = PGC_ADDRESS_NULL};
  pgcache_status status = PGCACHE_OK;
  if (!borrowing)
    status = pgc_address_parse(&address, self->settings.url, error);
  if (status != PGCACHE_OK)
    return status;
  if (borrowing && strcmp(self->settings.url, "null:") != 0) {
    self->borrows = true;
    self->settings.cleanup_chance = 0; /* a slice would hold its locks until the end of the application's transaction */
    self->settings.publish_ms = 0;     /* nobody can know when its thread is at the application's connections */
    self->single = from->connection != NULL;
    status = pgc_borrowing_store_new(&self->store, from->connection, from->hooks, &self->settings, error);
  } else if (address.kind == PGC_ADDRESS_NULL) {
    self->settings.publish_ms = 0;
    self->store = pgc_null_store_new();
    if (self->store == NULL)
      status = pgc_fail_memory(error);
  } else {
    status =
        pgc_pg_store_new(&self->store, address.conninfo, address.local_dir, &self->settings, &self->audience, error);
  }
  pgc_address_clear(&address);
  return status;
}

static pgcache_status make(pgcache **out, const pgcache_config *config, const origin *from, pgcache_error *error) {
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  if (config == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "config is NULL");

  pgcache *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return pgc_fail_memory(error);
  pgcache_status status = pgc_settings_load(&self->settings, config, error);
  pgc_audience_open(&self->audience, self->settings.slow_ms, self->settings.log_keys);
  if (status == PGCACHE_OK)
    status = open_store(self, from, error);
  if (status == PGCACHE_OK)
    status = pgc_encoding_open(&self->encoding, &self->settings, &self->store->counters.values_refused, error);
  if (status != PGCACHE_OK) {
    pgcache_free(self);
    return status;
  }
  *out = self;
  return PGCACHE_OK;
}

pgcache_status pgcache_new(pgcache **out, const pgcache_config *config, pgcache_error *error) {
  const origin from = {NULL, NULL};
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  return make(out, config, &from, error);
}

pgcache_status pgcache_new_on_connection(pgcache **out, const pgcache_config *config, struct pg_conn *connection,
                                         pgcache_error *error) {
  const origin from = {connection, NULL};
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (connection == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "connection is NULL");
  return make(out, config, &from, error);
}

pgcache_status pgcache_new_with_hooks(pgcache **out, const pgcache_config *config,
                                      const pgcache_connection_hooks *hooks, pgcache_error *error) {
  const origin from = {NULL, hooks};
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (hooks == NULL || hooks->struct_size < sizeof *hooks)
    return pgc_fail(error, PGCACHE_INVALID,
                    "hooks is NULL, or its struct_size is not set; use PGCACHE_CONNECTION_HOOKS_INIT");
  if (hooks->acquire == NULL || hooks->release == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "a hook is NULL; both acquire and release are needed");
  return make(out, config, &from, error);
}

void pgcache_shutdown(pgcache *self) {
  if (self == NULL)
    return;
  pgc_janitors_end(self);
  pgc_publisher_end(self);
  self->store->shutdown(self->store);
  pgc_room_close(self);
  pgc_loaders_close(self);
  pgc_audience_close(&self->audience);
}

void pgcache_free(pgcache *self) {
  if (self == NULL)
    return;
  if (self->store != NULL) {
    pgcache_shutdown(self);
    pgc_audience_leave(&self->audience);
    pgc_janitors_leave(self);
    pgc_publisher_leave(self);
    pgc_loaders_leave(self);
    pgc_room_free(self); /* tells of requests that nobody took; who is told may call the handle */
    pgc_lent_free(self);
    self->store->free(self->store);
    pgc_loaders_free(self);
    pgc_publisher_free(self);
  }
  pgc_audience_free(&self->audience);
  pgc_measure_free(self);
  pgc_encoding_close(&self->encoding);
  pgc_settings_clear(&self->settings);
  pgc_free(self);
}

pgcache_status pgcache_init(pgcache *self, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_INIT, options, error);
  return status == PGCACHE_OK ? pgc_measure_run(&call, PGC_OPERATION_INIT) : status;
}

pgcache_status pgcache_upgrade(pgcache *self, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_UPGRADE, options, error);
  return status == PGCACHE_OK ? pgc_measure_run(&call, PGC_OPERATION_UPGRADE) : status;
}

pgcache_status pgcache_init_sql(pgcache_value **out, const pgcache_config *config, pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  if (config == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "config is NULL");

  pgc_settings settings;
  pgcache_status status = pgc_settings_load(&settings, config, error);
  if (status != PGCACHE_OK)
    return status;
  pgc_buffer script = PGC_BUFFER_INIT;
  pgc_sql_roles roles;
  pgc_settings_roles(&settings, &roles);
  pgc_migrations_script(&script, settings.schema, settings.kind, settings.inline_values, &roles);
  *out = script.failed ? NULL : pgc_value_new(script.size);
  if (*out != NULL)
    memcpy((*out)->own, script.data, script.size);
  else
    status = pgc_fail_memory(error);
  pgc_buffer_clear(&script);
  pgc_settings_clear(&settings);
  return status;
}
