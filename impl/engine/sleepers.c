/*
 * sleepers.c - parts that wait for somebody else than the server: for the end of a load by another caller or process. They
 * stand in a list by the times when they wake, most of which are later than all that are in it.
 *
 * Must never: lose the name of a digest. When there are more names than room for them, everybody is woken.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "engine/inside.h"

#define ALL (PGC_ROUSED_MAX + 1)

static bool same(const pgc_digest *left, const pgc_digest *right) {
  return memcmp(left->bytes, right->bytes, PGC_DIGEST_SIZE) == 0;
}

void pgc_roused_add(pgc_roused *self, const pgc_digest *digest) {
  if (digest == NULL || self->count >= PGC_ROUSED_MAX) {
    self->count = ALL;
    return;
  }
  if (self->count == 0 || !same(&self->digests[self->count - 1], digest)) /* a load's end is told more than once */
    self->digests[self->count++] = *digest;
}

static int compare(const void *left, const void *right) {
  return memcmp(((const pgc_digest *)left)->bytes, ((const pgc_digest *)right)->bytes, PGC_DIGEST_SIZE);
}

static bool is_named(const pgc_roused *roused, const pgc_digest *digest) {
  return roused->count == ALL ||
         bsearch(digest, roused->digests, roused->count, sizeof *roused->digests, compare) != NULL;
}

void pgc_sleepers_add(pgc_parts *self, pgc_part *part) {
  pgc_part *before = self->last;
  while (before != NULL && before->wake_us > part->wake_us)
    before = before->previous;
  part->place = PGC_PART_ASLEEP;
  if (before == NULL) {
    pgc_parts_prepend(self, part);
  } else if (before == self->last) {
    pgc_parts_append(self, part);
  } else {
    part->previous = before;
    part->next = before->next;
    before->next->previous = part;
    before->next = part;
    self->count++;
  }
}

pgc_parts pgc_sleepers_pop(pgc_parts *self, int64_t now_us, pgc_roused *roused) {
  pgc_parts awake = {NULL, NULL, 0};
  if (roused->count > 1 && roused->count <= PGC_ROUSED_MAX)
    qsort(roused->digests, roused->count, sizeof *roused->digests, compare);
  for (pgc_part *each = self->first, *next; each != NULL; each = next) {
    next = each->next;
    bool due = each->wake_us <= now_us;
    if (!due && roused->count == 0)
      break;
    if (!due && !is_named(roused, &each->key.digest))
      continue;
    pgc_parts_remove(self, each);
    pgc_parts_append(&awake, each);
  }
  return awake;
}
