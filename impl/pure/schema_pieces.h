/*
 * schema_pieces.h - which tables, columns, functions and the like the migrations make, read from their own text, so that
 * no list beside them can grow old. It knows how our migrations are written, not SQL; a test compares what it finds with
 * a schema that they made.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_SCHEMA_PIECES_H
#define PGC_PURE_SCHEMA_PIECES_H

#include <stdbool.h>

typedef struct pgc_schema_piece {
  const char *kind; /* "table", "column", "index", "sequence", "view", "function", "option"; static */
  char name[160];   /* "entries", "entries.value", "entries_pkey", "entries fillfactor=70"; a function once for each
                       of its forms */
} pgc_schema_piece;

/* Where the reading of one migration stands; begin with PGC_SCHEMA_SCAN_INIT(text). */
typedef struct pgc_schema_scan {
  const char *rest;
  char table[64]; /* the table whose columns or options are being read */
  bool options;
  bool key; /* the line just read also said that there is a primary key */
} pgc_schema_scan;

#define PGC_SCHEMA_SCAN_INIT(text)                                                                                     \
  { (text), "", false, false }

/* The next piece. False at the end of the text. */
bool pgc_schema_piece_next(pgc_schema_scan *scan, pgc_schema_piece *piece);

#endif
