/*
 * timers.c - requests by deadline: a wheel of slots of 4 ms each, so that to come and to go cost the same however many there
 * are (Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 6). A deadline may be noticed up to
 * 4 ms late, never early.
 *
 * SPDX-License-Identifier: MIT
 */
#include "engine/inside.h"

#define TICK_US 4096

static int64_t tick_of(int64_t us) {
  return us / TICK_US;
}

/* The slot in which a deadline is looked for; one that has passed already is found at the next look. */
static size_t slot_of(const pgc_request *request) {
  return (size_t)(tick_of(request->deadline) % PGC_TIMER_SLOTS);
}

static void mark(pgc_timers *self, size_t slot) {
  uint64_t bit = UINT64_C(1) << slot % 64;
  if (self->slots[slot].first != NULL)
    self->used[slot / 64] |= bit;
  else
    self->used[slot / 64] &= ~bit;
}

void pgc_timers_init(pgc_timers *self, int64_t now_us) {
  *self = (pgc_timers){.next_tick = tick_of(now_us)};
}

void pgc_timers_add(pgc_timers *self, pgc_request *request) {
  if (tick_of(request->deadline) < self->next_tick)
    request->deadline = self->next_tick * TICK_US;
  size_t slot = slot_of(request);
  pgc_requests_append(&self->slots[slot], request);
  mark(self, slot);
}

void pgc_timers_remove(pgc_timers *self, pgc_request *request) {
  size_t slot = slot_of(request);
  pgc_requests_remove(&self->slots[slot], request);
  mark(self, slot);
}

pgc_request *pgc_timers_pop(pgc_timers *self, int64_t now_us) {
  int64_t now = tick_of(now_us);
  if (now - self->next_tick >= PGC_TIMER_SLOTS)
    self->next_tick = now - PGC_TIMER_SLOTS + 1;     /* one lap sees every slot */
  for (; self->next_tick < now; self->next_tick++) { /* a tick is over when the next one has begun */
    size_t slot = (size_t)(self->next_tick % PGC_TIMER_SLOTS);
    for (pgc_request *each = self->slots[slot].first; each != NULL; each = each->next) {
      if (tick_of(each->deadline) <= self->next_tick) { /* not one of a later lap */
        pgc_requests_remove(&self->slots[slot], each);
        mark(self, slot);
        return each;
      }
    }
  }
  return NULL;
}

pgc_deadline pgc_timers_next(const pgc_timers *self) {
  for (int64_t ahead = 0; ahead < PGC_TIMER_SLOTS; ahead++) {
    size_t slot = (size_t)((self->next_tick + ahead) % PGC_TIMER_SLOTS);
    if (self->used[slot / 64] == 0) {
      ahead += 63 - (int64_t)(slot % 64); /* on to the next word */
      continue;
    }
    if ((self->used[slot / 64] >> slot % 64 & 1) != 0)
      return (self->next_tick + ahead + 1) * TICK_US;
  }
  return PGC_NO_DEADLINE;
}
