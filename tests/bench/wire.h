/*
 * wire.h - PostgreSQL's binary form of arrays, and statement texts with their placeholders filled in.
 *
 * Owns nothing; for the bare libpq side of the comparison. Never talks to a server.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGCACHE_BENCH_WIRE_H
#define PGCACHE_BENCH_WIRE_H

#include <stddef.h>
#include <stdint.h>

typedef struct wire {
  char *bytes;
  size_t length, room;
} wire;

void wire_begin(wire *self, uint32_t element_type, int count); /* an array of one dimension without NULLs */
void wire_add(wire *self, const void *bytes, size_t length);   /* its next element */
void wire_int8(char out[8], int64_t number);

/* The text with :"schema" and :'version_seq' replaced as psql would; to be freed. */
char *wire_statement(const char *text, const char *schema);

#endif /* PGCACHE_BENCH_WIRE_H */
