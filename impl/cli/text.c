/*
 * text.c - looking at bytes: whether they are UTF-8, whether they are JSON.
 *
 * The bytes come from anywhere. It must never read beyond them, change them, or take memory.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "text.h"

#include <string.h>

size_t text_utf8_sequence(const unsigned char *data, size_t size, uint32_t *point) {
  static const struct {
    unsigned char mask, lead;
    uint32_t least;
  } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

  for (size_t length = 1; length <= 4 && length <= size; length++) {
    if ((data[0] & forms[length - 1].mask) != forms[length - 1].lead)
      continue;
    *point = data[0] & (uint32_t)(unsigned char)~forms[length - 1].mask;
    for (size_t index = 1; index < length; index++) {
      if ((data[index] & 0xc0) != 0x80)
        return 0;
      *point = *point << 6 | (data[index] & 0x3fU);
    }
    bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
    return *point < forms[length - 1].least || *point > 0x10ffff || surrogate ? 0 : length;
  }
  return 0;
}

bool text_is_utf8(const void *data, size_t size) {
  const unsigned char *bytes = data;
  uint32_t point = 0;
  while (size > 0) {
    size_t length = text_utf8_sequence(bytes, size, &point);
    if (length == 0)
      return false;
    bytes += length;
    size -= length;
  }
  return true;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

/* What is left to be read. Each take_ function moves behind what it is named after, or says that it is not there. */
typedef struct json_rest {
  const unsigned char *at;
  const unsigned char *end;
  int depth;
} json_rest;

static void skip_space(json_rest *self) {
  while (self->at < self->end && memchr(" \t\n\r", *self->at, 4) != NULL)
    self->at++;
}

static bool take_byte(json_rest *self, char byte) {
  if (self->at == self->end || *self->at != (unsigned char)byte)
    return false;
  self->at++;
  return true;
}

static bool take_word(json_rest *self, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(self->end - self->at) < length || memcmp(self->at, word, length) != 0)
    return false;
  self->at += length;
  return true;
}

static bool take_digits(json_rest *self) {
  const unsigned char *first = self->at;
  while (self->at < self->end && *self->at >= '0' && *self->at <= '9')
    self->at++;
  return self->at > first;
}

static bool take_number(json_rest *self) {
  take_byte(self, '-');
  if (!take_byte(self, '0') && !take_digits(self))
    return false;
  if (take_byte(self, '.') && !take_digits(self))
    return false;
  if (!take_byte(self, 'e') && !take_byte(self, 'E'))
    return true;
  if (!take_byte(self, '+'))
    take_byte(self, '-');
  return take_digits(self);
}

/* What stands behind a backslash. */
static bool take_escape(json_rest *self) {
  if (self->at == self->end)
    return false;
  unsigned char kind = *self->at++;
  if (kind != 'u')
    return kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL;
  for (int digit = 0; digit < 4; digit++, self->at++)
    if (self->at == self->end || memchr("0123456789abcdefABCDEF", *self->at, 22) == NULL)
      return false;
  return true;
}

static bool take_string(json_rest *self) {
  if (!take_byte(self, '"'))
    return false;
  while (!take_byte(self, '"')) {
    uint32_t point = 0;
    size_t length = text_utf8_sequence(self->at, (size_t)(self->end - self->at), &point);
    if (length == 0 || point < 0x20) /* the end is no sequence either */
      return false;
    self->at += length;
    if (point == '\\' && !take_escape(self))
      return false;
  }
  return true;
}

static bool take_value(json_rest *self);

/* Takes what stands between brackets, the first of which was taken; a member of an object begins with its name. */
static bool take_members(json_rest *self, char close, bool named) {
  skip_space(self);
  if (take_byte(self, close))
    return true;
  do {
    skip_space(self);
    if (named && !take_string(self))
      return false;
    skip_space(self);
    if ((named && !take_byte(self, ':')) || !take_value(self))
      return false;
  } while (take_byte(self, ','));
  return take_byte(self, close);
}

/* With the space around it. It calls itself for what is inside, as deep as TEXT_DEPTH_MAX. */
static bool take_value(json_rest *self) {
  if (self->depth == TEXT_DEPTH_MAX)
    return false;
  self->depth++;
  skip_space(self);
  bool good;
  if (take_byte(self, '{'))
    good = take_members(self, '}', true);
  else if (take_byte(self, '['))
    good = take_members(self, ']', false);
  else
    good = take_word(self, "null") || take_word(self, "true") || take_word(self, "false") || take_string(self) ||
           take_number(self);
  skip_space(self);
  self->depth--;
  return good;
}

bool text_is_json(const void *data, size_t size) {
  json_rest rest = {data, (const unsigned char *)data + size, 0};
  return take_value(&rest) && rest.at == rest.end;
}
