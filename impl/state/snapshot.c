/*
 * snapshot.c - see snapshot.h: making a snapshot, and adding one to another. api/api_snapshot.c looks at it.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/snapshot.h"

#include <string.h>

#include "platform/memory.h"
#include "state/snapshot_inside.h"

/* ---- Texts: in blocks, all freed together ---- */

#define BLOCK_SIZE 4000

struct pgc_text_block {
  struct pgc_text_block *next;
  size_t used, size;
  char bytes[];
};

static char *take_room(pgcache_snapshot *self, size_t size) {
  pgc_text_block *block = self->texts;
  if (block == NULL || block->size - block->used < size) {
    size_t block_size = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    pgc_text_block *fresh = pgc_alloc(sizeof *fresh + block_size);
    if (fresh == NULL)
      return NULL;
    *fresh = (pgc_text_block){.next = block, .size = block_size};
    self->texts = block = fresh;
  }
  char *room = block->bytes + block->used;
  block->used += size;
  return room;
}

const char *pgc_snapshot_keep(pgcache_snapshot *self, const char *text, size_t size) {
  char *copy = take_room(self, size + 1);
  if (copy == NULL)
    return NULL;
  if (size > 0)
    memcpy(copy, text, size);
  copy[size] = '\0';
  return copy;
}

static const char *keep(pgcache_snapshot *self, const char *text) {
  return pgc_snapshot_keep(self, text, strlen(text));
}

/* ---- Making ---- */

pgcache_snapshot *pgc_snapshot_new(int64_t taken_at_ms, const char *origin) {
  pgcache_snapshot *self = pgc_alloc_zero(sizeof *self);
  if (self == NULL)
    return NULL;
  self->taken_at_ms = taken_at_ms;
  self->origin = keep(self, origin);
  if (self->origin != NULL)
    return self;
  pgc_free(self);
  return NULL;
}

static void free_samples(pgc_sample *samples, size_t size) {
  for (size_t i = 0; i < size; i++) {
    pgc_tally_clear(&samples[i].tally);
    pgc_free(samples[i].labels);
  }
  pgc_free(samples);
}

void pgc_snapshot_free(pgcache_snapshot *self) {
  if (self == NULL)
    return;
  free_samples(self->samples, self->size);
  pgc_free(self->families);
  while (self->texts != NULL) {
    pgc_text_block *block = self->texts;
    self->texts = block->next;
    pgc_free(block);
  }
  pgc_free(self);
}

/* Room for one more of `size` bytes in an array; what it is then, NULL when out of memory. */
static void *grow(void *array, size_t count, size_t *room, size_t size) {
  if (count < *room)
    return array;
  size_t more = *room == 0 ? 16 : *room * 2;
  void *grown = pgc_realloc(array, more * size);
  if (grown != NULL)
    *room = more;
  return grown;
}

bool pgc_snapshot_add_family(pgcache_snapshot *self, const pgc_metric *metric) {
  pgc_family *grown = grow(self->families, self->family_count, &self->family_room, sizeof *grown);
  if (grown == NULL)
    return false;
  self->families = grown;
  pgc_family *made = &grown[self->family_count];
  *made = (pgc_family){.metric = *metric, .first = self->size};
  made->metric.name = keep(self, metric->name);
  made->metric.help = keep(self, metric->help);
  made->metric.unit = keep(self, metric->unit);
  if (made->metric.name == NULL || made->metric.help == NULL || made->metric.unit == NULL)
    return false;
  self->family_count++;
  return true;
}

/* Copies of labels, with copies of their texts. */
static bool set_labels(pgcache_snapshot *self, pgc_sample *sample, const pgc_label *labels, size_t count) {
  sample->labels = count > 0 ? pgc_alloc(count * sizeof *labels) : NULL;
  sample->label_count = count;
  if (count > 0 && sample->labels == NULL)
    return false;
  bool complete = true;
  for (size_t i = 0; i < count; i++) {
    sample->labels[i] = (pgc_label){keep(self, labels[i].name), keep(self, labels[i].value)};
    complete &= sample->labels[i].name != NULL && sample->labels[i].value != NULL;
  }
  return complete;
}

pgc_sample *pgc_snapshot_add_sample(pgcache_snapshot *self, const pgc_label *labels, size_t count) {
  pgc_sample *grown = grow(self->samples, self->size, &self->room, sizeof *grown);
  if (grown == NULL)
    return NULL;
  self->samples = grown;
  pgc_sample *made = &grown[self->size];
  *made = (pgc_sample){.family = self->family_count - 1};
  if (!set_labels(self, made, labels, count)) {
    pgc_free(made->labels);
    return NULL;
  }
  self->size++;
  self->families[made->family].count++;
  return made;
}

/* The next sample, of the last family or of a new one; NULL: memory is out, now or before. */
static pgc_sample *next(pgcache_snapshot *self, const pgc_metric *metric, const pgc_label *labels, size_t count) {
  const pgc_family *last = self->family_count > 0 ? &self->families[self->family_count - 1] : NULL;
  if (!self->failed && (last == NULL || strcmp(last->metric.name, metric->name) != 0))
    self->failed = !pgc_snapshot_add_family(self, metric);
  pgc_sample *made = self->failed ? NULL : pgc_snapshot_add_sample(self, labels, count);
  self->failed = made == NULL;
  return made;
}

void pgc_snapshot_add_value(pgcache_snapshot *self, const pgc_metric *metric, const pgc_label *labels, size_t count,
                            double value) {
  pgc_sample *made = next(self, metric, labels, count);
  if (made != NULL)
    made->value = value;
}

void pgc_snapshot_add_histogram(pgcache_snapshot *self, const pgc_metric *metric, const pgc_label *labels, size_t count,
                                const pgc_histogram *histogram) {
  pgc_sample *made = next(self, metric, labels, count);
  if (made != NULL)
    self->failed = !pgc_tally_take(&made->tally, histogram);
}

bool pgc_snapshot_failed(const pgcache_snapshot *self) {
  return self->failed;
}

const char *pgc_snapshot_origin(const pgcache_snapshot *self) {
  return self->origin;
}

void pgc_snapshot_set_taken_at(pgcache_snapshot *self, int64_t taken_at_ms) {
  self->taken_at_ms = taken_at_ms;
}

/* ---- Adding up ---- */

const pgc_family *pgc_snapshot_find_family(const pgcache_snapshot *self, const char *name) {
  for (size_t i = 0; i < self->family_count; i++) {
    if (strcmp(self->families[i].metric.name, name) == 0)
      return &self->families[i];
  }
  return NULL;
}

static bool have_same_labels(const pgc_sample *left, const pgc_sample *right) {
  if (left->label_count != right->label_count)
    return false;
  for (size_t i = 0; i < left->label_count; i++) {
    if (strcmp(left->labels[i].name, right->labels[i].name) != 0 ||
        strcmp(left->labels[i].value, right->labels[i].value) != 0)
      return false;
  }
  return true;
}

const pgc_sample *pgc_snapshot_find_sample(const pgcache_snapshot *self, const pgc_family *family,
                                           const pgc_sample *like, size_t *hint) {
  for (size_t i = 0; i < family->count; i++) {
    size_t index = (*hint + i) % family->count;
    const pgc_sample *sample = &self->samples[family->first + index];
    if (have_same_labels(sample, like)) {
      *hint = index + 1;
      return sample;
    }
  }
  return NULL;
}

/* Makes a sample of what one or both have; NULL: it has none. */
static bool make_sum(pgcache_snapshot *into, const pgc_family *family, const pgc_sample *left,
                     const pgc_sample *right) {
  static const pgc_tally empty;
  const pgc_sample *any = left != NULL ? left : right;
  pgc_sample *made = pgc_snapshot_add_sample(into, any->labels, any->label_count);
  if (made == NULL)
    return false;
  double a = left != NULL ? left->value : 0, b = right != NULL ? right->value : 0;
  made->value = !family->metric.latest ? a + b : a > b ? a : b;
  return pgc_tally_merge(&made->tally, left != NULL ? &left->tally : &empty, right != NULL ? &right->tally : &empty);
}

/* The samples of one family, those that `first` has before those that only `second` has. Either family may be NULL. */
static bool add_up(pgcache_snapshot *into, const pgcache_snapshot *first, const pgc_family *mine,
                   const pgcache_snapshot *second, const pgc_family *theirs) {
  bool kinds_differ = mine != NULL && theirs != NULL && mine->metric.kind != theirs->metric.kind;
  if (kinds_differ) /* of another version of the library: what cannot be added up is left out */
    theirs = NULL;
  bool good = pgc_snapshot_add_family(into, mine != NULL ? &mine->metric : &theirs->metric);
  size_t hint = 0;
  for (size_t i = 0; good && mine != NULL && i < mine->count; i++) {
    const pgc_sample *sample = &first->samples[mine->first + i];
    good =
        make_sum(into, mine, sample, theirs != NULL ? pgc_snapshot_find_sample(second, theirs, sample, &hint) : NULL);
  }
  hint = 0;
  for (size_t i = 0; good && theirs != NULL && i < theirs->count; i++) {
    const pgc_sample *sample = &second->samples[theirs->first + i];
    if (mine == NULL || pgc_snapshot_find_sample(first, mine, sample, &hint) == NULL)
      good = make_sum(into, theirs, NULL, sample);
  }
  return good;
}

bool pgc_snapshot_merge(pgcache_snapshot *self, const pgcache_snapshot *other) {
  int64_t later_ms = self->taken_at_ms > other->taken_at_ms ? self->taken_at_ms : other->taken_at_ms;
  pgcache_snapshot *sum = pgc_snapshot_new(later_ms, self->origin);
  bool good = sum != NULL;
  for (size_t i = 0; good && i < self->family_count; i++) {
    const pgc_family *mine = &self->families[i];
    good = add_up(sum, self, mine, other, pgc_snapshot_find_family(other, mine->metric.name));
  }
  for (size_t i = 0; good && i < other->family_count; i++) {
    if (pgc_snapshot_find_family(self, other->families[i].metric.name) == NULL)
      good = add_up(sum, self, NULL, other, &other->families[i]);
  }
  if (good) {
    pgcache_snapshot before = *self;
    *self = *sum;
    *sum = before;
  }
  pgc_snapshot_free(sum);
  return good;
}
