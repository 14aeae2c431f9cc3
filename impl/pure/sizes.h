/*
 * sizes.h - reading and writing transparent structs whose struct_size says how much of them is there [rule:sizes].
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_PURE_SIZES_H
#define PGC_PURE_SIZES_H

#include <stddef.h>
#include <stdint.h>

/* True if a struct of that type whose struct_size is `size` holds the whole of `field`. */
#define PGC_HOLDS(type, size, field) ((size) >= offsetof(type, field) + sizeof(((type *)0)->field))

/* True if `count` structs that begin like `type` up to the end of `field`, and are `size` bytes long, can lie one behind the
   other. field: the last one of the first version. */
#define PGC_MAKES_ARRAY(type, size, field, count)                                                                      \
  (PGC_HOLDS(type, size, field) && (size) % _Alignof(type) == 0 && (count) <= SIZE_MAX / 2 / (size))

/* Elements lie as far apart as the caller's struct is long. */
static inline void *pgc_element(void *first, size_t size, size_t index) {
  return (char *)first + index * size;
}

#endif
