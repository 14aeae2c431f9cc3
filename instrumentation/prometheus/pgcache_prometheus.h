/*
 * pgcache_prometheus.h - what pgcache measured, for Prometheus and whatever reads its formats: as text, or by HTTP.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 *
 * Link with -lpgcache-prometheus (pkg-config pgcache-prometheus). It stands on pgcache.h alone, whose rules hold here too:
 * the order of arguments, outputs, sizes and errors.
 *
 * FORMATS
 *   PGCACHE_PROMETHEUS_TEXT is the text format 0.0.4, PGCACHE_PROMETHEUS_OPENMETRICS is OpenMetrics 1.0. Names, labels and
 *   bounds are the same in both, so that series do not change when a scraper asks for the other one.
 *   - A sample's name, help, unit and labels are those of the snapshot; instrumentation/METRICS.md lists them.
 *   - A histogram has fixed buckets, chosen by its unit: seconds 1, 2.5 and 5 of each decade from 1 us to 10 s; bytes
 *     64 * 4^n from 64 to 16 MiB; all others 0, 1, 5, 10, 25, 50, 100 and so on to 1,000,000. Counts are as near as
 *     [rule:histogram] says.
 *   - No time stamps, no exemplars and no `_created`: a handle's beginning is not that of each of its series.
 *   - Text is UTF-8. A byte of a label that is no part of valid UTF-8, or of a character that controls terminals, is
 *     written as four characters, such as \xff.
 */
#ifndef PGCACHE_PROMETHEUS_H
#define PGCACHE_PROMETHEUS_H

#include "pgcache.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A format. Since 1.0. */
typedef enum pgcache_prometheus_format {
  PGCACHE_PROMETHEUS_TEXT = 0,       /* text/plain; version=0.0.4 */
  PGCACHE_PROMETHEUS_OPENMETRICS = 1 /* application/openmetrics-text; version=1.0.0 */
} pgcache_prometheus_format;

/* Most snapshots that one exposition holds. Since 1.0. */
#define PGCACHE_PROMETHEUS_SOURCES_MAX 1000
/* Most handles that one endpoint serves. Since 1.0. */
#define PGCACHE_PROMETHEUS_HANDLES_MAX 64

/* A snapshot to write, and what tells its samples from those of the others. An array's elements all have the same
   struct_size. Since 1.0. */
typedef struct pgcache_prometheus_source {
  size_t struct_size;               /* sizeof(pgcache_prometheus_source) */
  const pgcache_snapshot *snapshot;
  const char *label_name;           /* a label that all of its samples get, such as "cache"; NULL: none. A letter or _, then
                                       letters, digits and _; not __ first, not "le", and no label that samples have */
  const char *label_value;          /* its value; NULL is "" */
} pgcache_prometheus_source;

#define PGCACHE_PROMETHEUS_SOURCE_INIT { sizeof(pgcache_prometheus_source), NULL, NULL, NULL }

/* Writes snapshots as one exposition: what has the same name stands together, whichever snapshot it is of.
   Out: out, a file open for writing; it is neither flushed nor closed, and ferror() tells whether it took everything.
   In: sources, no two of them with the same label and value; count, 0 to PGCACHE_PROMETHEUS_SOURCES_MAX; format.
   Any thread. Returns PGCACHE_OK, PGCACHE_INVALID (then nothing was written), PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_prometheus_write(FILE *out, const pgcache_prometheus_source *sources, size_t count,
                                                    pgcache_prometheus_format format, pgcache_error *error);

/* The same into memory.
   Out: out, a text with a NUL behind it, owned by the caller, to be given to pgcache_prometheus_text_free(); out_len
   (optional), its length in bytes. Any thread. Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_prometheus_text(char **out, size_t *out_len, const pgcache_prometheus_source *sources,
                                                   size_t count, pgcache_prometheus_format format, pgcache_error *error);

/* Frees a text of pgcache_prometheus_text(). NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_prometheus_text_free(char *text);

/* What HTTP calls a format, for the header Content-Type; "" of an unknown one. Static storage. Any thread. Since 1.0. */
PGCACHE_API const char *pgcache_prometheus_content_type(pgcache_prometheus_format format);

/* ---- Endpoint --------------------------------------------------------------------------------------------------------------
   GET /metrics by HTTP/1.1, in the format that the scraper prefers. It has one thread, which blocks all signals, takes the
   snapshots and answers; the handles' calls do not wait for it. No TLS and no password: whoever reaches the address reads the
   figures, and can keep its 16 connections busy, so let it be the loopback, or a network of your own. The functions below may be called from any thread. */

typedef struct pgcache_prometheus_server pgcache_prometheus_server;

/* Starts an endpoint, which serves no handle yet.
   Out: out, owned by the caller, to be given to pgcache_prometheus_stop().
   In: address, an IPv4 or IPv6 address of this machine in digits, NULL for 127.0.0.1; port, 0 for any that is free.
   Returns PGCACHE_OK, PGCACHE_INVALID, PGCACHE_DENIED (the port is not for this user), PGCACHE_UNAVAILABLE (the port is
   taken, or the address is no one of this machine), PGCACHE_NO_MEMORY. Since 1.0. */
PGCACHE_API pgcache_status pgcache_prometheus_start(pgcache_prometheus_server **out, const char *address, uint16_t port,
                                                    pgcache_error *error);

/* The port that it listens on; of NULL 0. Since 1.0. */
PGCACHE_API uint16_t pgcache_prometheus_port(const pgcache_prometheus_server *self);

/* Serves a handle from now on.
   In: cache, to be withdrawn, or the endpoint stopped, before it is freed; name, the value of the label `cache` of its
   samples, NULL for no such label; no two handles with the same.
   Returns PGCACHE_OK, PGCACHE_INVALID (NULL, a handle or name that is served already), PGCACHE_QUEUE_FULL (there are
   PGCACHE_PROMETHEUS_HANDLES_MAX), PGCACHE_NO_MEMORY, PGCACHE_UNSUPPORTED (in a child after fork(): it starts one of its own).
   Since 1.0. */
PGCACHE_API pgcache_status pgcache_prometheus_serve(pgcache_prometheus_server *self, pgcache *cache, const char *name,
                                                    pgcache_error *error);

/* Serves it no longer: when this returns the handle is not used by the endpoint. PGCACHE_MISS if it was not served.
   Returns PGCACHE_OK, PGCACHE_MISS, PGCACHE_INVALID, PGCACHE_UNSUPPORTED (as above). Since 1.0. */
PGCACHE_API pgcache_status pgcache_prometheus_withdraw(pgcache_prometheus_server *self, pgcache *cache,
                                                       pgcache_error *error);

/* Stops the endpoint: waits for the answer that it is making (for no scraper), closes all connections and frees it. In a
   child after fork() it closes the child's copy of the listening socket alone, once; a child that does not keeps the port.
   No other call on it may be under way. NULL is a no-op. Since 1.0. */
PGCACHE_API void pgcache_prometheus_stop(pgcache_prometheus_server *self);

#ifdef __cplusplus
}
#endif

#endif
