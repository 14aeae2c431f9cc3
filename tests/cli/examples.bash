# Cases of the examples: each is run as a user would, and checks its own answers.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

examples=$(dirname "$PGCACHE_BIN")/examples

# Runs an example: its output is then in $out, its messages in $err, its exit code in $code.
example() { # NAME, ADDRESS
  code=0
  timeout 120 "$examples/$1" "$2" >"$out" 2>"$err" || code=$?
  command_line="example $1"
}

begin "hello stores and finds its greeting"
example hello "$PGCACHE_TEST_URL"
expect_code 0
expect_silence
expect_out_has "hit: Hello from PostgreSQL"

for name in async_poll async_epoll async_libuv; do
  begin "$name gets an answer for each of its 2,000 requests, and each get finds what the put before it stored"
  example "$name" "$PGCACHE_TEST_URL"
  expect_code 0
  expect_silence
  expect_out_has "2000 answers, 1000 hits, 0 wrong"

  begin "$name does without a server: with null: each get misses"
  example "$name" null:
  expect_code 0
  expect_silence
  expect_out_has "2000 answers, 0 hits, 0 wrong"

  begin "$name tells when its answers are errors"
  PGCACHE_TIMEOUT_MS=2000 PGCACHE_MAINTENANCE_TIMEOUT_MS=2000 example "$name" "host=$work/nowhere"
  expect_code 1
done
