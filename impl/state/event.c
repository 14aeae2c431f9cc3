/*
 * event.c - see event.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "state/event.h"

#include <stdio.h>
#include <string.h>

#include "platform/memory.h"

/* Of a longer key words name the beginning. */
#define KEY_WORDS_MAX 100

uint32_t pgc_event_flag(const pgcache_event *event) {
  switch (event->kind) {
  case PGCACHE_EVENT_OPERATION:
    return PGCACHE_OBSERVE_OPERATIONS;
  case PGCACHE_EVENT_SLOW:
    return PGCACHE_OBSERVE_SLOW;
  case PGCACHE_EVENT_STATE:
    return PGCACHE_OBSERVE_STATES;
  case PGCACHE_EVENT_LOG:
    break;
  }
  return PGCACHE_OBSERVE_LOG;
}

static const char *text(const char *given) {
  return given != NULL ? given : "";
}

pgcache_event pgc_event_complete(const pgcache_event *event, pgcache_event_kind kind, pgcache_level level,
                                 int64_t began_us) {
  pgcache_event out = *event;
  out.struct_size = sizeof out;
  out.kind = kind;
  out.level = level;
  out.began_us = began_us;
  out.operation = text(event->operation);
  out.outcome = text(event->outcome);
  out.source = text(event->source);
  out.namespace_name = text(event->namespace_name);
  out.span_name = text(event->span_name);
  out.message = text(event->message);
  out.sqlstate = text(event->sqlstate);
  if (out.key == NULL)
    out.key_len = 0;
  return out;
}

/* ---- Copies ---- */

static const char *keep(char **to, const char *given) {
  char *kept = *to;
  size_t size = strlen(given) + 1;
  memcpy(kept, given, size);
  *to += size;
  return kept;
}

pgc_event_copy *pgc_event_copy_of(const pgcache_event *event, bool with_key) {
  size_t key_len = with_key ? event->key_len : 0;
  size_t size = strlen(event->operation) + strlen(event->outcome) + strlen(event->source) +
                strlen(event->namespace_name) + strlen(event->span_name) + strlen(event->message) +
                strlen(event->sqlstate) + 7 + key_len;
  pgc_event_copy *made = pgc_alloc(sizeof *made + size);
  if (made == NULL)
    return NULL;
  char *to = made->bytes;
  made->next = NULL;
  made->event = *event;
  made->event.operation = keep(&to, event->operation);
  made->event.outcome = keep(&to, event->outcome);
  made->event.source = keep(&to, event->source);
  made->event.namespace_name = keep(&to, event->namespace_name);
  made->event.span_name = keep(&to, event->span_name);
  made->event.message = keep(&to, event->message);
  made->event.sqlstate = keep(&to, event->sqlstate);
  made->event.key = key_len > 0 ? memcpy(to, event->key, key_len) : NULL;
  made->event.key_len = key_len;
  return made;
}

/* ---- Words ---- */

typedef struct words {
  char *out;
  size_t used; /* there is always room for the NUL */
} words;

static void add(words *self, const char *more) {
  size_t room = PGC_SLOW_WORDS_MAX - 1 - self->used, size = strlen(more);
  if (size > room)
    size = room;
  memcpy(self->out + self->used, more, size);
  self->used += size;
  self->out[self->used] = '\0';
}

/* Bytes that may be anything, so that they stay one line of ASCII. */
static void add_bytes(words *self, const void *bytes, size_t size) {
  const unsigned char *from = bytes;
  for (size_t i = 0; i < size && i < KEY_WORDS_MAX; i++) {
    char code[5];
    bool plain = from[i] >= 0x20 && from[i] < 0x7f && from[i] != '"' && from[i] != '\\';
    snprintf(code, sizeof code, plain ? "%c" : "\\x%02x", from[i]);
    add(self, code);
  }
  if (size > KEY_WORDS_MAX)
    add(self, "...");
}

void pgc_event_slow_words(char out[PGC_SLOW_WORDS_MAX], const pgcache_event *event, bool with_key) {
  words said = {out, 0};
  char number[64];
  add(&said, event->operation);
  snprintf(number, sizeof number, " took %lld ms: ", (long long)(event->duration_ns / 1000000));
  add(&said, number);
  add(&said, event->outcome);
  add(&said, ", from the ");
  add(&said, strcmp(event->source, "near") == 0 ? "near cache" : "store");
  add(&said, "; namespace ");
  add(&said, event->namespace_name);
  if (event->span_name[0] != '\0') {
    add(&said, ", span name \"");
    add_bytes(&said, event->span_name, strlen(event->span_name));
    add(&said, "\"");
  }
  if (event->key_count > 1) {
    snprintf(number, sizeof number, ", %zu keys", event->key_count);
    add(&said, number);
  }
  if (with_key && event->key != NULL) {
    add(&said, ", key \"");
    add_bytes(&said, event->key, event->key_len);
    add(&said, "\"");
  }
}
