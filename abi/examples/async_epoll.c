/*
 * async_epoll.c - requests in a program with a loop around epoll, edge-triggered.
 *
 *   ./async_epoll                     asks `null:`, which stores nothing and needs no server
 *   ./async_epoll postgresql:///app   or any other address
 *
 * SPDX-License-Identifier: MIT
 */
#include "async_work.h"

#include <sys/epoll.h>
#include <unistd.h>

/* An edge comes again only after all answers were taken. */
static void take_answers(work *all) {
  pgcache_completion *completion;
  while (pgcache_take(all->cache, &completion, NULL) == PGCACHE_OK) {
    work_check(all, completion);
    pgcache_completion_free(completion);
  }
}

int main(int argc, char **argv) {
  work all = {0};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &all};
  if (epoll >= 0 && work_open(&all, argc > 1 ? argv[1] : "null:") == 0 &&
      epoll_ctl(epoll, EPOLL_CTL_ADD, all.fd, &event) == 0 && work_submit(&all, NULL) == 0) {
    while (all.answers < WORK_REQUESTS && epoll_wait(epoll, &event, 1, 30000) > 0)
      take_answers(event.data.ptr);
  }
  if (epoll >= 0)
    close(epoll);
  return work_end(&all);
}
