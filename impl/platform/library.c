/*
 * library.c - see library.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "platform/library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static void *open_library(const char *soname) {
  return dlopen(soname, RTLD_NOW | RTLD_LOCAL);
}

static void *(*open_hook)(const char *) = open_library;

void *pgc_library_open(const char *soname) {
  return open_hook(soname);
}

bool pgc_library_find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  memcpy(function, &found,
         sizeof found); /* C knows no cast from an object's address to a function's; POSIX allows it */
  return found != NULL;
}

void pgc_library_set_hook(void *(*open)(const char *soname)) {
  open_hook = open != NULL ? open : open_library;
}
