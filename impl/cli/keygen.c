/*
 * keygen.c - `pgcache keygen`: prints a line for a key file.
 *
 * It must never keep or log the key. It needs neither a configuration nor a server.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "cli.h"
#include "output.h"

#define KEY_SIZE 32
#define ID_MAX 16
#define TEXT_SIZE ((KEY_SIZE + 2) / 3 * 4)

/* Base64 of KEY_SIZE bytes, whose last group is of two. */
static void encode(char *text, const unsigned char *key) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < KEY_SIZE; i += 3) {
    uint32_t group = (uint32_t)key[i] << 16 | (uint32_t)key[i + 1] << 8 | (i + 2 < KEY_SIZE ? key[i + 2] : 0u);
    for (int shift = 18; shift >= 0; shift -= 6)
      *text++ = digits[group >> shift & 63];
  }
  text[-1] = '=';
  *text = '\0';
}

static bool is_id(const char *id) {
  size_t length = strlen(id);
  return length >= 1 && length <= ID_MAX && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

int command_keygen(cli_session *session) {
  char made[ID_MAX + 1] = "k", text[TEXT_SIZE + 1];
  unsigned char key[KEY_SIZE + 4]; /* and the number in the id */
  const char *id = session->operand_count > 0 ? session->operands[0] : made;
  if (!is_id(id)) {
    out_error("an id has 1 to 16 of a-z, 0-9, _ and -");
    return CLI_USAGE;
  }
  if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key) { /* of up to 256 bytes all or nothing */
    out_error("the system has no random numbers");
    return CLI_ERROR;
  }
  const unsigned char *number = key + KEY_SIZE;
  snprintf(made + 1, sizeof made - 1, "%02x%02x%02x%02x", number[0], number[1], number[2], number[3]);
  encode(text, key);
  if (out_is_json()) {
    json_open("keygen");
    json_string("status", pgcache_status_name(PGCACHE_OK));
    json_string("id", id);
    json_string("key", text);
    json_close();
  } else {
    out_format("%s %s\n", id, text);
  }
  explicit_bzero(key, sizeof key);
  explicit_bzero(text, sizeof text);
  return CLI_OK;
}
