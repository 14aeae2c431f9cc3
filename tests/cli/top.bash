# Cases of what processes publish of their measurements: top, and stats --prometheus.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

p init
p flush --all --yes
sql "DELETE FROM $schema.summaries"
escape=$(printf '\033')

# A process that publishes every second while its program waits for the end; $1 is its key.
publisher() {
  PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load "$1" --publish-ms 1000 -- \
    sh -c "while [ ! -e '$work/over' ]; do sleep 0.2; done; echo v" >"$work/$1" 2>&1 &
}

summaries() {
  [ "$(sql "SELECT count(*) FROM $schema.summaries WHERE at > clock_timestamp() - interval '3 s'")" -ge "$1" ]
}

begin "top says so when nobody publishes, and shows the namespaces all the same"
p put k value --namespace shown
p top --count 1
expect_code 0
expect_silence
grep -qx "$(printf 'processes\t0')" "$out" || fail "it does not say how many processes publish: $(cat "$out")"
grep -qx "$(printf 'hit_ratio\t-')" "$out" || fail "a share of nothing is not unknown: $(cat "$out")"
grep -qx "$(printf 'namespace\tshown\t1\t6\t0\t0\t0')" "$out" || fail "the namespace is missing: $(cat "$out")"
[ -z "$(tail -n 1 "$out")" ] || fail "no empty line behind the reading"
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' top" q
expect_code 0
expect_out_has "No process publishes what it measures: set publish_ms"
expect_out_has "shown"

begin "top gives what processes publish, first since their start, then per second"
rm -f "$work/over"
publisher first
publisher second
wait_until 30 summaries 2 || fail "nothing is published"
p top --json
expect_code 0
expect_json 'j["processes"] == 2 and j["calls"] >= 2 and "load_begin" in {o["name"] for o in j["operations"]}'
expect_json '{n["namespace"] for n in j["namespaces"]} == {"", "shown"}'
p top --count 3 --interval 1500ms
expect_code 0
expect_equal "readings" "$(grep -c '^processes' "$out")" 3
grep -qx "$(printf 'since_start\t0')" "$out" || fail "nothing between two summaries: $(cat "$out")"
grep -qE '^calls_per_second.[0-9]' "$out" || fail "no calls per second: $(cat "$out")"

begin "--json is one object: it goes neither with more than one reading nor with another form"
for words in "top --json --count 2" "stats --prometheus --json"; do
  # shellcheck disable=SC2086
  p $words
  expect_code 2
  expect_error ""
  expect_json 'j["status"] is None'
done

begin "stats --prometheus prints the store's figures and those of each process, which promtool finds in order"
p stats --prometheus
expect_code 0
expect_silence
expect_out_has "pgcache_store_entries 1"
expect_equal "processes" "$(grep -c '^pgcache_handles{' "$out")" 2
expect_equal "origins" "$(grep -o '^pgcache_handles{origin="[^"]*"' "$out" | sort -u | wc -l)" 2
if command -v promtool >/dev/null; then
  promtool check metrics <"$out" >"$work/promtool" 2>&1 || fail "promtool: $(cat "$work/promtool")"
else
  echo "skipped: promtool is not installed"
fi

begin "on a terminal top is a screen, which q leaves as it was found"
on_terminal "stty -a >'$work/before'; '$PGCACHE_BIN' top --interval 1s; echo left \$?; stty -a >'$work/after'" q
expect_code 0
expect_out_has "left 0"
expect_out_has "${escape}[?1049h"
expect_out_has "${escape}[?1049l"
expect_out_has "processes that publish: 2"
expect_out_has "load_begin"
cmp -s "$work/before" "$work/after" || fail "the terminal is another one: $(diff "$work/before" "$work/after")"

begin "a signal ends top as it ends any command, and the terminal is left as it was found"
for name in TERM HUP; do
  on_terminal "stty -a >'$work/before'; '$PGCACHE_BIN' top </dev/tty & pid=\$!
    sleep 1; kill -$name \$pid; wait \$pid; echo left \$?; stty -a >'$work/after'"
  case $name in TERM) expect_out_has "left 143" ;; HUP) expect_out_has "left 129" ;; esac
  expect_out_has "${escape}[?1049l"
  cmp -s "$work/before" "$work/after" || fail "SIG$name: the terminal is another one"
done
code=0
{ sleep 2; printf '\003'; sleep 1; } | PGCACHE_URL=$PGCACHE_TEST_URL script -qec \
  "trap : INT; '$PGCACHE_BIN' top; echo left \$?" /dev/null >"$out" 2>"$err" || code=$?
command_line="top, and Ctrl-C"
expect_out_has "left 130"
expect_out_has "${escape}[?1049l"

begin "top on a dumb terminal, and in a pipe, prints lines without an escape sequence"
on_terminal "TERM=dumb '$PGCACHE_BIN' top --count 1"
expect_out_lacks "$escape"
expect_out_has "processes"
p top --count 1
expect_out_lacks "$escape"

begin "top ends when nobody reads its lines any more"
code=0
PGCACHE_URL=$PGCACHE_TEST_URL timeout 20 "$PGCACHE_BIN" top --interval 100ms 2>"$err" | head -n 1 >"$out"
code=${PIPESTATUS[0]}
expect_equal "exit code" "$code" 1
expect_error "standard output"

begin "a server that is lost: a line, and exit 1"
bare top --url 'host=/nonexistent' --count 1
expect_code 1
expect_error ""
expect_out ""

touch "$work/over"
wait
