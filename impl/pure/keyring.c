/*
 * keyring.c - see keyring.h. A key file has a line `ID base64` for each key, and one `digest base64` for keyed digests;
 * empty lines and those that begin with # are comments, and a semicolon ends a line, too (for environment variables).
 *
 * SPDX-License-Identifier: MIT
 */
#include "pure/keyring.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "platform/secret_file.h"
#include "pure/error.h"

static const char from_file[] = "file:";
static const char from_environment[] = "env:";

static bool begins_with(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool pgc_keyring_source_ok(const char *source) {
  if (begins_with(source, from_file))
    return source[strlen(from_file)] == '/';
  if (!begins_with(source, from_environment))
    return false;
  const char *name = source + strlen(from_environment);
  return name[0] != '\0' && (name[0] < '0' || name[0] > '9') &&
         name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* ---- Lines ---- */

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

static bool is_id_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Reads exactly one key at text, with spaces around it. */
static bool read_key(unsigned char *key, const char *text, size_t size) {
  size_t decoded;
  while (size > 0 && is_space(text[0]))
    text++, size--;
  while (size > 0 && is_space(text[size - 1]))
    size--;
  return sodium_base642bin(key, PGC_SECRET_SIZE, text, size, NULL, &decoded, NULL, sodium_base64_VARIANT_ORIGINAL) ==
             0 &&
         decoded == PGC_SECRET_SIZE;
}

/* Takes one line. NULL, or what is wrong with it. */
static const char *take_line(pgc_keyring *keyring, const char *line, size_t size) {
  static const char shape[] = "is not ID and base64: an id of 1 to 16 of a-z, 0-9, _ and -, a space, and 32 bytes in "
                              "base64, as `pgcache keygen` prints them";
  while (size > 0 && is_space(line[0]))
    line++, size--;
  if (size == 0 || line[0] == '#')
    return NULL;
  size_t id_len = 0;
  while (id_len < size && is_id_character(line[id_len]))
    id_len++;
  if (id_len == 0 || id_len > PGC_KEY_ID_MAX || id_len == size || !is_space(line[id_len]))
    return shape;

  const char *text = line + id_len;
  size_t text_size = size - id_len;
  if (id_len == strlen("digest") && memcmp(line, "digest", id_len) == 0) {
    if (keyring->has_digest_key)
      return "is a second digest key: there can be one";
    keyring->has_digest_key = true;
    return read_key(keyring->digest_key, text, text_size) ? NULL : shape;
  }
  if (pgc_keyring_find(keyring, line, id_len) != NULL)
    return "has the id of a line before it";
  if (keyring->count == PGC_KEYRING_MAX)
    return "is one key too many: there can be 16";
  pgc_secret *secret = &keyring->secrets[keyring->count++];
  secret->id_len = (unsigned char)id_len;
  memcpy(secret->id, line, id_len);
  return read_key(secret->key, text, text_size) ? NULL : shape;
}

static pgcache_status take_lines(pgc_keyring *keyring, const char *text, size_t size, pgcache_error *error) {
  int number = 0;
  while (size > 0) {
    size_t length = 0;
    while (length < size && text[length] != '\n' && text[length] != ';')
      length++;
    number++;
    const char *problem = take_line(keyring, text, length);
    if (problem != NULL)
      return pgc_fail(error, PGCACHE_BAD_SETTING, "keys: line %d of the key file %s", number, problem);
    length += length < size;
    text += length;
    size -= length;
  }
  if (keyring->count == 0 && !keyring->has_digest_key)
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "keys: there is no key in the key file; `pgcache keygen` prints a line");
  return PGCACHE_OK;
}

/* ---- The keyring ---- */

/* Locked memory, with pages around it that nobody can touch; NULL when there is none. */
static void *secret_alloc(size_t size) {
  return sodium_init() < 0 ? NULL : sodium_malloc(size);
}

pgcache_status pgc_keyring_parse(pgc_keyring **out, const char *text, size_t size, pgcache_error *error) {
  *out = NULL;
  pgc_keyring *keyring = secret_alloc(sizeof *keyring);
  if (keyring == NULL)
    return pgc_fail_memory(error);
  sodium_memzero(keyring, sizeof *keyring);
  pgcache_status status = take_lines(keyring, text, size, error);
  if (status != PGCACHE_OK) {
    pgc_keyring_free(keyring);
    return status;
  }
  sodium_mprotect_readonly(keyring);
  *out = keyring;
  return PGCACHE_OK;
}

static pgcache_status load_file(pgc_keyring **out, const char *path, pgcache_error *error) {
  size_t size;
  unsigned char *text = secret_alloc(PGC_KEY_FILE_MAX);
  if (text == NULL)
    return pgc_fail_memory(error);
  const char *problem = pgc_read_secret_file(path, text, PGC_KEY_FILE_MAX, &size);
  pgcache_status status = problem != NULL ? pgc_fail(error, PGCACHE_BAD_SETTING, "keys: the key file %s", problem)
                                          : pgc_keyring_parse(out, (const char *)text, size, error);
  sodium_free(text); /* which wipes */
  return status;
}

/* The environment itself stays as it is: it belongs to the whole process. */
static pgcache_status load_environment(pgc_keyring **out, const char *name, pgcache_error *error) {
  const char *text = getenv(name);
  if (text == NULL || text[0] == '\0')
    return pgc_fail(error, PGCACHE_BAD_SETTING, "keys: the environment variable that it names is not there or empty");
  size_t size = strnlen(text, PGC_KEY_FILE_MAX + 1);
  if (size > PGC_KEY_FILE_MAX)
    return pgc_fail(error, PGCACHE_BAD_SETTING, "keys: the environment variable that it names is too long");
  return pgc_keyring_parse(out, text, size, error);
}

pgcache_status pgc_keyring_load(pgc_keyring **out, const char *source, pgcache_error *error) {
  *out = NULL;
  if (begins_with(source, from_file))
    return load_file(out, source + strlen(from_file), error);
  return load_environment(out, source + strlen(from_environment), error);
}

const pgc_secret *pgc_keyring_find(const pgc_keyring *keyring, const void *id, size_t id_len) {
  for (size_t i = 0; i < keyring->count; i++) {
    const pgc_secret *secret = &keyring->secrets[i];
    if (secret->id_len == id_len && memcmp(secret->id, id, id_len) == 0)
      return secret;
  }
  return NULL;
}

void pgc_keyring_free(pgc_keyring *keyring) {
  sodium_free(keyring);
}
