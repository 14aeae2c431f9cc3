/*
 * changes.c - see changes.h. Everything that is read here may have been written by anybody: each length is checked before
 * it is used, and nothing is applied before all of it was.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Frames ---- */

#define FRAME_HEAD 6
#define ENTRY_SIZE (PGC_DIGEST_SIZE + 8)

/* One frame, its events still as bytes. */
typedef struct frame {
  int kind;
  size_t event_size; /* 0: a kind without events, or one that is not known */
  const unsigned char *events;
  size_t size;
} frame;

static size_t event_size(int kind) {
  switch (kind) {
  case PGC_CHANGE_ENTRIES:
    return ENTRY_SIZE;
  case PGC_CHANGE_INVALIDATED:
  case PGC_CHANGE_RELEASED:
    return PGC_DIGEST_SIZE;
  default:
    return 0;
  }
}

/* Takes the frame that begins the bytes, and gives its whole size; 0 if there is none. */
static size_t take_frame(frame *out, const unsigned char *bytes, size_t size) {
  if (size < FRAME_HEAD)
    return 0;
  *out = (frame){.kind = bytes[0] << 8 | bytes[1], .events = bytes + FRAME_HEAD, .size = pgc_load_u32(bytes + 2)};
  out->event_size = event_size(out->kind);
  if (out->size > size - FRAME_HEAD || (out->event_size > 0 && out->size % out->event_size != 0) ||
      (out->kind == PGC_CHANGE_EVERYTHING && out->size != 0))
    return 0;
  return FRAME_HEAD + out->size;
}

static bool are_frames(const unsigned char *bytes, size_t size) {
  for (size_t at = 0; at < size;) {
    frame one;
    size_t taken = take_frame(&one, bytes + at, size - at);
    if (taken == 0)
      return false;
    at += taken;
  }
  return true;
}

bool pgc_changes_apply(const unsigned char *frames, size_t size, void (*apply)(void *context, const pgc_change *change),
                       void *context) {
  if (!are_frames(frames, size))
    return false;
  for (size_t at = 0; at < size;) {
    frame one;
    at += take_frame(&one, frames + at, size - at);
    pgc_change change = {.kind = (pgc_change_kind)one.kind};
    if (one.kind == PGC_CHANGE_EVERYTHING)
      apply(context, &change);
    for (size_t event = 0; one.event_size > 0 && event < one.size; event += one.event_size) {
      memcpy(change.digest.bytes, one.events + event, PGC_DIGEST_SIZE);
      if (one.kind == PGC_CHANGE_ENTRIES)
        change.version = (int64_t)pgc_load_u64(one.events + event + PGC_DIGEST_SIZE);
      apply(context, &change);
    }
  }
  return true;
}

/* ---- Numbers and snapshots ---- */

/* Text that is being read; `at` NULL: something was not as it must be, and stays so. */
typedef struct reader {
  const char *at, *end;
} reader;

static uint64_t take_number(reader *from) {
  uint64_t number = 0;
  const char *begin = from->at;
  while (from->at != NULL && from->at < from->end && *from->at >= '0' && *from->at <= '9') {
    uint64_t digit = (uint64_t)(*from->at - '0');
    if (number > ((uint64_t)INT64_MAX - digit) / 10) {
      from->at = NULL;
      return 0;
    }
    number = number * 10 + digit;
    from->at++;
  }
  if (from->at == begin)
    from->at = NULL;
  return number;
}

static void take_char(reader *from, char wanted) {
  if (from->at == NULL || from->at == from->end || *from->at != wanted)
    from->at = NULL;
  else
    from->at++;
}

bool pgc_snapshot_parse(pgc_snapshot *out, const char *text, size_t size) {
  if (size > PGC_SNAPSHOT_TEXT_MAX)
    return false;
  reader from = {text, text + size};
  uint64_t xmin = take_number(&from);
  take_char(&from, ':');
  uint64_t xmax = take_number(&from);
  take_char(&from, ':');
  if (from.at == NULL || xmin == 0 || xmin > xmax)
    return false;
  size_t in_progress = 0;
  uint64_t last = 0;
  while (from.at != from.end) {
    if (in_progress > 0)
      take_char(&from, ',');
    uint64_t next = take_number(&from);
    if (from.at == NULL || next < xmin || next >= xmax || next <= last)
      return false;
    last = next;
    in_progress++;
  }
  out->xmax = xmax;
  out->in_progress = in_progress;
  out->position = (int64_t)(xmax - in_progress);
  memcpy(out->text, text, size);
  out->text[size] = '\0';
  return true;
}

/* ---- Base64 and hexadecimal digits ---- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void append_base64(pgc_buffer *out, const unsigned char *bytes, size_t size) {
  for (size_t at = 0; at < size; at += 3) {
    size_t left = size - at;
    uint32_t three = (uint32_t)bytes[at] << 16 | (left > 1 ? (uint32_t)bytes[at + 1] << 8 : 0) |
                     (left > 2 ? (uint32_t)bytes[at + 2] : 0);
    const char four[4] = {base64_digits[three >> 18], base64_digits[three >> 12 & 63],
                          left > 1 ? base64_digits[three >> 6 & 63] : '=', left > 2 ? base64_digits[three & 63] : '='};
    pgc_buffer_append(out, four, 4);
  }
}

/* 64: not a digit. */
static uint32_t base64_digit(char digit) {
  if (digit >= 'A' && digit <= 'Z')
    return (uint32_t)(digit - 'A');
  if (digit >= 'a' && digit <= 'z')
    return (uint32_t)(digit - 'a') + 26;
  if (digit >= '0' && digit <= '9')
    return (uint32_t)(digit - '0') + 52;
  return digit == '+' ? 62 : digit == '/' ? 63 : 64;
}

/* False if the text is not just what append_base64() writes. */
static bool read_base64(pgc_buffer *out, const char *text, size_t size) {
  if (size % 4 != 0)
    return false;
  pgc_buffer_reserve(out, size / 4 * 3);
  for (size_t at = 0; at < size; at += 4) {
    size_t digits = 4;
    if (at + 4 == size)
      digits = text[at + 3] != '=' ? 4 : text[at + 2] != '=' ? 3 : 2;
    uint32_t three = 0;
    for (size_t i = 0; i < 4; i++) {
      uint32_t digit = i < digits ? base64_digit(text[at + i]) : 0;
      if (digit == 64)
        return false;
      three = three << 6 | digit;
    }
    const unsigned char bytes[3] = {(unsigned char)(three >> 16), (unsigned char)(three >> 8), (unsigned char)three};
    for (size_t i = digits - 1; i < 3; i++) {
      if (bytes[i] != 0)
        return false;
    }
    pgc_buffer_append(out, bytes, digits - 1);
  }
  return !out->failed;
}

static const char hex_digits[] = "0123456789abcdef";

static void take_nonce(reader *from, unsigned char nonce[PGC_NONCE_SIZE]) {
  memset(nonce, 0, PGC_NONCE_SIZE);
  for (size_t i = 0; i < 2 * PGC_NONCE_SIZE; i++) {
    const char *digit =
        from->at != NULL && from->at < from->end && *from->at != '\0' ? strchr(hex_digits, *from->at) : NULL;
    if (digit == NULL) {
      from->at = NULL;
      return;
    }
    nonce[i / 2] = (unsigned char)(nonce[i / 2] << 4 | (digit - hex_digits));
    from->at++;
  }
}

/* ---- Messages ---- */

/* The last part alone says where it leads to. */
static bool take_target(reader *from, pgc_snapshot *to, bool last) {
  if (from->at == NULL)
    return false;
  const char *space = memchr(from->at, ' ', (size_t)(from->end - from->at));
  if (space == NULL)
    return false;
  size_t size = (size_t)(space - from->at);
  bool good = last ? pgc_snapshot_parse(to, from->at, size) : size == 1 && *from->at == '-';
  from->at = space;
  return good;
}

bool pgc_message_parse(pgc_message *out, const char *payload, size_t size) {
  out->frames = (pgc_buffer)PGC_BUFFER_INIT;
  out->to.text[0] = '\0';
  out->to.position = 0;
  if (size > PGC_MESSAGE_MAX)
    return false;
  reader from = {payload, payload + size};
  take_char(&from, '1');
  take_char(&from, ' ');
  take_nonce(&from, out->nonce);
  take_char(&from, ' ');
  out->from = (int64_t)take_number(&from);
  take_char(&from, ' ');
  uint64_t part = take_number(&from);
  take_char(&from, ' ');
  uint64_t parts = take_number(&from);
  take_char(&from, ' ');
  if (part == 0 || part > parts || parts > UINT32_MAX || !take_target(&from, &out->to, part == parts))
    return false;
  out->part = (uint32_t)part;
  out->parts = (uint32_t)parts;
  take_char(&from, ' ');
  if (read_base64(&out->frames, from.at, (size_t)(from.end - from.at)))
    return true;
  pgc_buffer_clear(&out->frames);
  return false;
}

/* What stands before the frames and the snapshot, with numbers as long as they can be. */
#define MESSAGE_HEAD_MAX (2 + 2 * PGC_NONCE_SIZE + 1 + 19 + 1 + 10 + 1 + 10 + 1 + 1)

/* How many bytes of frames a message carries beside a target of this length. */
static size_t room_beside(size_t target) {
  return (PGC_MESSAGE_MAX - MESSAGE_HEAD_MAX - target) / 4 * 3;
}

static void append_head(pgc_buffer *out, const unsigned char nonce[PGC_NONCE_SIZE], int64_t from, uint32_t part,
                        uint32_t parts, const char *target) {
  char numbers[64];
  pgc_buffer_append_text(out, "1 ");
  for (size_t i = 0; i < PGC_NONCE_SIZE; i++) {
    const char two[2] = {hex_digits[nonce[i] >> 4], hex_digits[nonce[i] & 15]};
    pgc_buffer_append(out, two, 2);
  }
  snprintf(numbers, sizeof numbers, " %" PRId64 " %" PRIu32 " %" PRIu32 " ", from, part, parts);
  pgc_buffer_append_text(out, numbers);
  pgc_buffer_append_text(out, target);
  pgc_buffer_append(out, " ", 1);
}

bool pgc_messages_write(pgc_buffer *out, uint32_t *parts, const unsigned char nonce[PGC_NONCE_SIZE], int64_t from,
                        const pgc_snapshot *to, const unsigned char *frames, size_t size, uint32_t parts_max) {
  size_t room = room_beside(1), last_room = room_beside(strlen(to->text));
  size_t others = size > last_room ? (size - last_room + room - 1) / room : 0;
  if (size == 0 || !are_frames(frames, size) || others >= parts_max)
    return false;
  *parts = (uint32_t)others + 1;
  for (uint32_t part = 1; part <= *parts; part++) {
    size_t taken = part == *parts || size < room ? size : room;
    append_head(out, nonce, from, part, *parts, part == *parts ? to->text : "-");
    append_base64(out, frames, taken);
    pgc_buffer_append(out, "", 1);
    frames += taken;
    size -= taken;
  }
  return !out->failed;
}
