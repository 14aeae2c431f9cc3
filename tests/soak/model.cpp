/*
 * model.cpp - see model.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/model.hpp"

#include <algorithm>
#include <tuple>

namespace soak {

bool State::operator==(const State &other) const {
  const auto all = [](const State &s) {
    return std::tie(s.present, s.counter, s.write, s.format, s.number, s.version, s.version_above, s.dies_from,
                    s.dies_until, s.applied);
  };
  return all(*this) == all(other);
}

namespace {

bool may_live(const State &state, int64_t from) {
  return state.present && from <= state.dies_until + MARGIN_US;
}

bool may_be_gone(const State &state, int64_t until) {
  return !state.present || until >= state.dies_from - MARGIN_US;
}

State gone(const State &state) {
  State out;
  out.applied = state.applied;
  return out;
}

void set_expiry(State *state, const Request &request, int64_t began, int64_t ended) {
  const bool never = request.ttl_us >= FOREVER_US;
  state->dies_from = never ? FOREVER_US : began + request.ttl_us;
  state->dies_until = never ? FOREVER_US : ended + request.ttl_us;
}

/* The state after the write took effect between the two times. The state before is alive or not, as given. False: it
   changes nothing. */
bool take_effect(const Request &request, const State &before, bool alive, int64_t began, int64_t ended, State *after) {
  *after = before;
  after->version = 0;
  switch (request.op) {
  case Op::REMOVE:
    *after = gone(before);
    return alive;
  case Op::TOUCH:
    set_expiry(after, request, began, ended);
    return alive;
  case Op::INCREMENT:
    if (alive && !before.counter)
      return false;
    after->number = (alive ? before.number : request.initial) + request.delta;
    if (!alive)
      set_expiry(after, request, began, ended);
    after->format = PGCACHE_FORMAT_JSON;
    break;
  case Op::ADD:
    if (alive)
      return false;
    set_expiry(after, request, began, ended);
    after->format = request.format;
    break;
  default: /* put, replace, compare_and_swap */
    if (request.op != Op::PUT && !alive)
      return false;
    if (request.op == Op::COMPARE_AND_SWAP && before.version != 0 && before.version != request.expected)
      return false;
    set_expiry(after, request, began, ended);
    after->format = request.format;
  }
  after->present = true;
  after->counter = request.op == Op::INCREMENT;
  if (!after->counter)
    after->number = 0;
  after->write = request.write;
  return true;
}

/* Whether a hit can be of this state; narrows it to what the hit told. */
bool explains_hit(State *state, const Reply &reply) {
  if (state->write != reply.write && !reply.counter)
    return false;
  if (state->counter != reply.counter || (reply.counter && state->number != reply.number) ||
      state->format != reply.format)
    return false;
  if (state->version != 0 ? state->version != reply.version : reply.version <= state->version_above)
    return false;
  state->version = reply.version;
  if (reply.ttl_left_us >= FOREVER_US || state->dies_from >= FOREVER_US)
    return reply.ttl_left_us < 0 || (reply.ttl_left_us >= FOREVER_US && state->dies_until >= FOREVER_US);
  if (reply.ttl_left_us >
      0) { /* counted down since the read was sent; the server looked at the clock later than that */
    const int64_t from = reply.ended_us + reply.ttl_left_us, until = from + reply.ended_us - reply.began_us;
    if (until < state->dies_from - MARGIN_US || from > state->dies_until + MARGIN_US)
      return false;
    state->dies_from = std::max(state->dies_from, from - MARGIN_US);
    state->dies_until = std::max(state->dies_from, std::min(state->dies_until, until + MARGIN_US));
  }
  return true;
}

/* The states that `before` can have become, given what the call answered. */
void follow(const Request &request, const Reply &reply, const State &before, std::vector<State> *out) {
  const bool live = may_live(before, reply.began_us), dead = may_be_gone(before, reply.ended_us);
  State after = before;
  switch (reply.status) {
  case PGCACHE_OK:
    switch (request.op) {
    case Op::GET:
    case Op::GET_INTO:
      if (live && explains_hit(&after, reply))
        out->push_back(after);
      return;
    case Op::EXISTS:
      if (live)
        out->push_back(before);
      return;
    default:
      for (const bool alive : {true, false}) {
        if ((alive ? !live : !dead) || !take_effect(request, before, alive, reply.began_us, reply.ended_us, &after))
          continue;
        if (request.op == Op::INCREMENT && after.number != reply.number)
          continue;
        after.version = reply.version;
        after.version_above = 0;
        out->push_back(after);
      }
      return;
    }
  case PGCACHE_MISS:
    if (dead)
      out->push_back(gone(before));
    return;
  case PGCACHE_EXISTS:
    if (live && (request.op == Op::ADD || before.version == 0 || before.version != request.expected))
      out->push_back(before);
    return;
  case PGCACHE_NOT_A_COUNTER:
    if (live && !before.counter)
      out->push_back(before);
    return;
  default: /* errors: nothing was changed, or it is pending */
    out->push_back(before);
  }
}

} // namespace

void KeyModel::add(const State &state) {
  if (std::find(states_.begin(), states_.end(), state) == states_.end())
    states_.push_back(state);
}

void KeyModel::close(int64_t now) {
  for (size_t i = 0; i < states_.size(); i++) {
    for (const auto &write : pending_) {
      const State before = states_[i]; /* a copy: add() moves them */
      if ((before.applied & write.bit) != 0)
        continue;
      const int64_t until = std::min(now, write.until_us);
      for (const bool alive : {true, false}) {
        State after;
        if ((alive ? !may_live(before, write.began_us) : !may_be_gone(before, until)) ||
            !take_effect(write.request, before, alive, write.began_us, until, &after))
          continue;
        after.applied |= write.bit;
        after.version_above = write.version_above;
        add(after);
      }
    }
  }
}

void KeyModel::retire(int64_t now) {
  for (size_t i = 0; i < pending_.size();) {
    if (pending_[i].until_us >= now) {
      i++;
      continue;
    }
    const unsigned bit = pending_[i].bit;
    std::vector<State> old;
    old.swap(states_);
    for (auto &state : old) {
      state.applied &= ~bit;
      add(state);
    }
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

std::string KeyModel::observe(const Request &request, const Reply &reply, bool wiped) {
  if (wiped) {
    const std::vector<State> before = states_;
    for (const auto &state : before)
      add(gone(state));
  }
  close(reply.ended_us);
  retire(reply.began_us);
  std::vector<State> next;
  for (const auto &state : states_)
    follow(request, reply, state, &next);
  if (next.empty()) {
    std::string wrong = std::string(op_name(request.op)) + " gave " + pgcache_status_name(reply.status);
    if (reply.status >= 0) {
      wrong += " version " + std::to_string(reply.version) + " write " + std::to_string(reply.write) + " number " +
               std::to_string(reply.number) + " ttl left " + std::to_string(reply.ttl_left_us / 1000) + " ms";
    }
    wrong += " expected version " + std::to_string(request.expected) + ", took " +
             std::to_string((reply.ended_us - reply.began_us) / 1000) + " ms, possible was" + describe();
    *this = KeyModel(); /* begin again, knowing nothing: absent is what the next operation makes true */
    return wrong;
  }
  states_.clear();
  for (const auto &state : next)
    add(state);
  highest_ = std::max(highest_, reply.version);
  if (reply.status == PGCACHE_UNKNOWN && op_writes(request.op)) {
    unsigned used = 0, bit = 1;
    for (const auto &write : pending_)
      used |= write.bit;
    while ((used & bit) != 0)
      bit <<= 1;
    pending_.push_back({request, reply.began_us, reply.ended_us + PENDING_US, highest_, bit});
  }
  close(reply.ended_us);
  return "";
}

uint64_t KeyModel::floor() const {
  uint64_t lowest = UINT64_MAX;
  for (const auto &state : states_) {
    if (state.present)
      lowest = std::min(lowest, state.write);
  }
  for (const auto &write : pending_)
    lowest = write.request.write != 0 ? std::min(lowest, write.request.write) : lowest;
  return lowest == UINT64_MAX ? 0 : lowest;
}

std::string KeyModel::describe() const {
  std::string out;
  for (const auto &state : states_) {
    if (!state.present)
      out += " {absent}";
    else
      out += std::string(state.counter ? " {number " + std::to_string(state.number)
                                       : " {write " + std::to_string(state.write)) +
             " version " + std::to_string(state.version) + " dies in " +
             (state.dies_from >= FOREVER_US ? "never" : std::to_string((state.dies_from - now_us()) / 1000) + " ms") +
             (state.applied != 0 ? " pending applied" : "") + "}";
    if (out.size() > 350)
      break;
  }
  return out;
}

} // namespace soak
