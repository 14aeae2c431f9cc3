/*
 * async_libuv.c - requests in a program with libuv's loop, with a callback for each answer.
 *
 *   cc async_libuv.c $(pkg-config --cflags --libs pgcache libuv) -o async_libuv
 *   ./async_libuv                     asks `null:`, which stores nothing and needs no server
 *   ./async_libuv postgresql:///app   or any other address
 *
 * SPDX-License-Identifier: MIT
 */
#include "async_work.h"

#include <uv.h>

typedef struct program {
  work all;
  uv_poll_t answers;
  uv_timer_t patience;
} program;

static void stop(program *self) {
  uv_close((uv_handle_t *)&self->answers, NULL);
  uv_close((uv_handle_t *)&self->patience, NULL);
}

/* Called for each answer by pgcache_dispatch(), on the loop's thread. */
static void on_answer(void *userdata, const pgcache_completion *completion) {
  program *self = userdata;
  work_check(&self->all, completion);
  if (self->all.answers == WORK_REQUESTS)
    stop(self);
}

/* The descriptor stays readable until all have been dispatched: libuv will call again if some are left. */
static void on_readable(uv_poll_t *handle, int status, int events) {
  program *self = handle->data;
  (void)status;
  (void)events;
  pgcache_dispatch(self->all.cache, NULL, 0, NULL);
}

static void on_patience_lost(uv_timer_t *handle) {
  stop(handle->data);
}

int main(int argc, char **argv) {
  program self = {0};
  pgcache_callback callback = PGCACHE_CALLBACK_INIT;
  callback.call = on_answer;
  callback.userdata = &self;
  uv_loop_t *loop = uv_default_loop();
  if (work_open(&self.all, argc > 1 ? argv[1] : "null:") == 0 && uv_poll_init(loop, &self.answers, self.all.fd) == 0 &&
      uv_timer_init(loop, &self.patience) == 0) {
    self.answers.data = self.patience.data = &self;
    uv_poll_start(&self.answers, UV_READABLE, on_readable);
    uv_timer_start(&self.patience, on_patience_lost, 30000, 0);
    if (work_submit(&self.all, &callback) != 0)
      stop(&self);
    uv_run(loop, UV_RUN_DEFAULT);
  }
  uv_loop_close(loop);
  return work_end(&self.all);
}
