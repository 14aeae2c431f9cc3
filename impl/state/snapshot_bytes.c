/*
 * snapshot_bytes.c - see snapshot.h: a snapshot as bytes. Whatever a process publishes any other one may have to read, of an older
 * or a newer version, and whoever may write to the table may write anything.
 *
 *   "pgcS" 1, when it was taken, origin, number of families;
 *   of each family: name, help, unit, kind, whether the latest counts, per_unit, number of samples;
 *   of each sample: number of labels, their names and values; then its value, or of a histogram: sum, number of buckets, and of each
 *   the distance from the one before and its count;
 *   and at the end a checksum of everything before it.
 *
 * Numbers are in groups of seven bits, the lowest first; texts are their length and their bytes; doubles are 8 bytes, the highest first.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <math.h>
#include <string.h>

#include "pure/siphash.h"
#include "state/snapshot_inside.h"

static const unsigned char head[] = {'p', 'g', 'c', 'S', 1};

#define CHECKSUM_SIZE 8

/* What no snapshot of ours comes near, and what keeps a forged one small. */
#define FAMILIES_MAX 1000
#define SAMPLES_MAX 4000
#define TEXT_MAX 1000

static uint64_t checksum(const unsigned char *bytes, size_t size) {
  static const uint64_t known[2] = {0x7067636163686553, 1}; /* against damage, not against people */
  uint64_t hash[2];
  pgc_siphash_state begun = pgc_siphash_begin(known, NULL, 0);
  pgc_siphash_end(hash, &begun, bytes, size);
  return hash[0];
}

/* ---- Packing ---- */

static void put_number(pgc_buffer *out, uint64_t number) {
  unsigned char bytes[10];
  size_t size = 0;
  do {
    bytes[size++] = (unsigned char)((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
    number >>= 7;
  } while (number > 0);
  pgc_buffer_append(out, bytes, size);
}

static void put_text(pgc_buffer *out, const char *text) {
  put_number(out, strlen(text));
  pgc_buffer_append_text(out, text);
}

static void put_double(pgc_buffer *out, double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  pgc_buffer_append_u64(out, bits);
}

static void put_tally(pgc_buffer *out, const pgc_tally *tally) {
  unsigned before = 0;
  put_number(out, (uint64_t)tally->sum);
  put_number(out, tally->size);
  for (size_t i = 0; i < tally->size; i++) {
    put_number(out, tally->buckets[i].bucket - before);
    put_number(out, (uint64_t)tally->buckets[i].count);
    before = tally->buckets[i].bucket;
  }
}

static void put_family(pgc_buffer *out, const pgcache_snapshot *self, const pgc_family *family) {
  put_text(out, family->metric.name);
  put_text(out, family->metric.help);
  put_text(out, family->metric.unit);
  put_number(out, family->metric.kind);
  put_number(out, family->metric.latest);
  put_double(out, family->metric.per_unit);
  put_number(out, family->count);
  for (size_t i = 0; i < family->count; i++) {
    const pgc_sample *sample = &self->samples[family->first + i];
    put_number(out, sample->label_count);
    for (size_t l = 0; l < sample->label_count; l++) {
      put_text(out, sample->labels[l].name);
      put_text(out, sample->labels[l].value);
    }
    if (family->metric.kind == PGCACHE_HISTOGRAM)
      put_tally(out, &sample->tally);
    else
      put_double(out, sample->value);
  }
}

bool pgc_snapshot_pack(const pgcache_snapshot *self, pgc_buffer *out) {
  size_t begin = out->size;
  pgc_buffer_append(out, head, sizeof head);
  put_number(out, (uint64_t)self->taken_at_ms);
  put_text(out, self->origin);
  put_number(out, self->family_count);
  for (size_t i = 0; i < self->family_count; i++)
    put_family(out, self, &self->families[i]);
  if (!out->failed)
    pgc_buffer_append_u64(out, checksum(out->data + begin, out->size - begin));
  return !out->failed;
}

/* ---- Unpacking: the first thing that is wrong ends it ---- */

typedef struct reader {
  const unsigned char *at, *end;
  bool wrong;
} reader;

static uint64_t get_number(reader *from) {
  uint64_t number = 0;
  for (int shift = 0; shift < 63 && from->at < from->end; shift += 7) {
    unsigned char byte = *from->at++;
    number |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80)
      return number;
  }
  from->wrong = true;
  return 0;
}

/* One that is at most `most`. */
static size_t get_count(reader *from, size_t most) {
  uint64_t number = get_number(from);
  from->wrong |= number > most;
  return from->wrong ? 0 : (size_t)number;
}

static double get_double(reader *from) {
  double number;
  if (from->end - from->at < 8) {
    from->wrong = true;
    return 0;
  }
  uint64_t bits = pgc_load_u64(from->at);
  from->at += 8;
  memcpy(&number, &bits, sizeof number);
  from->wrong |= !isfinite(number);
  return from->wrong ? 0 : number;
}

static bool is_of_a_name(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* A text without NUL, or a name. NULL: wrong, or out of memory. */
static const char *get_text(reader *from, pgcache_snapshot *into, bool name) {
  size_t size = get_count(from, TEXT_MAX);
  if (from->wrong || (size_t)(from->end - from->at) < size) {
    from->wrong = true;
    return NULL;
  }
  const unsigned char *bytes = from->at;
  from->at += size;
  for (size_t i = 0; i < size; i++)
    from->wrong |= name ? !is_of_a_name(bytes[i]) : bytes[i] == '\0';
  return from->wrong ? NULL : pgc_snapshot_keep(into, (const char *)bytes, size);
}

/* A name as Prometheus wants them, for whoever writes what was read. */
static const char *get_name(reader *from, pgcache_snapshot *into) {
  const char *name = get_text(from, into, true);
  from->wrong |= name != NULL && (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9'));
  return from->wrong ? NULL : name;
}

/* Writers have labels of their own beside those of a snapshot. */
static bool is_writers(const char *name) {
  return strcmp(name, "le") == 0 || strcmp(name, "origin") == 0;
}

/* Whether a label stands there twice, or the last family has a sample with these labels. */
static bool is_there_twice(const pgcache_snapshot *into, pgc_label *labels, size_t count) {
  const pgc_sample like = {.labels = labels, .label_count = count};
  size_t hint = 0;
  for (size_t i = 1; i < count; i++) {
    for (size_t k = 0; k < i; k++) {
      if (strcmp(labels[i].name, labels[k].name) == 0)
        return true;
    }
  }
  return pgc_snapshot_find_sample(into, &into->families[into->family_count - 1], &like, &hint) != NULL;
}

/* False when out of memory. */
static bool get_tally(reader *from, pgc_tally *out, pgc_buffer *room) {
  int64_t most = INT64_MAX;
  uint64_t bucket = 0;
  out->sum = (int64_t)get_number(from);
  size_t size = get_count(from, PGC_HISTOGRAM_BUCKETS);
  pgc_tally_bucket *buckets = (pgc_tally_bucket *)(void *)room->data; /* as many as there are at most */
  for (size_t i = 0; i < size && !from->wrong; i++) {
    uint64_t step = get_number(from), count = get_number(from);
    from->wrong |= step >= PGC_HISTOGRAM_BUCKETS || (i > 0 && step == 0) || count == 0 || count > (uint64_t)most;
    bucket += step;
    from->wrong |= bucket >= PGC_HISTOGRAM_BUCKETS;
    if (from->wrong)
      break;
    most -= (int64_t)count;
    buckets[i] = (pgc_tally_bucket){(uint16_t)bucket, (int64_t)count};
  }
  if (from->wrong)
    return true;
  const pgc_tally read = {.count = INT64_MAX - most, .sum = out->sum, .size = size, .buckets = buckets}, none = {0};
  return pgc_tally_merge(out, &read, &none);
}

/* False when out of memory. */
static bool get_sample(reader *from, pgcache_snapshot *into, pgc_buffer *room) {
  pgc_label labels[PGC_LABELS_MAX];
  size_t count = get_count(from, PGC_LABELS_MAX);
  for (size_t i = 0; i < count; i++) {
    labels[i].name = get_name(from, into);
    from->wrong |= labels[i].name != NULL && is_writers(labels[i].name);
    labels[i].value = labels[i].name != NULL ? get_text(from, into, false) : NULL;
    if (labels[i].value == NULL)
      return from->wrong;
  }
  from->wrong |= into->size >= SAMPLES_MAX || (!from->wrong && is_there_twice(into, labels, count));
  if (from->wrong)
    return true;
  pgc_sample *made = pgc_snapshot_add_sample(into, labels, count);
  if (made == NULL)
    return false;
  if (into->families[made->family].metric.kind == PGCACHE_HISTOGRAM)
    return get_tally(from, &made->tally, room);
  made->value = get_double(from);
  return true;
}

static bool is_kind(uint64_t kind) {
  return kind == PGCACHE_COUNTER || kind == PGCACHE_GAUGE || kind == PGCACHE_HISTOGRAM;
}

/* False when out of memory. */
static bool get_family(reader *from, pgcache_snapshot *into, pgc_buffer *room) {
  pgc_metric metric;
  metric.name = get_name(from, into);
  metric.help = metric.name != NULL ? get_text(from, into, false) : NULL;
  metric.unit = metric.help != NULL ? get_text(from, into, true) : NULL;
  if (metric.unit == NULL)
    return from->wrong;
  uint64_t kind = get_number(from);
  metric.latest = get_count(from, 1) == 1;
  metric.per_unit = get_double(from);
  size_t count = get_count(from, (size_t)(from->end - from->at));
  from->wrong |= !is_kind(kind) || !(metric.per_unit > 0) || pgc_snapshot_find_family(into, metric.name) != NULL;
  if (from->wrong)
    return true;
  metric.kind = (pgcache_metric_kind)kind;
  bool memory = pgc_snapshot_add_family(into, &metric);
  for (size_t i = 0; memory && !from->wrong && i < count; i++)
    memory = get_sample(from, into, room);
  return memory;
}

/* False when out of memory. */
static bool get_families(reader *from, pgcache_snapshot *into) {
  pgc_buffer room = PGC_BUFFER_INIT;
  pgc_buffer_reserve(&room, PGC_HISTOGRAM_BUCKETS * sizeof(pgc_tally_bucket));
  bool memory = !room.failed;
  size_t count = get_count(from, FAMILIES_MAX);
  for (size_t i = 0; memory && !from->wrong && i < count; i++)
    memory = get_family(from, into, &room);
  from->wrong |= from->at != from->end;
  pgc_buffer_clear(&room);
  return memory;
}

pgcache_snapshot *pgc_snapshot_unpack(const void *bytes, size_t size, bool *damaged) {
  const unsigned char *first = bytes;
  *damaged = true;
  if (size < sizeof head + CHECKSUM_SIZE || memcmp(first, head, sizeof head) != 0 ||
      pgc_load_u64(first + size - CHECKSUM_SIZE) != checksum(first, size - CHECKSUM_SIZE))
    return NULL;
  reader from = {first + sizeof head, first + size - CHECKSUM_SIZE, false};
  int64_t taken_at_ms = (int64_t)get_number(&from);
  pgcache_snapshot *self = pgc_snapshot_new(taken_at_ms, "");
  bool memory = self != NULL;
  const char *origin = memory ? get_text(&from, self, false) : NULL;
  if (origin != NULL) {
    self->origin = origin;
    memory = get_families(&from, self);
  } else {
    memory = memory && from.wrong;
  }
  *damaged = memory && from.wrong;
  if (memory && !from.wrong)
    return self;
  pgc_snapshot_free(self);
  return NULL;
}
