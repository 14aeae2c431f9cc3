/*
 * wire.c - see wire.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static void append(wire *self, const void *bytes, size_t length) {
  if (self->length + length > self->room) {
    self->room = (self->length + length) * 2;
    self->bytes = realloc(self->bytes, self->room);
    if (self->bytes == NULL) {
      die("out of memory");
    }
  }
  memcpy(self->bytes + self->length, bytes, length);
  self->length += length;
}

static void append_int4(wire *self, uint32_t number) {
  const unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                  (unsigned char)(number >> 8), (unsigned char)number};
  append(self, bytes, sizeof bytes);
}

void wire_begin(wire *self, uint32_t element_type, int count) {
  const uint32_t header[5] = {1, 0, element_type, (uint32_t)count,
                              1}; /* dimensions, NULLs, type, length, first index */
  self->length = 0;
  for (size_t i = 0; i < sizeof header / sizeof *header; i++) {
    append_int4(self, header[i]);
  }
}

void wire_add(wire *self, const void *bytes, size_t length) {
  append_int4(self, (uint32_t)length);
  append(self, bytes, length);
}

void wire_int8(char out[8], int64_t number) {
  for (int i = 0; i < 8; i++) {
    out[i] = (char)((uint64_t)number >> (56 - 8 * i));
  }
}

char *wire_statement(const char *text, const char *schema) {
  static const char name[] = ":\"schema\"", sequence[] = ":'version_seq'", now[] = ":now";
  static const char untold[] = "-- @untold", end[] = "-- @end"; /* what is for schemas with coherence=off alone */
  char with[64];
  wire out = {NULL, 0, 0};
  while (*text != '\0') {
    if (strncmp(text, untold, sizeof untold - 1) == 0) {
      const char *behind = strstr(text, end);
      if (behind == NULL) {
        die("a statement has no end of what is not told");
      }
      text = behind + sizeof end - 1;
    } else if (strncmp(text, name, sizeof name - 1) == 0) {
      append(&out, with, (size_t)snprintf(with, sizeof with, "\"%s\"", schema));
      text += sizeof name - 1;
    } else if (strncmp(text, sequence, sizeof sequence - 1) == 0) {
      append(&out, with, (size_t)snprintf(with, sizeof with, "'\"%s\".version_seq'", schema));
      text += sizeof sequence - 1;
    } else if (strncmp(text, now, sizeof now - 1) == 0) {
      append(&out, "now()", 5);
      text += sizeof now - 1;
    } else {
      append(&out, text++, 1);
    }
  }
  append(&out, "", 1);
  return out.bytes;
}
