/*
 * pickle_json.c - writing what a pickle said as JSON.
 *
 * It must never write more than it was told, or go deeper than TEXT_DEPTH_MAX, whatever holds what.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pickle_json.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgcache.h"
#include "platform/memory.h"
#include "text.h"

/* Each value writes a byte at least, so that `most` bounds the time, too, however often a list stands in others. */
typedef struct writer {
  const pickle_tree *tree;
  unsigned char *data;
  size_t size, room, most;
  int depth;
  pickle_status status; /* the first thing that was wrong */
} writer;

static void fail(writer *self, pickle_status status) {
  if (self->status == PICKLE_OK)
    self->status = status;
}

static void put(writer *self, const void *bytes, size_t size) {
  if (self->status != PICKLE_OK || size == 0)
    return;
  if (size > self->most - self->size) {
    fail(self, PICKLE_TOO_LARGE);
    return;
  }
  if (size > self->room - self->size) {
    size_t room = self->room * 2 > self->size + size ? self->room * 2 : self->size + size;
    unsigned char *data = pgc_realloc(self->data, room);
    if (data == NULL) {
      fail(self, PICKLE_NO_MEMORY);
      return;
    }
    self->data = data;
    self->room = room;
  }
  memcpy(self->data + self->size, bytes, size);
  self->size += size;
}

static void put_text(writer *self, const unsigned char *bytes, size_t size) {
  if (!text_is_utf8(bytes, size)) { /* half of a surrogate pair */
    fail(self, PICKLE_NOT_JSON);
    return;
  }
  put(self, "\"", 1);
  size_t plain = 0;
  for (size_t index = 0; index < size; index++) {
    unsigned char byte = bytes[index];
    if (byte >= 0x20 && byte != '"' && byte != '\\')
      continue;
    char escape[8];
    int length =
        byte < 0x20 ? snprintf(escape, sizeof escape, "\\u%04x", byte) : snprintf(escape, sizeof escape, "\\%c", byte);
    put(self, bytes + plain, index - plain);
    put(self, escape, (size_t)length);
    plain = index + 1;
  }
  put(self, bytes + plain, size - plain);
  put(self, "\"", 1);
}

/* In decimal digits, which come from dividing by 10 again and again. */
static void put_int(writer *self, const node *value) {
  unsigned char rest[UINT8_MAX];
  char digits[UINT8_MAX * 5 / 2 + 2], *first = digits + sizeof digits; /* a byte has less than 2.5 of them */
  size_t size = value->size;
  memcpy(rest, value->of.data, size);
  bool negative = value->kind == NODE_INT && size > 0 && (rest[size - 1] & 0x80) != 0;
  unsigned carry = 1;
  for (size_t index = 0; index < size && negative; index++) {
    carry += (unsigned char)~rest[index];
    rest[index] = (unsigned char)carry;
    carry >>= 8;
  }
  do {
    unsigned remainder = 0;
    for (size_t index = size; index-- > 0;) {
      remainder = remainder << 8 | rest[index];
      rest[index] = (unsigned char)(remainder / 10);
      remainder %= 10;
    }
    *--first = (char)('0' + remainder);
    while (size > 0 && rest[size - 1] == 0)
      size--;
  } while (size > 0);
  if (negative)
    *--first = '-';
  put(self, first, (size_t)(digits + sizeof digits - first));
}

/* With as few digits as say it exactly, and so that it is read as a float again. */
static void put_float(writer *self, const unsigned char *bytes) {
  uint64_t bits = 0;
  double number;
  char text[40];
  for (size_t index = 0; index < sizeof bits; index++)
    bits = bits << 8 | bytes[index];
  memcpy(&number, &bits, sizeof number);
  if (!isfinite(number)) {
    fail(self, PICKLE_NOT_JSON);
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number)
      break;
  }
  if (strpbrk(text, ".e") == NULL)
    strcat(text, ".0");
  put(self, text, strlen(text));
}

static void put_value(writer *self, const node *value);

static void put_members(writer *self, const node *holder) {
  const link *links = self->tree->links;
  bool dict = holder->kind == NODE_DICT, key = true;
  put(self, dict ? "{" : "[", 1);
  for (uint32_t at = holder->of.links.first; at != 0 && self->status == PICKLE_OK; at = links[at].next) {
    const node *member = &self->tree->nodes[links[at].node];
    if (dict && key && member->kind != NODE_TEXT)
      fail(self, PICKLE_NOT_JSON);
    if (at != holder->of.links.first)
      put(self, dict && !key ? ":" : ",", 1);
    put_value(self, member);
    key = !key;
  }
  put(self, dict ? "}" : "]", 1);
}

/* It calls itself for what a value holds, as deep as TEXT_DEPTH_MAX, which also ends one that holds itself. */
static void put_value(writer *self, const node *value) {
  if (self->depth == TEXT_DEPTH_MAX)
    fail(self, PICKLE_TOO_LARGE);
  if (self->status != PICKLE_OK)
    return;
  self->depth++;
  switch (value->kind) {
  case NODE_WORD:
    put(self, value->of.data, value->size);
    break;
  case NODE_NATURAL:
  case NODE_INT:
    put_int(self, value);
    break;
  case NODE_FLOAT:
    put_float(self, value->of.data);
    break;
  case NODE_TEXT:
    put_text(self, value->of.data, value->size);
    break;
  case NODE_BYTES:
    fail(self, PICKLE_NOT_JSON);
    break;
  case NODE_LIST:
  case NODE_TUPLE:
  case NODE_DICT:
    put_members(self, value);
    break;
  }
  self->depth--;
}

pickle_status pickle_write(pickle_value *out, const pickle_tree *tree, size_t most) {
  writer self = {.tree = tree, .most = most, .status = PICKLE_OK};
  const node *value = &tree->nodes[tree->root];
  if (value->kind == NODE_BYTES)
    put(&self, value->of.data, value->size);
  else
    put_value(&self, value);
  if (self.status == PICKLE_OK)
    *out = (pickle_value){self.data, self.size, value->kind == NODE_BYTES ? PGCACHE_FORMAT_BYTES : PGCACHE_FORMAT_JSON};
  else
    pgc_free(self.data);
  return self.status;
}
