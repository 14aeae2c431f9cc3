/*
 * fuzz.h - what the fuzz targets share: planting a secret in the input, and seeing it in a message.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGCACHE_TESTS_FUZZ_H
#define PGCACHE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgcache.h"

/* No three letters of it occur in any word of ours. */
#define CANARY "qZx7Jv9Kw3Yh5Bf1"

#define REQUIRE(condition)                                                                                             \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                          \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* The input as text: the first byte says where the secret stands in the rest. To be freed. */
static inline char *text_with_canary(const uint8_t *data, size_t size) {
  size_t at = size > 1 ? data[0] % size : 0;
  size_t rest = size > 0 ? size - 1 : 0;
  char *text = malloc(rest + sizeof CANARY);
  REQUIRE(text != NULL);
  if (at > 0)
    memcpy(text, data + 1, at);
  memcpy(text + at, CANARY, sizeof CANARY - 1);
  if (rest > at)
    memcpy(text + at + sizeof CANARY - 1, data + 1 + at, rest - at);
  text[rest + sizeof CANARY - 1] = '\0';
  return text;
}

/* The call's status and error belong together; the message is one line and shows nothing of the secret. */
static inline void check_error(pgcache_status status, const pgcache_error *error) {
  REQUIRE(error->struct_size == sizeof *error);
  if (status >= 0) {
    REQUIRE(error->status == PGCACHE_OK && error->message[0] == '\0');
    return;
  }
  REQUIRE(error->status == status);
  REQUIRE(memchr(error->message, '\0', sizeof error->message) != NULL);
  REQUIRE(error->message[0] != '\0');
  REQUIRE(strpbrk(error->message, "\n\r\x1b") == NULL);
  for (size_t i = 0; i + 3 < sizeof CANARY; i++) {
    char part[4] = {CANARY[i], CANARY[i + 1], CANARY[i + 2], '\0'};
    REQUIRE(strstr(error->message, part) == NULL);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
