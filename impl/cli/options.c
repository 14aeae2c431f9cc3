/*
 * options.c - the command line: which options there are, and how argv becomes a session.
 *
 * Owns the table of options and all parsing of arguments. It must never repeat an argument in a message: what stands in
 * the wrong place may be an address with a password, or a value.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "platform/memory.h"

const cli_option cli_options[OPTION_COUNT] = {
    [OPTION_JSON] = {"json", NULL, "print one JSON object, for machines"},
    [OPTION_HELP] = {"help", NULL, "explain the command"},
    [OPTION_VERSION] = {"version", NULL, "print the version"},
    [OPTION_KEY_BASE64] = {"key-base64", NULL, "keys (also --after) and tags are given in base64"},
    [OPTION_FILE] = {"file", "FILE", "read the value from FILE; - is standard input"},
    [OPTION_TTL] = {"ttl", "TIME", "how long the entry lives: 500ms, 30s, 5m, 2h, 1d or never"},
    [OPTION_FORMAT] = {"format", "FORMAT", "what the value is: bytes (the default), json or a number of your own"},
    [OPTION_IF_ABSENT] = {"if-absent", NULL, "store only if there is no entry"},
    [OPTION_IF_PRESENT] = {"if-present", NULL, "store only if there is an entry"},
    [OPTION_IF_VERSION] = {"if-version", "VERSION", "store only if the entry still has this version"},
    [OPTION_INITIAL] = {"initial", "NUMBER", "what a counter that is not there starts from (0)"},
    [OPTION_LIMIT] = {"limit", "COUNT", "stop after so many keys"},
    [OPTION_AFTER] = {"after", "KEY", "begin behind this key"},
    [OPTION_FROM] = {"from", "CACHE", "whose table: psycache, postgres-cache or fastapi-cachekit"},
    [OPTION_SOURCE] = {"source", "ADDRESS", "the database that the table is in, if it is another than the cache's"},
    [OPTION_SOURCE_TABLE] = {"source-table", "TABLE", "what the table is called, such as shop.psycache"},
    [OPTION_OVERWRITE] = {"overwrite", NULL, "replace what the cache has already"},
    [OPTION_PAGE_SIZE] = {"page-size", "COUNT", "ask the server for so many keys at a time (1000)"},
    [OPTION_ALL] = {"all", NULL, "every namespace of the schema"},
    [OPTION_YES] = {"yes", NULL, "do not ask for confirmation"},
    [OPTION_DRY_RUN] = {"dry-run", NULL, "print the SQL and run nothing"},
    [OPTION_DIR] = {"dir", "DIR", "the folder of the local server"},
    [OPTION_MAX_ENTRIES] = {"max-entries", "COUNT", "keep at most so many entries, or none: no limit"},
    [OPTION_MAX_BYTES] = {"max-bytes", "BYTES", "keep at most so many bytes of keys and values, or none: no limit"},
    [OPTION_TAG] = {"tag", "TAG",
                    "a tag that the entry depends on, or that is invalidated; may be given several times"},
    [OPTION_STALE] = {"stale", "TIME",
                      "for so long after its time one caller refreshes the entry, others get it as it is"},
    [OPTION_FAIL_SAFE] = {"fail-safe", "TIME", "for so long after its time the entry stands in if the program fails"},
    [OPTION_INTERVAL] = {"interval", "TIME", "how often to read anew (2s)"},
    [OPTION_TIMES] = {"count", "COUNT", "stop after so many readings; with --json the last of them is printed (2)"},
    [OPTION_PROMETHEUS] = {"prometheus", NULL, "print the figures in the text format of Prometheus"},
    [OPTION_WAIT] = {"wait", "TIME", "wait for somebody else's load no longer than so long"},
};

void options_flag_name(char *buffer, size_t size, const char *setting) {
  snprintf(buffer, size, "%s", setting);
  for (char *place = strchr(buffer, '_'); place != NULL; place = strchr(place, '_'))
    *place = '-';
}

/* Says whether text, which may end at an '=', is the word. */
static bool same_name(const char *text, size_t length, const char *word) {
  return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* Gives the name of the setting whose flag text is, or NULL. The strings of the library's table are static. */
static const char *find_setting(const char *text, size_t length) {
  for (size_t index = 0;; index++) {
    pgcache_setting setting = PGCACHE_SETTING_INIT;
    if (pgcache_config_describe(&setting, index, NULL) != PGCACHE_OK)
      return NULL;
    char flag[64];
    options_flag_name(flag, sizeof flag, setting.name);
    if (same_name(text, length, flag))
      return setting.name;
  }
}

/* Option names are lower-case words, so that a short and tame one can be repeated in a message; anything else could be
   an argument that slipped out of its place. */
static const char *tame(const char *text, size_t length) {
  static char word[33];
  if (length == 0 || length >= sizeof word)
    return "?";
  for (size_t index = 0; index < length; index++)
    if (!((text[index] >= 'a' && text[index] <= 'z') || text[index] == '-'))
      return "?";
  memcpy(word, text, length);
  word[length] = '\0';
  return word;
}

/* Takes the long option at argv[*index] and, if it needs one, its value. */
static int take_option(cli_session *session, int argc, char **argv, int *index) {
  const char *text = argv[*index] + 2;
  size_t length = strcspn(text, "=");
  const char *value = text[length] == '=' ? text + length + 1 : NULL;

  int id = 0;
  while (id < OPTION_COUNT && !same_name(text, length, cli_options[id].name))
    id++;
  const char *setting = id < OPTION_COUNT ? NULL : find_setting(text, length);
  if (id == OPTION_COUNT && setting == NULL) {
    out_error("unknown option --%s; `pgcache help` lists the options", tame(text, length));
    return CLI_USAGE;
  }
  bool is_switch = id < OPTION_COUNT && cli_options[id].argument == NULL;
  if (is_switch && value != NULL) {
    out_error("option --%s takes no value", cli_options[id].name);
    return CLI_USAGE;
  }
  if (!is_switch && value == NULL) {
    if (*index + 1 >= argc) {
      out_error("option --%s needs a value", tame(text, length));
      return CLI_USAGE;
    }
    value = argv[++*index];
  }
  if (setting != NULL) {
    session->settings[session->setting_count++] = setting;
    session->settings[session->setting_count++] = value;
  } else {
    if (id == OPTION_TAG)
      session->tags[session->tag_count++] = value;
    session->values[id] = is_switch ? "" : value;
  }
  return CLI_OK;
}

/* A negative number is an operand (`incr KEY -1`), and so is a single dash. */
static bool is_option(const char *text) {
  return text[0] == '-' && text[1] != '\0' && !(text[1] >= '0' && text[1] <= '9');
}

/* Finds the command that the first operands name, and takes these away. */
static int find_command(cli_session *session) {
  const char *first = session->operands[0];
  bool local = strcmp(first, "local") == 0;
  for (const cli_command *command = cli_commands; command->name != NULL; command++) {
    bool found = strcmp(command->name, first) == 0;
    size_t words = 1;
    if (local && session->operand_count > 1 && strncmp(command->name, "local ", 6) == 0) {
      found = strcmp(command->name + 6, session->operands[1]) == 0;
      words = 2;
    }
    if (!found || words > session->operands_before_dashes)
      continue;
    session->command = command;
    out_command(command->name);
    session->operands += words;
    session->operand_count -= words;
    session->operands_before_dashes -= words;
    return CLI_OK;
  }
  if (local)
    out_error("local needs one of start, stop, status, url, psql; see `pgcache help local`");
  else
    out_error("unknown command %s; `pgcache help` lists the commands", tame(first, strlen(first)));
  return CLI_USAGE;
}

/* Checks that the command takes what was given. */
static int check_fit(const cli_session *session) {
  const cli_command *command = session->command;
  uint32_t always = OPTION_BIT(OPTION_JSON) | OPTION_BIT(OPTION_HELP) | OPTION_BIT(OPTION_VERSION);
  for (int id = 0; id < OPTION_COUNT; id++) {
    if (session->values[id] != NULL && !((command->options | always) & OPTION_BIT(id))) {
      out_error("%s takes no option --%s; see `pgcache help %s`", command->name, cli_options[id].name, command->name);
      return CLI_USAGE;
    }
  }
  if (session->setting_count > 0 && !command->settings) {
    char flag[64];
    options_flag_name(flag, sizeof flag, session->settings[0]);
    out_error("%s takes no option --%s; see `pgcache help %s`", command->name, flag, command->name);
    return CLI_USAGE;
  }
  if (session->operand_count < command->operands_least) {
    out_error("%s needs more arguments; usage: pgcache %s %s", command->name, command->name, command->operands);
    return CLI_USAGE;
  }
  if (session->operand_count > command->operands_most) {
    out_error("%s has too many arguments; usage: pgcache %s %s", command->name, command->name, command->operands);
    return CLI_USAGE;
  }
  return CLI_OK;
}

int options_parse(cli_session *session, int argc, char **argv) {
  size_t room = (size_t)argc + 1;
  session->operand_block = cli_memory(NULL, room * sizeof *session->operand_block);
  session->operands = session->operand_block;
  session->settings = cli_memory(NULL, 2 * room * sizeof *session->settings);
  session->tags = cli_memory(NULL, room * sizeof *session->tags);
  bool dashes = false;
  for (int index = 1; index < argc; index++) {
    const char *text = argv[index];
    if (!dashes && strcmp(text, "--") == 0) {
      dashes = true;
      session->operands_before_dashes = session->operand_count;
    } else if (dashes || !is_option(text)) {
      session->operands[session->operand_count++] = argv[index];
    } else if (strcmp(text, "-h") == 0) {
      session->values[OPTION_HELP] = "";
    } else if (strcmp(text, "-V") == 0) {
      session->values[OPTION_VERSION] = "";
    } else if (text[1] != '-') {
      out_error(
          "unknown option; `pgcache help` lists the options (an argument that begins with a dash goes behind --)");
      return CLI_USAGE;
    } else {
      int code = take_option(session, argc, argv, &index);
      if (code != CLI_OK)
        return code;
    }
  }
  session->operands[session->operand_count] = NULL; /* as exec wants the words of a program */
  if (!dashes)
    session->operands_before_dashes = session->operand_count;

  if (session->operand_count == 0) {
    if (cli_given(session, OPTION_HELP) || cli_given(session, OPTION_VERSION))
      return CLI_OK;
    out_error("no command; `pgcache help` lists the commands");
    return CLI_USAGE;
  }
  /* `pgcache local --help` explains all of local. */
  if (cli_given(session, OPTION_HELP) && session->operand_count == 1 && strcmp(session->operands[0], "local") == 0)
    return CLI_OK;
  int code = find_command(session);
  if (code != CLI_OK || cli_given(session, OPTION_HELP) || cli_given(session, OPTION_VERSION))
    return code;
  return check_fit(session);
}

bool options_parse_integer(int64_t *out, const char *text) {
  if (!(text[0] >= '0' && text[0] <= '9') && !((text[0] == '-' || text[0] == '+') && text[1] >= '0' && text[1] <= '9'))
    return false;
  char *end = NULL;
  errno = 0;
  long long number = strtoll(text, &end, 10);
  if (errno != 0 || *end != '\0')
    return false;
  *out = number;
  return true;
}

bool options_parse_ttl(int64_t *out, const char *text) {
  static const struct {
    const char *name;
    int64_t ms;
  } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

  if (strcmp(text, "never") == 0) {
    *out = PGCACHE_TTL_NEVER;
    return true;
  }
  if (!(text[0] >= '0' && text[0] <= '9'))
    return false;
  char *end = NULL;
  errno = 0;
  long long number = strtoll(text, &end, 10);
  if (errno != 0 || number <= 0)
    return false;
  for (size_t index = 0; index < sizeof units / sizeof units[0]; index++) {
    if (strcmp(end, units[index].name) != 0)
      continue;
    /* What is over the library's limit is shortened by it; here only the multiplication must hold. */
    if (number > PGCACHE_TTL_MAX / units[index].ms)
      *out = PGCACHE_TTL_MAX;
    else
      *out = number * units[index].ms;
    return true;
  }
  return false;
}

int options_ttl(int64_t *out, const cli_session *session, int64_t otherwise) {
  *out = otherwise;
  if (!cli_given(session, OPTION_TTL) || options_parse_ttl(out, session->values[OPTION_TTL]))
    return CLI_OK;
  out_error("--ttl needs a number above 0 with its unit, such as 500ms, 30s, 5m, 2h or 1d, or the word never");
  return CLI_USAGE;
}

int options_time(int64_t *out, const cli_session *session, option_id id, int64_t otherwise) {
  *out = otherwise;
  if (!cli_given(session, id) || (options_parse_ttl(out, session->values[id]) && *out != PGCACHE_TTL_NEVER))
    return CLI_OK;
  out_error("--%s needs a number above 0 with its unit, such as 500ms, 30s, 5m, 2h or 1d", cli_options[id].name);
  return CLI_USAGE;
}

int options_number(int64_t *out, const cli_session *session, option_id id, int64_t least, int64_t most,
                   int64_t otherwise) {
  *out = otherwise;
  if (!cli_given(session, id))
    return CLI_OK;
  if (options_parse_integer(out, session->values[id]) && *out >= least && *out <= most)
    return CLI_OK;
  out_error("--%s needs a whole number from %lld to %lld", cli_options[id].name, (long long)least, (long long)most);
  return CLI_USAGE;
}

int options_format(int32_t *out, const cli_session *session) {
  const char *text = session->values[OPTION_FORMAT];
  int64_t number = PGCACHE_FORMAT_BYTES;
  if (text == NULL || strcmp(text, "bytes") == 0) {
    number = PGCACHE_FORMAT_BYTES;
  } else if (strcmp(text, "json") == 0) {
    number = PGCACHE_FORMAT_JSON;
  } else if (!options_parse_integer(&number, text) || number < 0 || number > INT32_MAX) {
    out_error("--format needs bytes, json or a number from 0 to %d", INT32_MAX);
    return CLI_USAGE;
  }
  *out = (int32_t)number;
  return CLI_OK;
}

/* The six bits that a character of base64, not NUL, stands for, or -1. */
static int base64_bits(char character) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *place = strchr(alphabet, character);
  return place == NULL ? -1 : (int)(place - alphabet);
}

bool options_parse_base64(cli_bytes *out, const char *text) {
  size_t length = strlen(text);
  size_t padding = 0;
  while (padding < 2 && length > 0 && text[length - 1] == '=') {
    length--;
    padding++;
  }
  out->size = 0;
  out->data = NULL;
  if (length % 4 == 1 || (padding > 0 && (length + padding) % 4 != 0))
    return false;
  out->data = cli_memory(NULL, length / 4 * 3 + 3);
  uint32_t bits = 0;
  unsigned held = 0;
  for (size_t index = 0; index < length; index++) {
    int six = base64_bits(text[index]);
    if (six < 0)
      goto refused;
    bits = (bits << 6 | (uint32_t)six) & 0xffffffU;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out->data[out->size++] = (unsigned char)(bits >> held & 0xffU);
    }
  }
  /* Bits left over must be zero, or two texts would mean the same bytes. */
  if ((bits & ((1U << held) - 1U)) == 0)
    return true;
refused:
  pgc_free(out->data);
  out->data = NULL;
  out->size = 0;
  return false;
}

/* Adds the dependency that text names, as bytes or in base64. */
static int add_dependency(cli_dependencies *out, const cli_session *session, pgcache_dependency_kind kind,
                          const char *text) {
  cli_bytes *name = &out->names[out->count];
  pgcache_dependency *item = &out->items[out->count];
  int code = options_key(name, session, text, kind == PGCACHE_DEPENDS_ON_TAG ? "tag" : "key");
  if (code != CLI_OK)
    return code;
  *item = (pgcache_dependency)PGCACHE_DEPENDENCY_INIT;
  item->kind = kind;
  item->name = name->data;
  item->name_len = name->size;
  out->count++;
  return CLI_OK;
}

int options_dependencies(cli_dependencies *out, const cli_session *session, char *const *operands, size_t operand_count,
                         pgcache_dependency_kind kind) {
  size_t room = session->tag_count + operand_count + 1;
  int code = CLI_OK;
  out->count = 0;
  out->items = cli_memory(NULL, room * sizeof *out->items);
  out->names = cli_memory(NULL, room * sizeof *out->names);
  for (size_t index = 0; index < session->tag_count && code == CLI_OK; index++)
    code = add_dependency(out, session, PGCACHE_DEPENDS_ON_TAG, session->tags[index]);
  for (size_t index = 0; index < operand_count && code == CLI_OK; index++)
    code = add_dependency(out, session, kind, operands[index]);
  return code;
}

int options_check_tags(const cli_dependencies *tags) {
  bool good = tags->count <= PGCACHE_DEPENDENCIES_MAX;
  for (size_t index = 0; index < tags->count; index++)
    good = good && tags->names[index].size > 0 && tags->names[index].size <= PGCACHE_TAG_MAX;
  if (good)
    return CLI_OK;
  out_error("an entry has up to %d tags of 1 to %d bytes", PGCACHE_DEPENDENCIES_MAX, PGCACHE_TAG_MAX);
  return CLI_USAGE;
}

void options_free_dependencies(cli_dependencies *dependencies) {
  for (size_t index = 0; index < dependencies->count; index++)
    pgc_free(dependencies->names[index].data);
  pgc_free(dependencies->names);
  pgc_free(dependencies->items);
}

void options_text(cli_bytes *out, const char *text) {
  out->size = strlen(text);
  out->data = cli_memory(NULL, out->size + 1);
  memcpy(out->data, text, out->size + 1);
}

int options_key(cli_bytes *out, const cli_session *session, const char *text, const char *what) {
  out->size = 0;
  out->data = NULL;
  if (!cli_given(session, OPTION_KEY_BASE64)) {
    options_text(out, text);
  } else if (!options_parse_base64(out, text)) {
    out_error("the %s is not base64, which --key-base64 says it is", what);
    return CLI_USAGE;
  }
  return CLI_OK;
}
