/*
 * memory.c - allocation through replaceable functions. Owns nothing else.
 *
 * SPDX-License-Identifier: MIT
 */
#include "platform/memory.h"

#include <stdlib.h>
#include <string.h>

static void *(*alloc_hook)(size_t) = malloc;
static void *(*resize_hook)(void *, size_t) = realloc;
static void (*release_hook)(void *) = free;

void pgc_memory_set_hooks(void *(*alloc)(size_t), void *(*resize)(void *, size_t)) {
  alloc_hook = alloc != NULL ? alloc : malloc;
  resize_hook = resize != NULL ? resize : realloc;
}

void pgc_memory_set_free_hook(void (*release)(void *)) {
  release_hook = release != NULL ? release : free;
}

void *pgc_alloc(size_t size) {
  return alloc_hook(size == 0 ? 1 : size);
}

void *pgc_alloc_zero(size_t size) {
  void *block = pgc_alloc(size);
  if (block != NULL)
    memset(block, 0, size);
  return block;
}

void *pgc_realloc(void *block, size_t size) {
  return resize_hook(block, size == 0 ? 1 : size);
}

void pgc_free(void *block) {
  release_hook(block);
}

char *pgc_strdup(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = pgc_alloc(size);
  if (copy != NULL)
    memcpy(copy, text, size);
  return copy;
}

static bool none_to_spare;

void *pgc_alloc_spare(size_t size) {
  return none_to_spare ? NULL : calloc(1, size);
}

void pgc_memory_set_spare(bool none) {
  none_to_spare = none;
}
