/*
 * main.c - the C runner: all cases, the value vectors, or single steps as it is told. README.md beside it has the protocol.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "conformance.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed;

_Noreturn void die(const char *format, ...) {
  va_list arguments;
  fputs("conformance: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(2);
}

void *allocate(size_t size) {
  void *memory = calloc(1, size);
  if (memory == NULL) {
    die("out of memory");
  }
  return memory;
}

static void tell(const char *prefix, const char *name, const char *why) {
  if (why[0] == 0) {
    passed++;
    printf("ok %s%s\n", prefix, name);
  } else {
    failed++;
    printf("not ok %s%s: %s\n", prefix, name, why);
  }
}

/* Whether the language leaves out a case or a vector, and says why. */
static bool skips(const char *prefix, const json_t *one) {
  const char *reason = text_member(json_object_get(one, "without"), LANGUAGE, NULL);
  if (reason != NULL) {
    printf("skipped %s%s: %s\n", prefix, text_member(one, "name", ""), reason);
  }
  return reason != NULL;
}

/* ---- run --------------------------------------------------------------------------------------------------------------------------- */

static void run_case(const json_t *table, const json_t *one) {
  const json_t *steps = json_object_get(one, "steps");
  char why[WHY_SIZE] = "";
  scene here;
  size_t i;
  json_t *step;
  scene_open(&here, table, one);
  json_array_foreach((json_t *)(uintptr_t)steps, i, step) {
    char difference[WHY_SIZE] = "";
    step_do(&here, step, difference);
    if (difference[0] != 0) {
      snprintf(why, sizeof why, "step %zu, %s: %.300s", i, text_member(step, "do", ""), difference);
      break;
    }
  }
  tell("", text_member(one, "name", ""), why);
  scene_close(&here);
}

static void run_all(const json_t *table, pgcache *cache) {
  const json_t *cases = json_object_get(table, "cases");
  pgcache_error error = PGCACHE_ERROR_INIT;
  size_t i;
  json_t *one;
  json_array_foreach((json_t *)(uintptr_t)cases, i, one) {
    if (!skips("", one)) {
      if (pgcache_flush(cache, NULL, PGCACHE_FLUSH_ALL, NULL, &error) != PGCACHE_OK) {
        die("the cache cannot be emptied: %s", error.message);
      }
      run_case(table, one);
    }
  }
}

/* ---- write, read ---------------------------------------------------------------------------------------------------------------------- */

static bool writes(const json_t *vector, const char *language) {
  const json_t *from = json_object_get(vector, "from");
  return (from == NULL || has_word(from, language)) &&
         json_object_get(json_object_get(vector, "without"), language) == NULL;
}

static void write_one(pgcache *cache, const char *namespace_name, const json_t *vector, bytes content, int32_t format) {
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  pgcache_error error = PGCACHE_ERROR_INIT;
  bytes key = bytes_of(json_object_get(vector, "key"));
  options.namespace_name = namespace_name;
  if (pgcache_put(cache, NULL, key.data, key.size, content.data, content.size, format, PGCACHE_TTL_NEVER, &options,
                  &error) != PGCACHE_OK) {
    die("a vector cannot be written: %s", error.message);
  }
  free(key.data);
}

static void write_all(const json_t *table, pgcache *cache) {
  const json_t *values = json_object_get(table, "values"), *digests = json_object_get(table, "digests");
  size_t i;
  json_t *one;
  json_array_foreach((json_t *)(uintptr_t)values, i, one) {
    int32_t format;
    if (writes(one, LANGUAGE)) {
      bytes content = content_of(one, &format);
      write_one(cache, LANGUAGE, one, content, format);
      free(content.data);
    }
  }
  json_array_foreach((json_t *)(uintptr_t)digests, i, one) {
    bytes namespace_name = bytes_of(json_object_get(one, "namespace"));
    write_one(cache, (const char *)namespace_name.data, one, (bytes){(unsigned char *)LANGUAGE, strlen(LANGUAGE)},
              PGCACHE_FORMAT_BYTES);
    free(namespace_name.data);
  }
}

/* What a reader of C gets: the document where there is one, otherwise the bytes. */
static void read_one(pgcache *cache, const char *language, const json_t *vector, char why[WHY_SIZE]) {
  pgcache_options options = PGCACHE_OPTIONS_INIT;
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache_value *value;
  bytes key = bytes_of(json_object_get(vector, "key"));
  json_t *wanted = json_deep_copy(vector);
  options.namespace_name = language;
  if (json_object_get(wanted, "json") != NULL) {
    json_object_del(wanted, "value");
  }
  const pgcache_status status = pgcache_get(cache, &value, key.data, key.size, &options, &error);
  if (status != PGCACHE_OK) {
    snprintf(why, WHY_SIZE, "%s %s", pgcache_status_name(status), error.message);
  } else {
    compare_value(value, wanted, why);
  }
  json_decref(wanted);
  pgcache_value_free(value);
  free(key.data);
}

static void read_all(const json_t *table, pgcache *cache, char **languages) {
  const json_t *values = json_object_get(table, "values");
  for (; *languages != NULL; languages++) {
    char prefix[40];
    size_t i;
    json_t *one;
    snprintf(prefix, sizeof prefix, "from %s: ", *languages);
    json_array_foreach((json_t *)(uintptr_t)values, i, one) {
      if (writes(one, *languages) && !skips(prefix, one)) {
        char why[WHY_SIZE] = "";
        read_one(cache, *languages, one, why);
        tell(prefix, text_member(one, "name", ""), why);
      }
    }
  }
}

/* ---- serve ------------------------------------------------------------------------------------------------------------------------------- */

static void take_saved(scene *of, char *words) {
  char *rest = NULL;
  for (char *word = strtok_r(words, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
    char *value = strchr(word, '=');
    if (value != NULL) {
      *value++ = 0;
      scene_save(of, word, strtoll(value, NULL, 10));
    }
  }
}

static void answer(scene *of, const json_t *step, const char *why) {
  const char *save = text_member(step, "save", NULL);
  if (why[0] != 0) {
    printf("not ok: %s\n", why);
    return;
  }
  printf("ok");
  if (save != NULL) {
    printf(" %s=%lld", save, (long long)scene_saved(of, save));
  }
  if (json_object_get(step, "loader") != NULL) {
    printf(" loads=%d", atomic_load(&of->tallies->loads)); /* the newest is this step's */
  }
  printf("\n");
}

static void serve(const json_t *table) {
  const json_t *cases = json_object_get(table, "cases"), *one = NULL;
  char *line = NULL;
  size_t room = 0, which, number;
  int behind;
  scene here;
  while (getline(&line, &room, stdin) > 0) {
    if (sscanf(line, "begin %zu", &which) == 1) {
      if (one != NULL) {
        scene_close(&here);
      }
      one = json_array_get(cases, which);
      scene_open(&here, table, one);
      here.serving = true;
      printf("ok\n");
    } else if (one != NULL && sscanf(line, "step %zu %zu%n", &which, &number, &behind) == 2) {
      const json_t *step = json_array_get(json_object_get(json_array_get(cases, which), "steps"), number);
      char why[WHY_SIZE] = "";
      take_saved(&here, line + behind);
      step_do(&here, step, why);
      answer(&here, step, why);
    } else {
      die("cannot understand: %s", line);
    }
    fflush(stdout);
  }
  if (one != NULL) {
    scene_close(&here);
  }
  free(line);
}

/* ---------------------------------------------------------------------------------------------------------------------------------- */

static pgcache *open_cache(const json_t *table) {
  pgcache_error error = PGCACHE_ERROR_INIT;
  pgcache *cache = NULL;
  pgcache_config *config = scene_config(json_object_get(table, "settings"), NULL, &error);
  if (config == NULL || pgcache_new(&cache, config, &error) != PGCACHE_OK || pgcache_init(cache, NULL, &error) < 0) {
    die("%s", error.message);
  }
  pgcache_config_free(config);
  return cache;
}

int main(int count, char **words) {
  json_error_t where;
  const char *what = count > 1 ? words[1] : "";
  const bool known =
      strcmp(what, "run") == 0 || strcmp(what, "write") == 0 || strcmp(what, "read") == 0 || strcmp(what, "serve") == 0;
  if (!known || count < 3) {
    fputs("usage: conformance run|write|serve CASES | read CASES LANGUAGE...\n", stderr);
    return 2;
  }
  json_t *table = json_load_file(words[2], JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &where);
  if (table == NULL) {
    die("%s:%d: %s", words[2], where.line, where.text);
  }
  pgcache *cache = open_cache(table);
  if (strcmp(what, "run") == 0) {
    run_all(table, cache);
  } else if (strcmp(what, "write") == 0) {
    write_all(table, cache);
  } else if (strcmp(what, "read") == 0) {
    read_all(table, cache, words + 3);
  } else {
    serve(table);
  }
  if (strcmp(what, "run") == 0 || strcmp(what, "read") == 0) {
    printf("%d passed, %d failed\n", passed, failed);
  }
  pgcache_free(cache);
  json_decref(table);
  return failed > 0;
}
