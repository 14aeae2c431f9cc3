/*
 * suggest.h - the name that somebody probably meant.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_SUGGEST_H
#define PGC_PURE_SUGGEST_H

#include <stddef.h>

/* How many letters must be put in, left out, replaced or swapped with their neighbour to make one word the other; case
   does not count, and '-' is '_'. SIZE_MAX when a word is too long to be a slip of anything. */
size_t pgc_edit_distance(const char *left, const char *right);

/* The one of count names that is nearest to word; NULL when none is near enough to have been meant. */
const char *pgc_suggest(const char *word, const char *const names[], size_t count);

#endif
