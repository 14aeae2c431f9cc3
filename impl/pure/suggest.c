/*
 * suggest.c - the name that somebody probably meant, by edit distance. Must never allocate: it serves error messages.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "pure/suggest.h"

#include <stdint.h>
#include <string.h>

/* Names are shorter than this; a word that is longer is no misspelling of one. */
#define WORD_MAX 48

static char fold(char c) {
  if (c >= 'A' && c <= 'Z')
    return (char)(c - 'A' + 'a');
  return c == '-' ? '_' : c;
}

static size_t least(size_t a, size_t b, size_t c) {
  size_t smaller = a < b ? a : b;
  return smaller < c ? smaller : c;
}

/* The textbook table, of which only the last three rows are kept: the third is for swapped neighbours. */
size_t pgc_edit_distance(const char *left, const char *right) {
  size_t left_len = strnlen(left, WORD_MAX + 1);
  size_t right_len = strnlen(right, WORD_MAX + 1);
  if (left_len > WORD_MAX || right_len > WORD_MAX)
    return SIZE_MAX;
  size_t rows[3][WORD_MAX + 1];
  for (size_t j = 0; j <= right_len; j++)
    rows[0][j] = j;
  for (size_t i = 1; i <= left_len; i++) {
    size_t *row = rows[i % 3];
    const size_t *above = rows[(i + 2) % 3];
    const size_t *above_that = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= right_len; j++) {
      char l = fold(left[i - 1]);
      char r = fold(right[j - 1]);
      row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (l == r ? 0 : 1));
      if (i > 1 && j > 1 && l == fold(right[j - 2]) && fold(left[i - 2]) == r && above_that[j - 2] + 1 < row[j])
        row[j] = above_that[j - 2] + 1;
    }
  }
  return rows[left_len % 3][right_len];
}

const char *pgc_suggest(const char *word, const char *const names[], size_t count) {
  const char *best = NULL;
  size_t best_distance = SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    size_t distance = pgc_edit_distance(word, names[i]);
    if (distance < best_distance) {
      best = names[i];
      best_distance = distance;
    }
  }
  /* Near enough: half of the letters of the average of both words are right. */
  if (best != NULL && best_distance <= (strlen(word) + strlen(best)) / 4)
    return best;
  return NULL;
}
