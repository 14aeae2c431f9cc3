/*
 * schema_pieces.c - see schema_pieces.h. A statement begins in the first column of a line, a column or an option of a
 * table stands on a line of its own behind two spaces, and the line that ends the table begins with a parenthesis.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/schema_pieces.h"

#include <stdio.h>
#include <string.h>

#define SCHEMA ":\"schema\"."

static const char *const kinds[] = {"TABLE", "table",    "SEQUENCE", "sequence", "VIEW",
                                    "view",  "FUNCTION", "function", "INDEX",    "index"};

static bool begins_with(const char *text, const char *words) {
  return strncmp(text, words, strlen(words)) == 0;
}

/* Copies the identifier that text begins with, which may be quoted. Its length, without quotes. */
static size_t copy_name(char *name, size_t size, const char *text) {
  text += *text == '"';
  size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
  if (length >= size)
    length = size - 1;
  memcpy(name, text, length);
  name[length] = '\0';
  return length;
}

/* A line that begins a statement: what does it make? */
static bool read_statement(pgc_schema_scan *scan, const char *line, size_t length, pgc_schema_piece *piece) {
  if (!begins_with(line, "CREATE "))
    return false;
  const char *word = line + strlen("CREATE ");
  const char *end = line + length;
  while (word < end) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i += 2) {
      if (!begins_with(word, kinds[i]) || word[strlen(kinds[i])] != ' ')
        continue;
      const char *name = word + strlen(kinds[i]) + 1;
      if (begins_with(name, "IF NOT EXISTS "))
        name += strlen("IF NOT EXISTS ");
      if (begins_with(name, SCHEMA))
        name += strlen(SCHEMA);
      if (copy_name(piece->name, sizeof scan->table, name) == 0)
        return false;
      piece->kind = kinds[i + 1];
      if (i == 0 && end[-1] == '(')
        memcpy(scan->table, piece->name, sizeof scan->table);
      return true;
    }
    const char *next = memchr(word, ' ', (size_t)(end - word));
    if (next == NULL)
      return false;
    word = next + 1;
  }
  return false;
}

/* The index of the table's primary key. */
static bool take_key(pgc_schema_scan *scan, pgc_schema_piece *piece) {
  scan->key = false;
  piece->kind = "index";
  snprintf(piece->name, sizeof piece->name, "%s_pkey", scan->table);
  return true;
}

/* A line inside a table: a column or an option, which may also say that there is a primary key. */
static bool read_table_line(pgc_schema_scan *scan, const char *line, size_t length, pgc_schema_piece *piece) {
  if (line[0] == ')') {
    scan->options = begins_with(line, ") WITH (");
    if (!scan->options)
      scan->table[0] = '\0';
    return false;
  }
  if (!begins_with(line, "  ") || line[2] == ' ')
    return false;
  char name[64];
  size_t name_length = copy_name(name, sizeof name, line + 2);
  if (scan->options) {
    const char *rest = line + 2;
    size_t option = strcspn(rest, " \n");
    const char *value = rest + option;
    if (name_length == 0 || !begins_with(value, " = "))
      return false;
    value += strlen(" = ");
    piece->kind = "option";
    snprintf(piece->name, sizeof piece->name, "%s %.*s=%.*s", scan->table, (int)option, rest,
             (int)strcspn(value, ", \n"), value);
    return true;
  }
  if (name_length == 0) /* a constraint of the table */
    return begins_with(line, "  PRIMARY KEY") && take_key(scan, piece);
  const char *key = strstr(line, " PRIMARY KEY");
  scan->key = key != NULL && key < line + length;
  piece->kind = "column";
  snprintf(piece->name, sizeof piece->name, "%s.%s", scan->table, name);
  return true;
}

bool pgc_schema_piece_next(pgc_schema_scan *scan, pgc_schema_piece *piece) {
  if (scan->key)
    return take_key(scan, piece);
  while (*scan->rest != '\0') {
    const char *line = scan->rest;
    size_t length = strcspn(line, "\n");
    scan->rest = line + length + (line[length] == '\n');
    bool found =
        scan->table[0] != '\0' ? read_table_line(scan, line, length, piece) : read_statement(scan, line, length, piece);
    if (found)
      return true;
  }
  return false;
}
