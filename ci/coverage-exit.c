/*
 * coverage-exit.c - writes down what was covered when a process leaves otherwise than by exit(): by _exit(), as another
 * program, or by a signal that it sends to itself.
 *
 * Linked into the test programs and the command of VARIANT=coverage only, with --wrap. In strict C11 the compiler does
 * not do this for exec by itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include <gcov.h>

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
int __real_execv(const char *path, char *const argv[]);
int __wrap_execv(const char *path, char *const argv[]);
int __real_execvp(const char *file, char *const argv[]);
int __wrap_execvp(const char *file, char *const argv[]);
int __real_raise(int number);
int __wrap_raise(int number);

_Noreturn void __wrap__exit(int status) {
  __gcov_dump();
  __real__exit(status);
}

/* Counting goes on from zero, should it come back. */
int __wrap_execv(const char *path, char *const argv[]) {
  __gcov_dump();
  __gcov_reset();
  return __real_execv(path, argv);
}

int __wrap_execvp(const char *file, char *const argv[]) {
  __gcov_dump();
  __gcov_reset();
  return __real_execvp(file, argv);
}

int __wrap_raise(int number) {
  __gcov_dump();
  __gcov_reset();
  return __real_raise(number);
}
