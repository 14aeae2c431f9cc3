/*
 * address.c - tells `null:`, `local:` and PostgreSQL's connection strings apart, and finds a local server's folder.
 *
 * Must never: print any part of an address in a message, touch the file system, or know libpq.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/address.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/memory.h"
#include "pure/error.h"

#define LOCAL "local:"
#define LOCAL_LENGTH (sizeof LOCAL - 1)

/* What a path may not have, in words. A comma would make libpq see two servers, and nothing escapes it there. */
static const char bad_folder[] = "the folder of local: must be an absolute path of at most 80 bytes, other than /, "
                                 "without commas and control characters";

static bool begins_with(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The length of a path without the slashes at its end. */
static size_t trimmed_length(const char *path) {
  size_t length = strlen(path);
  while (length > 0 && path[length - 1] == '/')
    length--;
  return length;
}

static bool folder_ok(const char *path) {
  size_t length = trimmed_length(path);
  if (path[0] != '/' || length == 0 || length > PGC_LOCAL_DIR_MAX)
    return false;
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)path[i] < 0x20 || path[i] == 0x7F || path[i] == ',')
      return false;
  }
  return true;
}

/* True for text like "redis://...": a URI's scheme and its slashes. */
static bool has_scheme(const char *text) {
  size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
  return begins_with(text + length, "://");
}

const char *pgc_address_problem(const char *url) {
  if (url[0] == '\0' || strcmp(url, "null:") == 0)
    return NULL;
  if (begins_with(url, "null:"))
    return "null: must stand alone";
  if (begins_with(url, LOCAL)) {
    const char *path = url + LOCAL_LENGTH;
    return path[0] == '\0' || folder_ok(path) ? NULL : bad_folder;
  }
  if (begins_with(url, "postgresql://") || begins_with(url, "postgres://"))
    return NULL;
  /* Neither can be a connection string: libpq knows no other scheme, and its own form is keyword=value. */
  if (has_scheme(url))
    return "the scheme is unknown; the address must be postgresql://..., a libpq connection string, null: or local:";
  if (strchr(url, '=') == NULL)
    return "this is not an address; it must be postgresql://..., a libpq connection string such as "
           "\"host=... dbname=...\", null: or local:";
  return NULL;
}

/* An environment variable that holds an absolute path; else NULL. */
static const char *path_from_environment(const char *name) {
  const char *value = getenv(name);
  return value != NULL && value[0] == '/' ? value : NULL;
}

/* Joins two texts in memory of their own; NULL when there is none. */
static char *join(const char *left, size_t left_length, const char *right) {
  size_t right_length = strlen(right);
  char *out = pgc_alloc(left_length + right_length + 1);
  if (out == NULL)
    return NULL;
  memcpy(out, left, left_length);
  memcpy(out + left_length, right, right_length + 1);
  return out;
}

/* The folder of `local:` without a path: root's, or the one of the user's data. */
static pgcache_status default_folder(char **out, pgcache_error *error) {
  const char *base;
  const char *rest;
  if (geteuid() == 0) {
    base = "/var/lib";
    rest = "/pgcache/local";
  } else if ((base = path_from_environment("XDG_DATA_HOME")) != NULL) {
    rest = "/pgcache/local";
  } else if ((base = path_from_environment("HOME")) != NULL) {
    rest = "/.local/share/pgcache/local";
  } else {
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "url: neither XDG_DATA_HOME nor HOME holds an absolute path; name the folder, as in local:/path");
  }
  *out = join(base, trimmed_length(base), rest);
  if (*out == NULL)
    return pgc_fail_memory(error);
  if (folder_ok(*out))
    return PGCACHE_OK;
  return pgc_fail(error, PGCACHE_BAD_SETTING,
                  "url: %s; XDG_DATA_HOME or HOME leads to another; name the folder, as in local:/path", bad_folder);
}

/* The connection string of the server in a folder, over its socket only: an empty hostaddr keeps libpq from taking one
   from the environment. */
static char *local_conninfo(const char *folder) {
  static const char head[] = "host='";
  static const char tail[] = "/socket' hostaddr='' port=5432 user=pgcache dbname=pgcache";
  char *out = pgc_alloc(sizeof head + 2 * strlen(folder) + sizeof tail);
  if (out == NULL)
    return NULL;
  char *end = stpcpy(out, head);
  for (const char *c = folder; *c != '\0'; c++) {
    if (*c == '\'' || *c == '\\')
      *end++ = '\\';
    *end++ = *c;
  }
  strcpy(end, tail);
  return out;
}

static pgcache_status parse_local(pgc_address *out, const char *path, pgcache_error *error) {
  out->kind = PGC_ADDRESS_LOCAL;
  if (path[0] == '\0') {
    pgcache_status status = default_folder(&out->local_dir, error);
    if (status != PGCACHE_OK)
      return status;
  } else {
    out->local_dir = join(path, trimmed_length(path), "");
    if (out->local_dir == NULL)
      return pgc_fail_memory(error);
  }
  out->conninfo = local_conninfo(out->local_dir);
  return out->conninfo != NULL ? PGCACHE_OK : pgc_fail_memory(error);
}

pgcache_status pgc_address_parse(pgc_address *out, const char *url, pgcache_error *error) {
  memset(out, 0, sizeof *out);
  if (url[0] == '\0')
    return pgc_fail(error, PGCACHE_BAD_SETTING,
                    "url: not set; it must be postgresql://..., a libpq connection string, null: or local:");
  const char *problem = pgc_address_problem(url);
  if (problem != NULL)
    return pgc_fail(error, PGCACHE_BAD_SETTING, "url: %s", problem);
  if (strcmp(url, "null:") == 0) {
    out->kind = PGC_ADDRESS_NULL;
    return PGCACHE_OK;
  }
  if (begins_with(url, LOCAL)) {
    pgcache_status status = parse_local(out, url + LOCAL_LENGTH, error);
    if (status != PGCACHE_OK)
      pgc_address_clear(out);
    return status;
  }
  out->kind = PGC_ADDRESS_POSTGRES;
  out->conninfo = pgc_strdup(url);
  return out->conninfo != NULL ? PGCACHE_OK : pgc_fail_memory(error);
}

void pgc_address_clear(pgc_address *address) {
  if (address == NULL)
    return;
  pgc_free(address->conninfo);
  pgc_free(address->local_dir);
  memset(address, 0, sizeof *address);
}
