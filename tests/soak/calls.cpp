/*
 * calls.cpp - see calls.hpp.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "soak/calls.hpp"

#include "soak/faults.hpp"

#include <cstdlib>
#include <cstring>
#include <libpq-fe.h>
#include <thread>
#include <unistd.h>

namespace soak {

/* How much earlier than its deadline a call may say that the time is up: rounding, and our own reading of the clock. */
static const int64_t EARLY_US = 2000;
/* The longest that the circuit breaker's refusals last, which begin with deadlines that passed. */
static const int64_t BREAKER_US = 20000000;

const Plant plants[PLANTS] = {
    {"none", ""},
    {"corrupt", "not as it was stored"},
    {"other-key", "value of another key"},
    {"stale", "possible was"},
    {"skipped-write", "version"},
    {"wrong-refusal", "possible was"},
    {"repeated-version", "not newer than"},
    {"late-expiry", "possible was"},
    {"twice", "counter"},
    {"status", "is not to be expected"},
    {"late-answer", "past its deadline"},
    {"descriptor", "descriptors"},
    {"memory", "memory"},
    {"connection", "connections"},
    {"thread", "threads left"},
    {"bloat", "the tables grew"},
    {"outage", "though nothing strikes"},
};

int64_t Calls::ttl_ms(int64_t ttl_ms) const {
  return block_.plant == PLANT_LATE_EXPIRY && ttl_ms < 1000 ? 60000 : ttl_ms;
}

void Calls::count_item(pgcache_status status) {
  if (status >= 0 && status < OUTCOMES)
    block_.outcomes[process_][status]++;
  else if (status < 0 && -status < ERRORS)
    block_.errors[process_][-status]++;
}

test::Answer Calls::planted(Op op, const std::string &key, test::Options options,
                            const std::function<test::Answer(test::Options)> &call, std::string *bytes) {
  const int plant = block_.plant;
  if (plant == PLANT_SKIPPED_WRITE && op == Op::PUT && strikes(100)) {
    test::Answer answer;
    answer.version = block_.highest_version + 1;
    return answer;
  }
  if (plant == PLANT_OUTAGE && op < Op::GET_MANY && strikes(4)) {
    test::Answer answer;
    answer.status = PGCACHE_TIMEOUT;
    strcpy(answer.error.sqlstate, "57014");
    return answer;
  }
  test::Answer answer = call(options);
  *bytes = answer.bytes();
  if (answer == PGCACHE_OK && op == Op::GET) {
    if (plant == PLANT_CORRUPT && bytes->size() > 400 && strikes(100))
      bytes->back() = static_cast<char>(bytes->back() ^ 1);
    if (plant == PLANT_OTHER_KEY && !first_hits_.empty() && strikes(100))
      *bytes =
          first_hits_.begin()->first != key ? first_hits_.begin()->second.bytes : first_hits_.rbegin()->second.bytes;
    if (plant == PLANT_OTHER_KEY || plant == PLANT_STALE) {
      Kept &kept = first_hits_.try_emplace(key, Kept{answer, *bytes}).first->second;
      if (plant == PLANT_STALE && strikes(20)) {
        answer = kept.answer;
        *bytes = kept.bytes;
      }
    }
  }
  if (answer == PGCACHE_OK && op == Op::PUT) {
    if (plant == PLANT_WRONG_REFUSAL && strikes(100)) {
      answer.status = PGCACHE_TIMEOUT;
      strcpy(answer.error.sqlstate, "57014");
    }
    if (plant == PLANT_REPEATED_VERSION && last_version_ > 0 && strikes(100))
      answer.version = last_version_;
    last_version_ = answer.version;
  }
  if (op == Op::INCREMENT && plant == PLANT_TWICE && key.rfind("counter-", 0) == 0 && strikes(20))
    answer = call(options);
  if (plant == PLANT_STATUS && strikes(500))
    answer.status = PGCACHE_SCHEMA_CHANGED;
  if (plant == PLANT_LATE_ANSWER && strikes(500))
    usleep(static_cast<useconds_t>(options.deadline_ms * 1000 + block_.slack_us + 100000));
  if (plant == PLANT_DESCRIPTOR && strikes(500) && dup(2) < 0)
    abort();
  if (plant == PLANT_MEMORY && strikes(10))
    memset(malloc(65536), 1, 65536);
  if (plant == PLANT_CONNECTION && strikes(100))
    PQconnectdb(block_.address[process_]);
  if (plant == PLANT_THREAD && strikes(500))
    std::thread(pause).detach();
  return answer;
}

Called Calls::run(Op op, const std::string &key, int64_t deadline_ms,
                  const std::function<test::Answer(test::Options)> &call) {
  Called out;
  test::Options options = test::deadline(deadline_ms);
  const uint32_t faults_before = block_.faults;
  out.began_us = now_us();
  out.answer = planted(op, key, options, call, &out.bytes);
  out.ended_us = now_us();
  const int64_t took_us = out.ended_us - out.began_us, over_us = took_us - deadline_ms * 1000;
  int64_t worst = block_.worst_over_us;
  while (over_us > worst && !block_.worst_over_us.compare_exchange_weak(worst, over_us))
    ;
  if (over_us >= block_.worst_over_us)
    block_.worst_over_op = static_cast<int>(op);
  block_.operations[static_cast<int>(op)]++;
  if (over_us > block_.slack_us)
    block_.violation(std::string(op_name(op)) + " ended " + std::to_string(over_us / 1000) +
                     " ms past its deadline of " + std::to_string(deadline_ms) + " ms with " +
                     pgcache_status_name(out.answer.status));
  check_status(op, out.answer, deadline_ms, took_us, faults_before | block_.faults);
  return out;
}

void Calls::check_status(Op op, const test::Answer &answer, int64_t deadline_ms, int64_t took_us, uint32_t faults) {
  count_item(answer.status);
  bool expected = answer.status >= 0 || answer == PGCACHE_NOT_A_COUNTER || faults_explain(faults, answer.status);
  /* Whatever happens, a deadline may pass; and where some did, the circuit breaker may refuse calls for a while. */
  if ((answer == PGCACHE_TIMEOUT || (answer == PGCACHE_UNKNOWN && op_writes(op))) &&
      (took_us >= deadline_ms * 1000 - EARLY_US || answer.error.sqlstate[0] != '\0')) {
    expected = true;
    block_.late_us[process_] = now_us();
  }
  if (answer == PGCACHE_UNAVAILABLE && now_us() - block_.late_us[process_] < BREAKER_US &&
      answer.error.text().find("circuit breaker") != std::string::npos)
    expected = true;
  /* A read changes nothing, so that it is never in doubt. */
  if (answer == PGCACHE_UNKNOWN && !op_writes(op))
    expected = false;
  if (!expected)
    block_.violation(std::string(op_name(op)) + " gave " + pgcache_status_name(answer.status) + " [" +
                     answer.error.sqlstate + "] after " + std::to_string(took_us / 1000) + " of " +
                     std::to_string(deadline_ms) + " ms, which is not to be expected; faults: " + fault_names(faults) +
                     "; " + answer.error.message);
}

void Calls::check_version(Op op, int64_t version, int64_t highest_before) {
  if (version <= highest_before)
    block_.violation(std::string(op_name(op)) + " gave the version " + std::to_string(version) +
                     ", which is not newer than one that was known before, " + std::to_string(highest_before));
  if (block_.versions[version % RECENT].exchange(version) == version)
    block_.violation(std::string(op_name(op)) + " gave the version " + std::to_string(version) +
                     " for the second time");
  block_.raise_highest_version(version);
}

} // namespace soak
