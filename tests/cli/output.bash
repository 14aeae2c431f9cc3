# Cases of how the command speaks: terminals and colours, streams that fail, waiting, signals.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

p init
p flush --all --yes
p put text value
escape=$(printf '\033')

begin "a newline is added to a value on a terminal only, and not if there is one"
p get text
expect_equal "bytes" "$(wc -c <"$out")" 5
on_terminal "'$PGCACHE_BIN' get text"
expect_equal "on a terminal" "$(od -An -c "$out" | tr -d ' ')" 'value\r\n'
p put line < <(printf 'line\n')
on_terminal "'$PGCACHE_BIN' get line"
expect_equal "on a terminal" "$(od -An -c "$out" | tr -d ' ')" 'line\r\n'

begin "colours are for people on a terminal alone: not in a pipe, with --json, NO_COLOR or a dumb one"
for words in "stats" "keys" "exists text" "help"; do
  # shellcheck disable=SC2086
  p $words
  expect_out_lacks "$escape"
  on_terminal "'$PGCACHE_BIN' $words"
  expect_out_has "${escape}["
  on_terminal "NO_COLOR=1 '$PGCACHE_BIN' $words"
  expect_out_lacks "$escape"
  on_terminal "TERM=dumb '$PGCACHE_BIN' $words"
  expect_out_lacks "$escape"
  on_terminal "env -u TERM '$PGCACHE_BIN' $words"
  expect_out_lacks "$escape"
  on_terminal "NO_COLOR= '$PGCACHE_BIN' $words"
  expect_out_has "${escape}["
  on_terminal "'$PGCACHE_BIN' $words --json"
  expect_out_lacks "$escape"
done

begin "keys on a terminal is a table"
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' keys"
expect_out_has "TTL"
grep -qE '^ +[0-9]+m [0-9]+s +0 +[0-9]+  text' "$out" || fail "no row for the key: $(cat -v "$out")"

begin "a time to live is shown in the two largest units that it has"
while read -r ttl pattern; do
  p put shown v --ttl "$ttl"
  on_terminal "NO_COLOR=1 '$PGCACHE_BIN' keys shown"
  grep -qE "^ +$pattern +0 +[0-9]+  shown" "$out" || fail "--ttl $ttl: no row with $pattern: $(cat -v "$out")"
done <<'END'
900ms [0-9]+ms
30s [0-9]+s
2h 1h.59m
90d 89d.23h
never never
END
p remove shown
p put empty ''
on_terminal "'$PGCACHE_BIN' get empty"
expect_equal "an empty value on a terminal" "$(od -An -c "$out" | tr -d ' ')" '\r\n'
p remove empty

begin "a key cannot play with the terminal"
p put "$(printf 'evil\033]0;owned\007')" v
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' keys evil"
expect_out_has 'evil\x1b]0;owned\x07'
expect_out_lacks "$escape"
p remove "$(printf 'evil\033]0;owned\007')"

begin "standard output that is closed, full or gone: exit 1 and one line"
for words in "get text" "put text value" "stats" "keys" "help" "version" "exists text --json"; do
  code=0
  # shellcheck disable=SC2086
  PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" $words >&- 2>"$err" || code=$?
  command_line="pgcache $words >&-"
  expect_code 1
  expect_error "standard output"
  code=0
  # shellcheck disable=SC2086
  PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" $words >/dev/full 2>"$err" || code=$?
  command_line="pgcache $words >/dev/full"
  expect_code 1
  expect_error "No space left"
  # shellcheck disable=SC2086
  (trap '' PIPE; sleep 0.2; PGCACHE_URL=$PGCACHE_TEST_URL exec "$PGCACHE_BIN" $words 2>"$err") | :
  code=${PIPESTATUS[0]}
  command_line="pgcache $words | :"
  expect_code 1
  expect_error "Broken pipe"
done

begin "closed standard streams do not end up in the connection"
code=0
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" put streams x <&- >&- 2>&- || code=$?
command_line="pgcache put with all streams closed"
: >"$err"
expect_code 1
p get streams
expect_out x
code=0
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" put streams <&- >"$out" 2>"$err" || code=$?
command_line="pgcache put <&-"
expect_code 1
expect_error "cannot read"
p get streams
expect_out x

# Keeps the cache's tables, or the one that is named, locked until let_go.
hold() {
  local table mode=${2:-ACCESS EXCLUSIVE}
  table=$(sql "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
    WHERE schemaname = '$schema' AND tablename LIKE '${1:-%}'")
  mkfifo "$work/hold"
  "${PGCACHE_TEST_BINDIR:+$PGCACHE_TEST_BINDIR/}psql" -XAtq -d "$PGCACHE_TEST_URL" <"$work/hold" >"$work/held" 2>&1 &
  holder=$!
  exec 9>"$work/hold"
  rm "$work/hold"
  printf '%s\n' "BEGIN; LOCK TABLE $table IN $mode MODE; SELECT 'held';" >&9
  wait_until 60 grep -q held "$work/held" || fail "the test could not lock the table: $(cat "$work/held")"
}

let_go() {
  exec 9>&-
  wait "$holder" 2>/dev/null
  rm -f "$work/held"
}

begin "after a second people see progress on standard error, and it is wiped away"
hold
on_terminal "'$PGCACHE_BIN' get text --timeout-ms 3500"
expect_code 1
expect_out_has "reading... 1 s"
tail -n 1 "$out" | grep -q "$escape\[K.*pgcache: " || fail "the progress line was not wiped: $(cat -v "$out")"
PGCACHE_URL=$PGCACHE_TEST_URL bare get text --timeout-ms 1500
expect_error
expect_out ""

begin "a signal ends a waiting command soon, with one line and as the signal does"
for number in INT TERM HUP; do
  env --default-signal PGCACHE_URL="$PGCACHE_TEST_URL" "$PGCACHE_BIN" get text --timeout-ms 30000 >"$out" 2>"$err" &
  pid=$!
  wait_until 60 minds_signals "$pid"
  sleep 0.3
  began=$SECONDS
  kill -s "$number" "$pid"
  code=0
  wait "$pid" 2>/dev/null || code=$?
  command_line="pgcache get, SIG$number"
  expect_code $((128 + $(kill -l "$number")))
  expect_error "interrupted"
  expect_out ""
  [ $((SECONDS - began)) -le 15 ] || fail "it took $((SECONDS - began)) s to end"
done

begin "who asks twice does not wait for the first to be done"
env --default-signal PGCACHE_URL="$PGCACHE_TEST_URL" "$PGCACHE_BIN" get text --timeout-ms 30000 >"$out" 2>"$err" &
pid=$!
wait_until 60 minds_signals "$pid"
kill -s STOP "$pid" # so that both wait for it
kill -s INT "$pid"
kill -s TERM "$pid"
kill -s CONT "$pid"
code=0
wait "$pid" 2>/dev/null || code=$?
case $code in 130 | 143) ;; *) fail "exit code $code after SIGINT and SIGTERM" ;; esac
expect_out ""

begin "Ctrl-C on a terminal leaves no half a line"
# The shell in between lives on to tell the exit code, which script(1) does not.
# shellcheck disable=SC2094 # what it has printed so far says when to go on
PGCACHE_URL=$PGCACHE_TEST_URL script -qec "trap : INT; '$PGCACHE_BIN' flush --yes; echo \"code \$?\"" /dev/null \
  < <(wait_until 60 grep -q "1 s" "$out"; printf '\003'; wait_until 60 grep -q "code " "$out") >"$out" 2>"$err"
command_line="Ctrl-C during flush"
expect_out_has "code 130"
tr -d '\r' <"$out" | grep -q "\[Kpgcache: interrupted[^$escape]*\$" ||
  fail "the message is not a line of its own after the progress was wiped: $(cat -v "$out")"

begin "a signal that was ignored stays ignored"
(trap '' HUP; PGCACHE_URL=$PGCACHE_TEST_URL exec "$PGCACHE_BIN" get text --timeout-ms 30000 >"$out" 2>"$err" 9>&-) &
pid=$!
wait_until 60 minds_signals "$pid"
kill -HUP "$pid"
sleep 0.3
let_go
code=0
wait "$pid" || code=$?
command_line="nohup pgcache get"
expect_code 0
expect_out value

begin "a write that waits and is interrupted is not done, and --json says so in one object"
hold entries SHARE
env --default-signal PGCACHE_URL="$PGCACHE_TEST_URL" "$PGCACHE_BIN" put text other --timeout-ms 30000 --json >"$out" 2>"$err" &
pid=$!
wait_until 60 minds_signals "$pid"
wait_until 60 somebody_waits
kill -s INT "$pid"
code=0
wait "$pid" 2>/dev/null || code=$?
command_line="pgcache put, SIGINT"
let_go
expect_code 130
expect_error "interrupted"
expect_json 'j["status"] == "PGCACHE_CLOSED" and j["error"] == "interrupted"'
p get text
expect_out value
