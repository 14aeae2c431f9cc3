/*
 * spans.c - see spans.h.
 *
 * What a provider is made of: begin() notes what is known only there, the trace that the thread is in; end() gets it back,
 * together with what became of the operation, perhaps on another thread. Both may be called by any thread at any time, so what they
 * share is atomic; neither waits, because it is the caller's time.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "spans.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A key may be longer; so much of it is shown. */
#define KEY_SHOWN 1024
/* Room for all texts at their longest, a byte of which may take six characters ("\u0001"). */
#define LINE_MAX_BYTES 16384

typedef struct spans {
  int fd;
  atomic_llong lost; /* lines, since the last one that was written */
} spans;

#define PARENT_SIZE 64
static _Thread_local char parent[PARENT_SIZE];

void spans_set_parent(const char *traceparent) {
  snprintf(parent, sizeof parent, "%s", traceparent != NULL ? traceparent : "");
}

/* ---- JSON ---- */

typedef struct line {
  size_t used;
  char bytes[LINE_MAX_BYTES];
} line;

static void add(line *self, const char *text, size_t size) {
  if (size > sizeof self->bytes - self->used)
    size = sizeof self->bytes - self->used;
  memcpy(self->bytes + self->used, text, size);
  self->used += size;
}

static void add_text(line *self, const char *text) {
  add(self, text, strlen(text));
}

/* How many bytes the UTF-8 character takes that begins here; 0: it is none. */
static size_t character(const unsigned char *at, size_t left) {
  size_t size = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : 4;
  if (size > left || (size == 4 && (at[0] < 0xf0 || at[0] > 0xf4)))
    return 0;
  for (size_t i = 1; i < size; i++) {
    if ((at[i] & 0xc0) != 0x80)
      return 0;
  }
  /* Not shorter than it has to be, no half of a pair, nothing beyond the last character. */
  if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf0 && at[1] < 0x90) ||
      (at[0] == 0xf4 && at[1] >= 0x90))
    return 0;
  return size;
}

/* ,"name":"text"; keys and span names may be any bytes, and what is no UTF-8 becomes U+FFFD. */
static void add_string(line *self, const char *name, const void *bytes, size_t size) {
  const unsigned char *at = bytes;
  add_text(self, ",\"");
  add_text(self, name);
  add_text(self, "\":\"");
  for (size_t i = 0; i < size;) {
    char code[8];
    size_t taken = character(at + i, size - i);
    if (taken == 0) {
      add_text(self, "\xef\xbf\xbd");
      taken = 1;
    } else if (at[i] < 0x20 || at[i] == '"' || at[i] == '\\' || at[i] == 0x7f) {
      snprintf(code, sizeof code, "\\u%04x", at[i]);
      add_text(self, code);
    } else {
      add(self, (const char *)at + i, taken);
    }
    i += taken;
  }
  add_text(self, "\"");
}

static void add_words(line *self, const char *name, const char *text) {
  if (text[0] != '\0')
    add_string(self, name, text, strlen(text));
}

static void add_number(line *self, const char *name, int64_t number) {
  char text[64];
  snprintf(text, sizeof text, ",\"%s\":%" PRId64, name, number);
  add_text(self, text);
}

/* ---- The provider ---- */

/* The trace is the thread's that makes the call; the operation may end on another. */
static void *begin(void *context, const pgcache_event *event) {
  (void)context;
  (void)event;
  return parent[0] != '\0' ? strdup(parent) : NULL;
}

static void end(void *context, void *begun, const pgcache_event *event) {
  spans *self = context;
  line out;
  out.used = 0;
  int64_t lost = atomic_exchange(&self->lost, 0);
  add_text(&out, "{\"name\":\"pgcache.");
  add_text(&out, event->operation);
  add_text(&out, "\"");
  add_number(&out, "start_us", event->began_us);
  add_number(&out, "duration_ns", event->duration_ns);
  add_words(&out, "outcome", event->outcome);
  add_words(&out, "source", event->source);
  add_words(&out, "namespace", event->namespace_name);
  add_words(&out, "span_name", event->span_name);
  add_number(&out, "keys", (int64_t)event->key_count);
  if (event->key_count > 1 || event->number > 0)
    add_number(&out, "number", event->number);
  if (event->bytes >= 0)
    add_number(&out, "bytes", event->bytes);
  if (event->key != NULL)
    add_string(&out, "key", event->key, event->key_len < KEY_SHOWN ? event->key_len : KEY_SHOWN);
  add_words(&out, "error", event->message);
  add_words(&out, "sqlstate", event->sqlstate);
  if (begun != NULL)
    add_words(&out, "traceparent", begun);
  if (lost > 0)
    add_number(&out, "lost", lost);
  add_text(&out, "}\n");
  free(begun);
  if (write(self->fd, out.bytes, out.used) != (ssize_t)out.used)
    atomic_fetch_add(&self->lost, lost + 1);
}

static void release(void *context) {
  free(context);
}

pgcache_status spans_write_to(pgcache *cache, int fd, int with_keys, pgcache_error *error) {
  spans *self = malloc(sizeof *self);
  if (self == NULL)
    return PGCACHE_NO_MEMORY;
  self->fd = fd;
  atomic_init(&self->lost, 0);
  pgcache_provider provider = PGCACHE_PROVIDER_INIT;
  provider.what = with_keys ? PGCACHE_OBSERVE_KEYS : 0;
  provider.begin = begin;
  provider.end = end;
  provider.release = release;
  provider.context = self;
  pgcache_status status = pgcache_add_provider(cache, &provider, error);
  if (status != PGCACHE_OK)
    free(self);
  return status;
}
