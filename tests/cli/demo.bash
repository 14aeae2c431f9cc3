# Cases of ci/demo: what it shows, and that it leaves nothing behind, also when it is interrupted. It runs from a copy of
# what it needs, in a folder whose name has a space.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

tree="$work/a tree"
mkdir -p "$tree/ci" "$tree/build/examples"
cp "$root/ci/demo" "$tree/ci"
cp -P "$PGCACHE_BIN" "$(dirname "$PGCACHE_BIN")"/libpgcache.so* "$tree/build"
cp "$(dirname "$PGCACHE_BIN")/examples/order_count" "$tree/build/examples"

# Runs the demo in the background: in a process group of its own, because without one it would inherit that SIGINT is
# ignored. DATABASE_URL is $1, none if that is empty.
start_demo() {
  : >"$out" # what the last one has printed is not taken for this one's
  set -m
  if [ -n "$1" ]; then export DATABASE_URL=$1; fi
  timeout --foreground 300 "$tree/ci/demo" --short --readers 4 >"$out" 2>"$err" &
  demo=$!
  set +m
  unset DATABASE_URL
  command_line="ci/demo --short"
}
wait_for_demo() {
  code=0
  wait "$demo" || code=$?
}
# As a terminal does it, once the demo has printed a line that begins so.
interrupt_at() {
  wait_until 120 grep -q "^ *$1" "$out" || fail "$command_line: never printed '$1': $(head -c 400 "$out" "$err")"
  kill -INT -- "-$demo" 2>/dev/null || fail "$command_line: had ended before it could be interrupted"
  wait_for_demo
  [ "$code" = 130 ] || fail "$command_line: exit code $code after SIGINT, not 130; it said: $(head -c 400 "$err")"
}
# A row of the table with a figure for each of the five ways, such as: requests '[1-9][0-9,]*'
expect_row() { # LABEL FIGURE
  grep -qE "^  $1( +($2)){5}\$" "$out" || fail "$command_line: no row '$1' with five figures: $(grep -- "$1" "$out")"
}
schemas() { sql "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' ORDER BY 1"; }
expect_nothing_left() {
  expect_equal "schemas after $command_line" "$(schemas)" "$schemas_before"
  expect_equal "the table of somebody else" "$(sql "SELECT string_agg(note, ',') FROM ${schema}_b.notes")" "mine,yours"
  expect_equal "the entry of somebody else" "$(PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" get kept)" "as it was"
}
# Of the server that it says it has started.
expect_no_server_left() {
  local folder
  folder=$(sed -n 's/^Starting a private PostgreSQL in \(.*\)\.$/\1/p' "$out")
  case $folder in
    /tmp/pgcache-demo.*) ;;
    *) fail "$command_line: did not say where its server is: $(head -c 400 "$out" "$err")"; return ;;
  esac
  [ ! -e "$folder" ] || fail "$command_line: left $folder"
  ! grep -lzF -- "$folder" /proc/[0-9]*/cmdline >/dev/null 2>&1 || fail "$command_line: a process of $folder still runs"
}

p init
p put kept "as it was" --ttl never
sql "CREATE SCHEMA ${schema}_b CREATE TABLE notes (note text)" >/dev/null
sql "INSERT INTO ${schema}_b.notes VALUES ('mine'), ('yours')" >/dev/null
schemas_before=$(schemas)

for time in first second; do
  begin "ci/demo shows progress, a table and histograms, and takes its schemas away, the $time time"
  start_demo "$PGCACHE_TEST_URL"
  wait_for_demo
  expect_code 0
  expect_silence
  grep -qE '^  no cache: [0-9.]+ s of 1\.0 s, [0-9,]+ requests$' "$out" || fail "no line of progress"
  expect_row requests '[1-9][0-9,]*'
  expect_row requests/s '[1-9][0-9,]*'
  for kind in "all orders" "one customer"; do
    expect_row "$kind, p50, us" '[0-9][0-9,.]*'
    expect_row "$kind, p99, us" '[0-9][0-9,.]*'
  done
  expect_row "hit ratio" '[0-9.]+ %|-'
  expect_row "database queries saved" '[1-9][0-9,]*|-'
  grep -qE '^  database queries saved +-( +[1-9][0-9,]*){4}$' "$out" || fail "a way with a cache saved no query"
  grep -qE '^  up to +[0-9,]+ us \|#+ +[0-9.]+ %' "$out" || fail "no bar of a histogram"
  expect_out_has "watch + loads   0 of"
  expect_nothing_left
done

begin "ci/demo that is interrupted shows what it has and takes its schemas away"
start_demo "$PGCACHE_TEST_URL"
interrupt_at "TTL only: "
grep -qE '^  requests +[1-9]' "$out" || fail "an interrupted demo shows no table: $(tail -c 400 "$out")"
expect_nothing_left

begin "ci/demo that is interrupted leaves no server of its own and no folder"
start_demo ""
interrupt_at "no cache: "
expect_no_server_left

begin "ci/demo that is interrupted while its server starts leaves nothing either"
start_demo ""
interrupt_at "Starting a private PostgreSQL"
expect_no_server_left
expect_nothing_left
