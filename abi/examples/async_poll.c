/*
 * async_poll.c - requests in a program with a loop around poll().
 *
 *   ./async_poll                     asks `null:`, which stores nothing and needs no server
 *   ./async_poll postgresql:///app   or any other address
 *
 * SPDX-License-Identifier: MIT
 */
#include "async_work.h"

#include <poll.h>

/* Takes all answers that are there. */
static void take_answers(work *all) {
  pgcache_completion *completion;
  while (pgcache_take(all->cache, &completion, NULL) == PGCACHE_OK) {
    work_check(all, completion);
    pgcache_completion_free(completion);
  }
}

int main(int argc, char **argv) {
  work all = {0};
  if (work_open(&all, argc > 1 ? argv[1] : "null:") == 0 && work_submit(&all, NULL) == 0) {
    struct pollfd watched = {.fd = all.fd, .events = POLLIN}; /* beside the program's own descriptors */
    while (all.answers < WORK_REQUESTS && poll(&watched, 1, 30000) > 0)
      take_answers(&all);
  }
  return work_end(&all);
}
