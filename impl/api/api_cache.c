/*
 * api_cache.c - exported: the life of a handle and of its schema.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/call.h"

#include <string.h>

#include "platform/memory.h"
#include "pure/address.h"
#include "pure/error.h"
#include "pure/migrations.h"

static pgcache_status open_store(pgcache *self, pgcache_error *error) {
  pgc_address address;
  pgcache_status status = pgc_address_parse(&address, self->settings.url, error);
  if (status != PGCACHE_OK)
    return status;
  if (address.kind == PGC_ADDRESS_NULL) {
    self->store = pgc_null_store_new();
    if (self->store == NULL)
      status = pgc_fail_memory(error);
  } else {
    status = pgc_pg_store_new(&self->store, address.conninfo, address.local_dir, &self->settings, error);
  }
  pgc_address_clear(&address);
  return status;
}

pgcache_status pgcache_new(pgcache **out, const pgcache_config *config, pgcache_error *error) {
  if (out != NULL)
    *out = NULL;
  if (!pgc_error_ok(error))
    return PGCACHE_INVALID;
  if (out == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "out is NULL");
  if (config == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "config is NULL");

  pgcache *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return pgc_fail_memory(error);
  pgcache_status status = pgc_settings_load(&self->settings, config, error);
  if (status == PGCACHE_OK)
    status = open_store(self, error);
  if (status != PGCACHE_OK) {
    pgcache_free(self);
    return status;
  }
  *out = self;
  return PGCACHE_OK;
}

void pgcache_shutdown(pgcache *self) {
  if (self != NULL)
    self->store->shutdown(self->store);
}

void pgcache_free(pgcache *self) {
  if (self == NULL)
    return;
  if (self->store != NULL)
    self->store->free(self->store);
  pgc_settings_clear(&self->settings);
  pgc_free(self);
}

pgcache_status pgcache_init(pgcache *self, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_INIT, options, error);
  return status == PGCACHE_OK ? pgc_call_run(&call) : status;
}

pgcache_status pgcache_upgrade(pgcache *self, const pgcache_options *options, pgcache_error *error) {
  pgc_call call;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_UPGRADE, options, error);
  return status == PGCACHE_OK ? pgc_call_run(&call) : status;
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
  pgc_migrations_script(&script, settings.schema, settings.logged, settings.inline_values);
  *out = script.failed ? NULL : pgc_value_new(script.size);
  if (*out != NULL)
    memcpy((*out)->own, script.data, script.size);
  else
    status = pgc_fail_memory(error);
  pgc_buffer_clear(&script);
  pgc_settings_clear(&settings);
  return status;
}
