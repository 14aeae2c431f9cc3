/*
 * coverage-exit.c - writes down what was covered when a process leaves by _exit(), as forked children do.
 *
 * Linked into the test programs and the command of VARIANT=coverage only, with --wrap=_exit.
 *
 * SPDX-License-Identifier: MIT
 */
#include <gcov.h>

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap__exit(int status) {
  __gcov_dump();
  __real__exit(status);
}
