/*
 * table.c - what the table says, in C's terms: byte strings, documents, numbers, statuses.
 *
 * Must never change the table: all callers of a step read it at the same time.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "conformance.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Byte strings and documents --------------------------------------------------------------------------------------------- */

static int nibble(int digit) {
  const char *digits = "0123456789abcdef", *found = digit == 0 ? NULL : strchr(digits, digit);
  if (found == NULL) {
    die("the table has a hexadecimal digit that is none");
  }
  return (int)(found - digits);
}

bytes bytes_of(const json_t *json) {
  bytes result = {NULL, 0};
  if (json_is_string(json)) {
    result.size = json_string_length(json);
    result.data = allocate(result.size + 1);
    memcpy(result.data, json_string_value(json), result.size);
    return result;
  }
  const char *hex = json_string_value(json_object_get(json, "hex"));
  if (hex == NULL) {
    die("the table has something else where bytes should be");
  }
  size_t once = strlen(hex) / 2, times = (size_t)number_member(json, "times", 1);
  result.size = once * times;
  result.data = allocate(result.size + 1);
  for (size_t i = 0; i < result.size; i++) {
    const char *digits = hex + i % once * 2;
    result.data[i] = (unsigned char)(nibble(digits[0]) << 4 | nibble(digits[1]));
  }
  return result;
}

/* 15 digits are enough for the table's numbers, and stay what they are as decimals. */
bytes document_bytes(const json_t *document) {
  char *text = json_dumps(document, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
  if (text == NULL) {
    die("a document cannot be written as JSON");
  }
  return (bytes){(unsigned char *)text, strlen(text)};
}

json_t *document_of(const void *data, size_t n) {
  return json_loadb(data, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
}

bytes content_of(const json_t *json, int32_t *format) {
  const json_t *value = json_object_get(json, "value");
  *format = (int32_t)number_member(json, "format", value != NULL ? PGCACHE_FORMAT_BYTES : PGCACHE_FORMAT_JSON);
  if (value != NULL) {
    return bytes_of(value);
  }
  if (json_object_get(json, "json") == NULL) {
    die("the table has neither a value nor a document to write");
  }
  return document_bytes(json_object_get(json, "json"));
}

void compare_value(const pgcache_value *value, const json_t *wanted, char why[WHY_SIZE]) {
  const json_t *document = json_object_get(wanted, "json"), *bare = json_object_get(wanted, "value");
  const int32_t format = (int32_t)number_member(wanted, "format", document != NULL ? PGCACHE_FORMAT_JSON : 0);
  const size_t size = pgcache_value_size(value);
  why[0] = 0;
  if (document == NULL && bare == NULL) {
    return;
  }
  if (value == NULL) {
    snprintf(why, WHY_SIZE, "there is no value");
  } else if (pgcache_value_format(value) != format) {
    snprintf(why, WHY_SIZE, "the format is %d, not %d", (int)pgcache_value_format(value), (int)format);
  } else if (document != NULL) {
    json_t *found = document_of(pgcache_value_data(value), size);
    if (found == NULL || !json_equal(found, document)) {
      snprintf(why, WHY_SIZE, "another document: %.200s", (const char *)pgcache_value_data(value));
    }
    json_decref(found);
  } else {
    bytes expected = bytes_of(bare);
    if (size != expected.size || memcmp(pgcache_value_data(value), expected.data, size) != 0) {
      snprintf(why, WHY_SIZE, "other bytes: %zu of them, not %zu", size, expected.size);
    }
    free(expected.data);
  }
}

/* ---- Members ----------------------------------------------------------------------------------------------------------------- */

const char *text_member(const json_t *json, const char *name, const char *otherwise) {
  const char *text = json_string_value(json_object_get(json, name));
  return text != NULL ? text : otherwise;
}

int64_t number_member(const json_t *json, const char *name, int64_t otherwise) {
  const json_t *member = json_object_get(json, name);
  if (member == NULL) {
    return otherwise;
  }
  if (json_is_string(member)) {
    const char *text = json_string_value(member);
    return strcmp(text, "never") == 0 ? PGCACHE_TTL_NEVER : strcmp(text, "default") == 0 ? PGCACHE_TTL_DEFAULT : 0;
  }
  return json_integer_value(member);
}

bool has_word(const json_t *list, const char *word) {
  size_t i;
  json_t *element;
  json_array_foreach((json_t *)(uintptr_t)list, i, element) {
    if (json_is_string(element) && strcmp(json_string_value(element), word) == 0) {
      return true;
    }
  }
  return false;
}

void status_word(pgcache_status status, char word[40]) {
  snprintf(word, 40, "%s", pgcache_status_name(status) + strlen("PGCACHE_"));
  for (char *letter = word; *letter != 0; letter++) {
    *letter = (char)tolower((unsigned char)*letter);
  }
}
