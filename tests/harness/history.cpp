/*
 * history.cpp - see history.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "harness/history.hpp"

#include <algorithm>
#include <ctime>

namespace harness {

namespace {

/* Writers that may draw tickets at the same moment; so much of the ring is left out where its age matters. */
constexpr uint64_t MARGIN = 8;

struct Copy {
  uint32_t how;
  int64_t begun, acked;
};

/* False if the slot holds another write by now, or not yet this one. */
bool read(const Cell &cell, uint64_t id, Copy *out) {
  const Write &write = cell.ring[ticket_of(id) % RING];
  if (write.id.load(std::memory_order_acquire) != id)
    return false;
  out->how = write.how.load(std::memory_order_relaxed);
  out->begun = write.begun.load(std::memory_order_relaxed);
  out->acked = write.acked.load(std::memory_order_acquire);
  return write.id.load(std::memory_order_acquire) == id;
}

/* When the last wipe that was over before `when` began; 0: there was none. */
int64_t last_wipe(const Wipes &wipes, int64_t when) {
  for (int i = std::min(wipes.count.load(), WIPES); i-- > 0;) {
    const int64_t done = wipes.all[i].done;
    if (done != 0 && done < when)
      return wipes.all[i].begun;
  }
  return 0;
}

/* Whether something that removes everything may have been at work at or after this moment. */
bool wiped_since(const Wipes &wipes, int64_t when) {
  const int count = std::min(wipes.count.load(), WIPES);
  return count > 0 && (wipes.all[count - 1].done == 0 || wipes.all[count - 1].done >= when);
}

/* Until when the write can have taken effect; INT64_MAX: it still can. */
int64_t end_of(const Cell &cell, uint64_t id, const char **wrong) {
  Copy seen;
  if (!read(cell, id, &seen)) {
    /* Its place was taken, which happens only after it has ended. */
    const Write &heir = cell.ring[ticket_of(id) % RING];
    return ticket_of(heir.id) > ticket_of(id) ? heir.begun.load() : INT64_MAX;
  }
  if (seen.acked == REFUSED)
    *wrong = "the value of a write that was rolled back or is said to have changed nothing";
  return seen.acked > 0 ? seen.acked : INT64_MAX;
}

Judgement judge_hit(const Cell &cell, const Wipes &wipes, const Sight &sight, uint64_t last) {
  Judgement out;
  if (sight.ticket > last) {
    out.wrong = "a value that nobody has written";
    return out;
  }
  const int64_t over = end_of(cell, sight.generation << 40 | sight.ticket, &out.wrong);
  if (out.wrong != nullptr || over == INT64_MAX)
    return out;
  const uint64_t oldest = last > RING ? last - RING + 1 : 1;
  for (uint64_t ticket = std::max(sight.ticket + 1, oldest); ticket <= last; ticket++) {
    Copy other;
    if (!read(cell, sight.generation << 40 | ticket, &other) || other.acked <= 0 || other.begun <= over ||
        (sight.own_alone && (other.how & BY_SQL) != 0))
      continue;
    out.stale_ns = std::max(out.stale_ns, sight.began - other.acked);
    if (other.acked < sight.cut) {
      out.wrong = "a value that was overwritten or removed";
      out.newer = ticket;
    }
  }
  if (!sight.own_alone && last_wipe(wipes, sight.cut) > over)
    out.wrong = "a value from before everything was removed";
  return out;
}

/* Nothing is there: some remove or wipe must not have ended before the last put that has to be seen began. */
Judgement judge_miss(const Cell &cell, const Wipes &wipes, const Sight &sight, uint64_t last) {
  Judgement out;
  int64_t put = 0, put_acked = 0;
  const uint64_t oldest = last > RING - MARGIN ? last - RING + MARGIN : 1;
  for (uint64_t ticket = oldest; ticket <= last; ticket++) {
    Copy one;
    if (read(cell, sight.generation << 40 | ticket, &one) && (one.how & REMOVE) == 0 && one.acked > 0 &&
        one.acked < sight.cut && one.begun > put && !(sight.own_alone && (one.how & BY_SQL) != 0)) {
      put = one.begun;
      put_acked = one.acked;
      out.newer = ticket;
    }
  }
  if (put == 0 || wiped_since(wipes, put))
    return Judgement();
  for (uint64_t ticket = last > RING ? last - RING + 1 : 1; ticket <= last; ticket++) {
    Copy one;
    /* One that is just written may be a remove. */
    if (!read(cell, sight.generation << 40 | ticket, &one)) {
      if (cell.ring[ticket % RING].id == 0)
        return Judgement();
      continue;
    }
    if ((one.how & REMOVE) != 0 && one.acked != REFUSED && (one.acked <= 0 || one.acked >= put))
      return Judgement();
  }
  out.stale_ns = sight.began - put_acked;
  out.wrong = "a miss, where there is an entry";
  return out;
}

} // namespace

int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

void Wipes::begin() {
  if (count >= WIPES)
    return;
  all[count].begun = now_ns();
  count++;
}

void Wipes::end() {
  all[count - 1].done = now_ns();
}

uint64_t begin_write(Cell &cell, uint32_t how) {
  const uint64_t last = ticket_of(cell.head);
  for (uint64_t i = 1; i <= MARGIN; i++) {
    const Write &next = cell.ring[(last + i) % RING];
    if (last + i > RING && next.acked == UNDER_WAY)
      return 0;
  }
  const uint64_t id = cell.head.fetch_add(1) + 1;
  Write &write = cell.ring[ticket_of(id) % RING];
  write.id = 0;
  write.how = how;
  write.acked = UNDER_WAY;
  write.begun = now_ns();
  write.id = id;
  return id;
}

void end_write(Cell &cell, uint64_t id, int64_t outcome) {
  cell.ring[ticket_of(id) % RING].acked.store(outcome, std::memory_order_release);
  if (outcome != UNKNOWN)
    return;
  for (uint64_t head = cell.head; generation_of(head) == generation_of(id);) {
    const uint64_t next = (generation_of(head) + 1) << 40 | ticket_of(head);
    if (cell.head.compare_exchange_weak(head, next))
      break;
  }
}

void write_acknowledged(Cell &cell, uint64_t id) {
  end_write(cell, id, now_ns());
}

int64_t end_of_write(const Cell &cell, uint64_t id) {
  const char *wrong = nullptr;
  return end_of(cell, id, &wrong);
}

Judgement judge(const Cell &cell, const Wipes &wipes, const Sight &sight) {
  const uint64_t last = ticket_of(cell.head.load(std::memory_order_acquire));
  return sight.ticket > 0 ? judge_hit(cell, wipes, sight, last) : judge_miss(cell, wipes, sight, last);
}

} // namespace harness
