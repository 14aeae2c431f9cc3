/*
 * spans.h - a provider that writes each operation of a handle as one line of JSON: the example of how to write a provider, with
 * nothing but the public headers. Copy it into your program, and make of it what you need.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef SPANS_H
#define SPANS_H

#include "pgcache.h"
#include "pgcache_hooks.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the operations of the handle to a descriptor, until the handle is freed: each line with one write(), so that the lines of
   threads and processes do not mix in a file that was opened with O_APPEND, or in a pipe if they are not longer than PIPE_BUF, as
   those with long keys are. Ignore SIGPIPE, or the end of the reader ends the process. It does not wait for who reads: make the
   descriptor one that does not block; lines that cannot be written are lost, and the next one says how many ("lost").
   In: fd, stays the caller's, who closes it after pgcache_free(); with_keys, 0: lines hold no keys.
   Returns as pgcache_add_provider(). */
pgcache_status spans_write_to(pgcache *cache, int fd, int with_keys, pgcache_error *error);

/* Calls of this thread belong to that trace from now on: a "traceparent" of the W3C, or NULL for none. It is kept, at most 63
   characters. Requests carry it from where they are submitted to where their completion is taken. */
void spans_set_parent(const char *traceparent);

#ifdef __cplusplus
}
#endif

#endif /* SPANS_H */
