/*
 * listener_place.c - with listen_url the listener and the store have addresses of their own: whether both lead to the same
 * table of the same database of the same server. Asked before the first hit, and again when the nonce is another one; it is
 * mixed with the identities of database and table. What a copy of the files has in common with its original cannot be told apart.
 *
 * Must never: let a hit be given that another database's stream has proven.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <string.h>

#include "pure/error.h"
#include "store/listener_inside.h"
#include "store/pg_schema.h"

#define ASK_MS 5000

/* The nonce and the channel as the store's connections see them. No marker: neither is there. */
static bool is_the_same(const PGresult *result, const unsigned char *nonce, const char *channel) {
  return PQntuples(result) == 1 && PQgetlength(result, 0, PGC_POLL_NONCE) == PGC_NONCE_SIZE &&
         memcmp(PQgetvalue(result, 0, PGC_POLL_NONCE), nonce, PGC_NONCE_SIZE) == 0 &&
         strcmp(PQgetvalue(result, 0, PGC_POLL_CHANNEL), channel) == 0;
}

/* PGCACHE_OK, or what is wrong, with the reason in self->error. */
static pgcache_status compare(pgc_listener *self, pgc_connection *connection, const unsigned char *nonce,
                              const char *channel) {
  pgc_session store = self->session;
  store.connection = connection;
  store.deadline = pgc_deadline_in(ASK_MS);
  pgcache_status status = pgc_schema_check(&store);
  if (status != PGCACHE_OK)
    return status;
  pgc_parameters parameters = {0};
  PGresult *result;
  pgc_parameters_add_text(&parameters, "");
  status = pgc_session_execute(&store, PGC_STATEMENT_POLL_CHANGES, &parameters, &result);
  if (status == PGCACHE_OK && !is_the_same(result, nonce, channel))
    status = pgc_fail(&self->error, PGCACHE_BAD_SETTING,
                      "listen_url leads to another database or server than url, where its changes cannot be heard, and "
                      "the near cache stays off: let the setting listen_url name the server and database of url");
  PQclear(result);
  return status;
}

bool pgc_listener_is_in_place(pgc_listener *self, const unsigned char *nonce, const char *channel) {
  if (self->store_plan.conninfo == NULL || (self->placed && memcmp(self->place, nonce, PGC_NONCE_SIZE) == 0))
    return true;
  pgc_connection *connection = pgc_listener_connect(self, &self->store_plan);
  if (connection == NULL)
    return false;
  self->placed = compare(self, connection, nonce, channel) == PGCACHE_OK;
  memcpy(self->place, nonce, PGC_NONCE_SIZE);
  pgc_listener_disconnect(self, connection);
  return self->placed;
}
