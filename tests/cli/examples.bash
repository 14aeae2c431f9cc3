# Cases of the examples: each is run as a user would, and checks its own answers.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

examples=$(dirname "$PGCACHE_BIN")/examples

# Runs an example: its output is then in $out, its messages in $err, its exit code in $code.
example() { # NAME, ADDRESS, ARGUMENTS...
  local name=$1 address=$2
  shift 2
  if [ "$name" = order_count ]; then set -- --url "$address" "$@"; else set -- "$address" "$@"; fi
  code=0
  timeout 300 "$examples/$name" "$@" >"$out" 2>"$err" || code=$?
  command_line="example $name"
}

begin "hello stores and finds its greeting"
example hello "$PGCACHE_TEST_URL"
expect_code 0
expect_silence
expect_out_has "hit: Hello from PostgreSQL"

begin "loads computes a value once, and once more after its tag was invalidated"
example loads "$PGCACHE_TEST_URL"
expect_code 0
expect_silence
expect_out "$(printf 'loaded: report number 1\nhit: report number 1\nloaded: report number 2')"
example loads null:
expect_code 0
expect_out "$(printf 'loaded: report number 1\nloaded: report number 2\nloaded: report number 3')"

begin "transaction invalidates with its commit, and not with a rollback"
example transaction "$PGCACHE_TEST_URL"
expect_code 0
expect_silence
expect_out "$(printf 'at first: packed, loaded\nafter a rollback: packed, from the cache\nafter a commit: shipped, loaded')"

begin "own_transaction removes with its commit, and not with a rollback"
example own_transaction "$PGCACHE_TEST_URL"
expect_code 0
expect_silence
expect_out "$(printf 'cached: packed\nafter a rollback: packed\nafter a commit: nothing')"

begin "measured tells its calls apart by what they were for"
example measured "$PGCACHE_TEST_URL"
expect_code 0
expect_silence
expect_out_has "get hit from the store, span 'checkout': 50 calls, "
expect_out_has "get miss from the store, span 'welcome': 25 calls, "
expect_out_has "put ok from the store, span '': 25 calls, "

begin "the order-count application compares five ways, and no guarded answer is stale"
example order_count "$PGCACHE_TEST_URL" --schema "${schema}_orders" --short --readers 4
expect_code 0
expect_silence
expect_out_has "watch + loads   0 of"
expect_out_has "the same, near  0 of"
grep -qE '^  TTL only +[1-9][0-9,]* of [0-9,]+ answers stale' "$out" || fail "no stale answers of the way with a TTL alone"
expect_equal "schemas left" "$(sql "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '${schema}_orders%'")" 0

for name in async_poll async_epoll async_libuv; do
  begin "$name gets an answer for each of its 2,000 requests, and each get finds what the put before it stored"
  PGCACHE_TIMEOUT_MS=60000 example "$name" "$PGCACHE_TEST_URL"
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
