/*
 * pickle_json.h - what a pickle said, as a tree, and writing it as JSON. For pickle.c.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_PICKLE_JSON_H
#define PGC_CLI_PICKLE_JSON_H

#include "pickle.h"

typedef enum node_kind {
  NODE_WORD,    /* its JSON */
  NODE_NATURAL, /* an int without a sign, the lowest byte first, as in all ints */
  NODE_INT,     /* in two's complement */
  NODE_FLOAT,   /* eight bytes, the highest first */
  NODE_TEXT,
  NODE_BYTES,
  NODE_LIST,
  NODE_TUPLE,
  NODE_DICT
} node_kind;

/* A value: its bytes, mostly in the pickle itself, or of what holds others the first and last of its links. */
typedef struct node {
  node_kind kind;
  uint32_t size;
  union {
    const unsigned char *data;
    struct {
      uint32_t first, last; /* 0: none */
    } links;
  } of;
} node;

/* One that another holds, and the next; of a dict a key and its value take turns. */
typedef struct link {
  uint32_t node;
  uint32_t next; /* 0: none */
} link;

/* One value, with all that it holds; a value may be held by several, and by itself. */
typedef struct pickle_tree {
  const node *nodes;
  const link *links;
  uint32_t root; /* a node */
} pickle_tree;

/* Writes the value into out, which the caller has zeroed and gives to pgc_free(); it stays as it is unless PICKLE_OK. */
pickle_status pickle_write(pickle_value *out, const pickle_tree *tree, size_t most);

#endif /* PGC_CLI_PICKLE_JSON_H */
