/*
 * sizes.h - reading and writing transparent structs whose struct_size says how much of them is there [rule:sizes].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_SIZES_H
#define PGC_PURE_SIZES_H

#include <stddef.h>

/* True if a struct of that type whose struct_size is `size` holds the whole of `field`. */
#define PGC_HOLDS(type, size, field) ((size) >= offsetof(type, field) + sizeof(((type *)0)->field))

#endif
