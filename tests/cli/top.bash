# Cases of what processes publish of their measurements: top, and stats --prometheus.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round. Who types waits for what the screen shows, in the file that it is
# written to.
# shellcheck shell=bash disable=SC2034,SC2154,SC2094

p init
p flush --all --yes
sql "DELETE FROM $schema.summaries"
escape=$(printf '\033')

# A process that publishes every second, until it is killed: 100 times a second at most two hits of the span checkout, a miss
# of the span welcome, and a put.
publisher() {
  "$(dirname "$PGCACHE_BIN")/examples/measured" "$PGCACHE_TEST_URL" 600 >/dev/null 2>&1 &
  publishers+=($!)
}
publishers=()

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

begin "top gives what processes publish: since their start, and then per second"
publisher
publisher
wait_until 30 summaries 2 || fail "nothing is published"
# A process that gets no processor for three seconds is silent for a moment.
shows() { # EXPRESSION
  p top --json --interval 2s
  [ "$code" -eq 0 ] && holds_in_json "$1"
}
wait_until 60 shows 'j["processes"] == 2 and j["since_start"] == 0 and len(j["spans"]) == 2' ||
  fail "never two processes that do something: $(cat "$out")"
expect_silence
expect_json '0 < j["calls_per_second"] < 801 and j["errors_per_second"] == 0'
expect_json '2 <= j["connections_idle"] + j["connections_lent"] <= 4'
expect_json '0.6 < j["hit_ratio"] < 0.7 and 0 < j["p50_seconds"] <= j["p99_seconds"] and j["near_hit_ratio"] == 0'
expect_json '[o["name"] for o in j["operations"][:2]] == ["get", "put"]'
expect_json '[(s["name"], s["hit_ratio"]) for s in j["spans"]] == [("checkout", 1), ("welcome", 0)]'
expect_json '1.9 < j["spans"][0]["calls_per_second"] / j["spans"][1]["calls_per_second"] < 2.1'
expect_json '{n["namespace"] for n in j["namespaces"]} == {"", "shown", "default"}'
p top --count 2 --interval 3s
expect_code 0
expect_equal "readings" "$(grep -c '^processes' "$out")" 2
grep -qE '^span.checkout.[1-9][0-9.]*.0.[0-9.e-]+.[0-9.e-]+.1$' "$out" || fail "no line for the span: $(cat "$out")"
grep -qE '^operation.get.[1-9][0-9.]*.0.[0-9.e-]+.[0-9.e-]+$' "$out" || fail "no line for get: $(cat "$out")"

begin "limits are shown"
p limit --max-entries 1000 --namespace shown
p limit --all --max-bytes 1048576
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' top" q
expect_out_has "1000 entries  shown"
expect_out_has "1.0 MiB  (all)"
p limit --max-entries none --namespace shown
p limit --all --max-bytes none

begin "top fits the screen that it has, and takes keys of either size"
for i in 1 2 3; do p put same v --namespace "equal$i"; done
p put larger "$(printf 'x%.0s' {1..5000})" --namespace large
on_terminal "stty rows 40 cols 120; NO_COLOR=1 '$PGCACHE_BIN' top --interval 1s" xQ
expect_code 0
expect_out_has "CALLS/S"
expect_out_has "equal1"
grep -a -o 'large\|equal[123]' "$out" | head -n 4 | paste -sd ' ' >"$work/order"
expect_equal "the largest first, then by name" "$(cat "$work/order")" "large equal1 equal2 equal3"
for rows in 3 9 16; do
  on_terminal "stty rows $rows cols 40; NO_COLOR=1 '$PGCACHE_BIN' top --interval 1s" q
  expect_code 0
  expect_out_has "processes that publish: 2"
  lines=$(sed 's/\x1b\[H/\n&/g' "$out" | grep -ac 'K.$')
  [ "$lines" -le $((2 * rows)) ] || fail "$lines lines on $rows rows"
done
on_terminal "stty rows 0 cols 0; NO_COLOR=1 '$PGCACHE_BIN' top --interval 1s" q # it does not say how large it is
expect_code 0
expect_out_has "CALLS/S"
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' top --count 1 </dev/null"
expect_code 0
expect_out_has "CALLS/S"
for name in equal1 equal2 equal3 large; do p flush --yes --namespace $name; done

begin "top without an address is a slip of the hand"
bare top --count 1
expect_code 2
expect_error "no address"

begin "stats has one form at a time"
p stats --prometheus --json
expect_code 2
expect_error "two forms"

begin "stats --prometheus prints the store's figures and those of each process, which promtool finds in order"
two_origins() {
  p stats --prometheus
  [ "$(grep -o '^pgcache_handles{origin="[^"]*"' "$out" | sort -u | wc -l)" -eq 2 ]
}
wait_until 60 two_origins || fail "never two processes: $(cat "$out")"
expect_code 0
expect_silence
grep -qE "^pgcache_store_entries [12]$" "$out" || fail "no entries of the store"
if command -v promtool >/dev/null; then
  promtool check metrics <"$out" >"$work/promtool" 2>&1 || fail "promtool: $(cat "$work/promtool")"
else
  echo "skipped: promtool is not installed"
fi

begin "stats --prometheus where nothing can be read of what is published: exit 1, and half an exposition is none"
sql "ALTER TABLE $schema.summaries RENAME TO elsewhere"
p stats --prometheus
expect_code 1
expect_out ""
expect_error ""
sql "ALTER TABLE $schema.elsewhere RENAME TO summaries"

begin "on a terminal top is a screen, which q leaves as it was found"
on_terminal "stty -a >'$work/before'; '$PGCACHE_BIN' top --interval 1s; echo left \$?; stty -a >'$work/after'" q
expect_code 0
expect_out_has "left 0"
expect_out_has "${escape}[?1049h"
expect_out_has "${escape}[?1049l"
expect_out_has "processes that publish: "
expect_out_has "checkout"
expect_out_has "CALLS/S"
cmp -s "$work/before" "$work/after" || fail "the terminal is another one: $(diff "$work/before" "$work/after")"

begin "a signal ends top as it ends any command, and the terminal is left as it was found"
# Until the process whose number is in the file catches SIGTERM: from then on it puts the terminal in order before it ends.
cat >"$work/minds" <<'END'
until [ -s "$1" ] && [ $((0x$(sed -n 's/^SigCgt:\t*//p' "/proc/$(cat "$1")/status") & 0x4000)) -ne 0 ]; do sleep 0.1; done
sleep 0.5
END
for name in TERM HUP; do
  on_terminal "stty -a >'$work/before'; '$PGCACHE_BIN' top </dev/tty & pid=\$!; echo \$pid >'$work/pid'
    bash '$work/minds' '$work/pid'; kill -$name \$pid; wait \$pid; echo left \$?; stty -a >'$work/after'"
  case $name in TERM) expect_out_has "left 143" ;; HUP) expect_out_has "left 129" ;; esac
  cmp -s "$work/before" "$work/after" || fail "SIG$name: the terminal is another one"
  expect_equal "SIG$name: screens left as often as taken" "$(grep -cF "${escape}[?1049l" "$out")" \
    "$(grep -cF "${escape}[?1049h" "$out")"
done
rm -f "$work/pid"
code=0
{
  bash "$work/minds" "$work/pid"
  printf '\003'
  wait_until 60 grep -q left "$out"
} | PGCACHE_URL=$PGCACHE_TEST_URL script -qefc \
  "trap : INT; sh -c 'echo \$\$ >$work/pid; exec \"$PGCACHE_BIN\" top'; echo left \$?" /dev/null >"$out" 2>"$err" || code=$?
command_line="top, and Ctrl-C"
expect_out_has "left 130"
expect_equal "screens left as often as taken" "$(grep -cF "${escape}[?1049l" "$out")" "$(grep -cF "${escape}[?1049h" "$out")"

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

begin "a server that goes away while the screen is shown: the screen says so, and stays"
own=$work/own
mkdir "$own"
"$PGCACHE_BIN" local start --dir "$own/local" >/dev/null 2>&1 || fail "no server of its own"
own_url=$("$PGCACHE_BIN" local url --dir "$own/local")
{
  wait_until 60 grep -q 'No process publishes' "$out"
  "$PGCACHE_BIN" local stop --dir "$own/local" >/dev/null 2>&1
  wait_until 60 grep -q 'cannot connect' "$out"
  printf q
  wait_until 60 grep -q left "$out"
} | PGCACHE_URL=$own_url script -qefc "NO_COLOR=1 '$PGCACHE_BIN' top --interval 300ms; echo left \$?" /dev/null >"$out" 2>"$err"
command_line="top, and the server stops"
expect_out_has "No process publishes"
grep -q 'cannot connect' "$out" || fail "the screen says nothing of it: $(cat -v "$out")"
expect_out_has "left 0"

kill "${publishers[@]}" 2>/dev/null
wait "${publishers[@]}" 2>/dev/null
