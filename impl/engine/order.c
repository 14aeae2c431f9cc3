/*
 * order.c - keys that are being written. The table's elements are the writes themselves, so that nothing is allocated for
 * one. What waits for a write stands in its list, in the order of submission.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "engine/inside.h"
#include "platform/memory.h"

#define BUCKETS_FIRST 64

bool pgc_order_init(pgc_order *self) {
  *self = (pgc_order){.buckets = pgc_alloc_zero(BUCKETS_FIRST * sizeof *self->buckets), .bucket_count = BUCKETS_FIRST};
  return self->buckets != NULL;
}

void pgc_order_destroy(pgc_order *self) {
  pgc_free(self->buckets);
}

/* A digest is as good as random. */
static pgc_part **bucket_of(pgc_part **buckets, size_t bucket_count, const pgc_digest *digest) {
  uint64_t hash;
  memcpy(&hash, digest->bytes, sizeof hash);
  return &buckets[hash % bucket_count];
}

static pgc_part *find(const pgc_order *self, const pgc_digest *digest) {
  pgc_part *write = *bucket_of(self->buckets, self->bucket_count, digest);
  while (write != NULL && memcmp(write->key.digest.bytes, digest->bytes, PGC_DIGEST_SIZE) != 0)
    write = write->chain;
  return write;
}

/* When memory is out the chains grow instead. */
static void grow(pgc_order *self) {
  size_t size = self->bucket_count * 2;
  pgc_part **buckets = pgc_alloc_zero(size * sizeof *buckets);
  if (buckets == NULL)
    return;
  for (size_t i = 0; i < self->bucket_count; i++) {
    while (self->buckets[i] != NULL) {
      pgc_part *write = self->buckets[i];
      self->buckets[i] = write->chain;
      pgc_part **bucket = bucket_of(buckets, size, &write->key.digest);
      write->chain = *bucket;
      *bucket = write;
    }
  }
  pgc_free(self->buckets);
  self->buckets = buckets;
  self->bucket_count = size;
}

static void add(pgc_order *self, pgc_part *write) {
  if (self->count >= self->bucket_count)
    grow(self);
  pgc_part **bucket = bucket_of(self->buckets, self->bucket_count, &write->key.digest);
  write->chain = *bucket;
  *bucket = write;
  self->count++;
}

static void remove_write(pgc_order *self, pgc_part *write) {
  pgc_part **link = bucket_of(self->buckets, self->bucket_count, &write->key.digest);
  while (*link != write)
    link = &(*link)->chain;
  *link = write->chain;
  self->count--;
}

pgcache_status pgc_order_enter(pgc_order *self, pgc_part *part) {
  pgc_part *write = self->count > 0 ? find(self, &part->key.digest) : NULL;
  if (write == NULL) {
    if (pgc_op_writes(part->request->kind))
      add(self, part);
    return PGCACHE_OK;
  }
  if (write->line == NULL)
    write->line = pgc_alloc_zero(sizeof *write->line);
  if (write->line == NULL)
    return PGCACHE_NO_MEMORY;
  part->line = write->line;
  part->place = PGC_PART_BLOCKED;
  pgc_parts_append(&part->line->waiting, part);
  return PGCACHE_EXISTS;
}

/* The reads up to the next write, and that write: it may well overtake these reads, which then see something newer. */
pgc_parts pgc_order_leave(pgc_order *self, pgc_part *part) {
  pgc_parts released = {NULL, NULL, 0};
  pgc_line *line = part->line;
  part->line = NULL;
  remove_write(self, part);
  while (line != NULL && line->waiting.first != NULL) {
    pgc_part *first = line->waiting.first;
    pgc_parts_remove(&line->waiting, first);
    pgc_parts_append(&released, first);
    first->line = NULL;
    if (pgc_op_writes(first->request->kind)) {
      add(self, first);
      if (line->waiting.first != NULL) {
        first->line = line;
        line = NULL;
      }
      break;
    }
  }
  pgc_free(line);
  return released;
}

void pgc_order_unblock(pgc_part *part) {
  pgc_parts_remove(&part->line->waiting, part);
  part->line = NULL;
}
