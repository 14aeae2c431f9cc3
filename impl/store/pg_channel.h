/*
 * pg_channel.h - a channel to PostgreSQL: libpq's pipeline mode on a connection that the source has lent.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_CHANNEL_H
#define PGC_STORE_PG_CHANNEL_H

#include "store/breaker.h"
#include "store/channel.h"
#include "store/pg_session.h"
#include "store/source.h"

/* What a channel is told by and tells; all of it outlives the channel. */
typedef struct pgc_channel_place {
  pgc_source *source; /* takes the connection back */
  pgc_breaker *breaker;
  pgc_counters *counters;
  pgc_audience *audience; /* NULL: nobody */
} pgc_channel_place;

/* session: with a connection that is idle, whose schema was checked, and on which scans are not allowed. NULL when out of
   memory: the connection is as it was, and still the caller's. */
pgc_channel *pgc_pg_channel_new(const pgc_session *session, const pgc_channel_place *place);

#endif
