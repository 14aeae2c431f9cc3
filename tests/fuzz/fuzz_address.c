/*
 * fuzz_address.c - addresses of any form, with a secret in them. No message shows it, and what `local:` becomes is read
 * by libpq as the one socket that was meant.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "fuzz.h"

#include <libpq-fe.h>

#include "pure/address.h"

static void check_local(const pgc_address *address) {
  REQUIRE(address->local_dir[0] == '/' && strlen(address->local_dir) <= PGC_LOCAL_DIR_MAX);
  PQconninfoOption *options = PQconninfoParse(address->conninfo, NULL);
  REQUIRE(options != NULL);
  for (PQconninfoOption *option = options; option->keyword != NULL; option++) {
    if (strcmp(option->keyword, "host") == 0) {
      size_t length = strlen(address->local_dir);
      REQUIRE(strncmp(option->val, address->local_dir, length) == 0 && strcmp(option->val + length, "/socket") == 0);
      REQUIRE(strchr(option->val, ',') == NULL);
    } else if (strcmp(option->keyword, "hostaddr") == 0) {
      REQUIRE(option->val[0] == '\0');
    } else if (option->val != NULL) {
      REQUIRE(strcmp(option->val, "5432") == 0 || strcmp(option->val, "pgcache") == 0);
    }
  }
  PQconninfoFree(options);
}

static void parse(const char *url) {
  pgc_address address;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_status status = pgc_address_parse(&address, url, &error);
  check_error(status, &error);
  if (status == PGCACHE_OK) {
    REQUIRE(pgc_address_problem(url) == NULL);
    REQUIRE((address.kind == PGC_ADDRESS_NULL) == (address.conninfo == NULL));
    REQUIRE((address.kind == PGC_ADDRESS_LOCAL) == (address.local_dir != NULL));
    if (address.kind == PGC_ADDRESS_LOCAL)
      check_local(&address);
    if (address.kind == PGC_ADDRESS_POSTGRES)
      REQUIRE(strcmp(address.conninfo, url) == 0);
  } else {
    REQUIRE(status == PGCACHE_BAD_SETTING);
    REQUIRE(address.conninfo == NULL && address.local_dir == NULL);
  }
  pgc_address_clear(&address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = text_with_canary(data, size);
  parse(text);
  free(text);
  return 0;
}
