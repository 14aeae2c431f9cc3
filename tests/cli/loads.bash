# Cases of the commands on loads and dependencies: load, invalidate, tags, and put with --tag.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

p init
mkdir -p "$work/loads"
ran=$work/loads/ran

# A program that notes that it ran, and then does what its first argument says.
slow=$work/loads/slow
cat >"$slow" <<'END'
#!/bin/sh
echo ran >>"$(dirname "$0")/ran"
eval "$1"
END
chmod +x "$slow"

# A program that goes on until it is told not to.
until_told="until [ -e $work/loads/told ]; do sleep 0.1; done"

tell_program() {
  : >"$work/loads/told"
}

times_run() {
  [ -f "$ran" ] && wc -l <"$ran" || echo 0
}

has_run() {
  [ "$(times_run)" -ge "$1" ]
}

expect_runs() {
  expect_equal "$command_line: runs of the program" "$(times_run)" "$1"
  rm -f "$ran" "$work/loads/told"
}

begin "load: the program runs on a miss, what it prints is the value, byte for byte; then it is a hit"
printf 'a\0b\n\n' >"$work/loads/bytes"
p load l1 --ttl 1m -- "$slow" "cat $work/loads/bytes"
expect_code 0
expect_silence
expect_same_bytes "$work/loads/bytes"
p load l1 -- "$slow" 'echo other'
expect_code 0
expect_same_bytes "$work/loads/bytes"
p get l1 --json
expect_json 'j["value_base64"] == "YQBiCgo=" and 50000 < j["ttl_ms"] <= 60000'
expect_runs 1

begin "load --json says what it was: loaded, hit"
p load l2 --json --format json -- "$slow" 'printf 5'
expect_json 'j["outcome"] == "loaded" and j["stored"] is True and j["value"] == "5" and j["format"] == 1 and int(j["version"]) > 0'
p load l2 --json -- "$slow" 'printf 6'
expect_json 'j["outcome"] == "hit" and j["value"] == "5" and j["format"] == 1 and j["stale"] is False'
expect_runs 1

begin "load: an empty value is one, and the program has the command's standard input"
p load l3 -- "$slow" true
expect_code 0
expect_out ""
p load l3 -- "$slow" 'echo more'
expect_out ""
code=0
printf 'from outside' | PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load l3b -- "$slow" cat >"$out" 2>"$err" || code=$?
expect_code 0
expect_out "from outside"
expect_runs 2

begin "[A40] of ten that ask at a time one runs the program, and all get what it gave"
for number in 1 2 3 4 5 6 7 8 9 10; do
  PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load l4 -- "$slow" 'sleep 1; echo "once"' >"$work/loads/out.$number" 2>&1 &
done
wait
command_line="ten loads"
expect_runs 1
expect_equal "what they printed" "$(sort "$work"/loads/out.* | uniq -c | tr -s ' ')" " 10 once"

begin "load: a program that fails hands on its exit code, prints nothing, stores nothing, and is run again"
p load l5 -- "$slow" 'echo half; exit 9'
expect_code 9
expect_out ""
expect_error "exit code 9"
p load l5 --json -- "$slow" 'exit 3'
expect_code 3
expect_json 'j["command"] == "load" and j["status"] is None and "exit code 3" in j["error"]'
p load l5 -- "$slow" 'echo whole'
expect_code 0
expect_out whole
expect_runs 3

begin "load: what cannot be run gives 126 and 127, and the lease is given back"
p load l6 -- "$work/loads/none"
expect_code 127
expect_error "cannot be run"
p load l6 -- "$work/loads"
expect_code 126
p load l6 --wait 5s -- "$slow" 'echo now'
expect_code 0
expect_out now
rm -f "$ran"

begin "load --fail-safe: what was stored before stands in for a program that fails"
p load l7 --ttl 200ms --fail-safe 1h -- "$slow" 'echo old'
sleep 0.3
p get l7
expect_code 3
p load l7 --fail-safe 1h -- "$slow" 'exit 7'
expect_code 0
expect_out old
expect_error "exit code 7"
p load l7 --json --fail-safe 1h -- "$slow" 'exit 7' # whether it is run so soon again or not
expect_code 0
expect_json 'j["outcome"] == "stale" and j["stale"] is True and j["value"] == "old\n" and j["status"] == "PGCACHE_STALE"'
rm -f "$ran"

begin "load --stale: one caller refreshes, the others get what there is at once"
p load l8 --ttl 200ms --stale 1h -- "$slow" 'echo old'
sleep 0.3
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load l8 --ttl 1h -- "$slow" "$until_told; echo new" >"$work/loads/refresh" &
refresh=$!
wait_until 60 has_run 2
p load l8 --stale 1h -- "$slow" 'echo third'
expect_out old
tell_program
wait "$refresh"
p load l8 -- "$slow" 'echo fourth'
expect_out new
expect_equal "what the refresh printed" "$(cat "$work/loads/refresh")" new
expect_runs 2

begin "load: a program that is killed gives 128 and its signal, and the next one runs at once"
p load l9 -- "$slow" 'kill -9 $$'
expect_code 137
expect_error "signal 9"
p load l9 --wait 5s -- "$slow" 'echo again'
expect_out again
expect_runs 2

begin "load: a signal to the command reaches the program, and the next one runs at once"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load l10 -- "$slow" \
  "trap 'echo got it >$work/loads/got; exit 0' TERM; : >$work/loads/traps; while :; do sleep 0.05; done" >"$out" 2>"$err" &
process=$!
wait_until 60 test -e "$work/loads/traps"
kill -TERM "$process"
code=0
wait "$process" || code=$?
command_line="load, terminated"
expect_code 143
expect_out ""
wait_until 60 test -e "$work/loads/got" || fail "the program did not get the signal"
p load l10 --wait 5s -- "$slow" 'echo after'
expect_code 0
expect_out after
expect_runs 2

begin "load: the lease is renewed while the program runs"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load l11 -- "$slow" "$until_told" >"$out" 2>"$err" &
process=$!
wait_until 60 has_run 1
first=$(sql "SELECT max(deadline) FROM $schema.leases")
lease_was_renewed() {
  [ "$(sql "SELECT max(deadline) > '$first' FROM $schema.leases")" = t ]
}
wait_until 60 lease_was_renewed || fail "the lease still ends at $first"
tell_program
code=0
wait "$process" || code=$?
command_line="a long load"
expect_code 0
expect_runs 1

begin "load --wait: no longer than so for somebody else's program, then exit 3"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load l12 -- "$slow" "$until_told; echo slow" >/dev/null 2>&1 &
process=$!
wait_until 60 has_run 1
p load l12 --wait 200ms --json -- "$slow" 'echo never'
expect_code 3
expect_json 'j["outcome"] == "busy" and j["status"] == "PGCACHE_BUSY"'
tell_program
wait "$process"
expect_runs 1

begin "load: what is longer than --max-value-bytes is an error, and the lease is given back"
p load l13 --max-value-bytes 10 -- "$slow" 'echo 01234567890123456789'
expect_code 1
expect_out ""
expect_error "--max-value-bytes"
p load l13 --wait 5s -- "$slow" 'echo short'
expect_out short
rm -f "$ran"

begin "load: with null: the program runs each time; without a server it does not, but with --on-error miss"
bare load l14 --url null: -- "$slow" 'echo value'
bare load l14 --url null: -- "$slow" 'echo value'
expect_code 0
expect_out value
expect_runs 2
bare load l14 --url "host=$work/nowhere" -- "$slow" 'echo value'
expect_code 1
expect_out ""
expect_runs 0
bare load l14 --url "host=$work/nowhere" --on-error miss -- "$slow" 'echo value'
expect_code 0
expect_out value
expect_runs 1

begin "invalidate --tag ends what depends on the tag, and nothing else"
p load tagged1 --tag red --tag green -- echo one
p load tagged2 --tag green -- echo two
p load tagged3 --tag blue -- echo three
p invalidate --tag red
expect_code 0
expect_out invalidated
p get tagged1
expect_code 3
p get tagged2
expect_out two
p invalidate --json --tag green --tag blue
expect_json 'j["status"] == "PGCACHE_OK" and j["outcome"] == "invalidated"'
p get tagged2
expect_code 3
p get tagged3
expect_code 3
p put tagged1 anew --tag red
p get tagged1
expect_out anew

begin "put --tag, with a condition, too: what the tag ends is gone, and can be put anew"
p put t6 one --tag red --tag green
p put t7 two --if-absent --tag green
p invalidate --tag green
p get t6
expect_code 3
p get t7
expect_code 3
p put t6 anew --tag red
p get t6
expect_out anew

begin "invalidate ends keys, too, several at once, in the namespace given"
p put k1 v
p put k2 v
p put k2 other --namespace n2
p invalidate k1 k2
expect_code 0
p get k1
expect_code 3
p get k2
expect_code 3
p get k2 --namespace n2
expect_out other
p invalidate --key-base64 --namespace n2 azI=
p get k2 --namespace n2
expect_code 3

begin "invalidate while the program runs: its value is printed, and not stored"
p load t5 --tag red -- "$slow" "PGCACHE_URL='$PGCACHE_TEST_URL' '$PGCACHE_BIN' invalidate --tag red >/dev/null; echo old"
expect_code 0
expect_out old
expect_error "not stored"
p get t5
expect_code 3
p load t5 --tag red -- "$slow" 'echo new'
expect_out new
p get t5
expect_out new
rm -f "$ran"

begin "put, load and invalidate check tags as the library does"
p put x v --tag ''
expect_code 1
expect_error
p put x v --tag "$(printf '%0256d' 1)"
expect_code 1
# shellcheck disable=SC2046 # words
p put x v $(printf -- '--tag %d ' {1..17})
expect_code 1
expect_error 16
# shellcheck disable=SC2046
p put x v $(printf -- '--tag %d ' {1..16})
expect_code 0
p invalidate ''
expect_code 1
expect_error
# load does before it runs the program.
for tag in '' "$(printf '%0256d' 1)"; do
  p load x2 --tag "$tag" -- "$slow" 'echo value'
  expect_code 2
  expect_error "1 to 255"
done
# shellcheck disable=SC2046
p load x2 $(printf -- '--tag %d ' {1..17}) -- "$slow" 'echo value'
expect_code 2
expect_error 16
expect_runs 0

begin "tags says how many entries depend on each"
p flush
p load a --tag one --tag two -- echo v
p load b --tag two -- echo v
p put c v
p tags one two none
expect_code 0
expect_out "$(printf '1\tone\n2\ttwo\n0\tnone')"
p tags two --json
expect_json 'j["tags"] == [{"tag_base64": "dHdv", "tag": "two", "entries": 2}] and j["tagged"] == 2 and j["watched"] == []'
p invalidate --tag one
p tags one two
expect_out "$(printf '0\tone\n1\ttwo')"
p tags
expect_code 0
expect_out ""
bare tags x --url null:
expect_out "$(printf '0\tx')"
bare tags x y --url null:
expect_out "$(printf '0\tx\n0\ty')"

begin "tags lists the watched tables, and what they change ends what depends on it"
sql "CREATE SCHEMA ${schema}_b; CREATE TABLE ${schema}_b.\"some orders\" (id int, customer int)"
table="${schema}_b.\"some orders\""
sql "SELECT $schema.watch('$table', ARRAY['orders', 'customer:<customer>'])" >/dev/null
p tags
expect_out "$(printf '%s\tdefault\torders\n%s\tdefault\tcustomer:<customer>' "$table" "$table")"
p tags --json
expect_json '[w["tag"] for w in j["watched"]] == ["orders", "customer:<customer>"] and j["watched"][0]["table"].endswith("_b.\"some orders\"")'
p load all --tag orders -- echo 0
p load of7 --tag customer:7 -- echo 0
p load of8 --tag customer:8 -- echo 0
sql "INSERT INTO $table VALUES (1, 7)"
p get all
expect_code 3
p get of7
expect_code 3
p get of8
expect_out 0
sql "SELECT $schema.unwatch('$table')" >/dev/null
p tags
expect_out ""

begin "tags on a terminal is for people, and what stands in a table's name or a tag stays in its line"
odd=$'one\001two\n\tthree"\\'
sql "CREATE TABLE ${schema}_b.\"${odd//\"/\"\"}\" (id int); SELECT $schema.watch('${schema}_b.\"${odd//\"/\"\"}\"', ARRAY['of odd'])" >/dev/null
p load people --tag people -- echo v
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' tags"
grep -qE "^[0-9]+ entries depend on tags or other keys; watched tables:" "$out" || fail "no head: $(cat -v "$out")"
expect_out_has "  default  of odd"
expect_equal "lines" "$(wc -l <"$out")" 2
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' tags people"
grep -qE '^ +1  people' "$out" || fail "no row for the tag: $(cat -v "$out")"
p tags
expect_code 0
expect_equal "lines in a pipe" "$(wc -l <"$out")" 1
sql "DROP TABLE ${schema}_b.\"${odd//\"/\"\"}\" CASCADE"

begin "load on a terminal ends a value's last line, and a value larger than a buffer is whole"
on_terminal "'$PGCACHE_BIN' load t1 -- printf value"
expect_equal "without a newline" "$(od -An -c "$out" | tr -d ' ')" 'value\r\n'
on_terminal "'$PGCACHE_BIN' load t2 -- echo line"
expect_equal "with one" "$(od -An -c "$out" | tr -d ' ')" 'line\r\n'
on_terminal "'$PGCACHE_BIN' load t3 -- true"
expect_equal "nothing" "$(od -An -c "$out" | tr -d ' ')" '\r\n'
p load t4 -- head -c 300000 /dev/zero
expect_code 0
expect_equal "bytes" "$(wc -c <"$out")" 300000
p get t4
expect_equal "bytes stored" "$(wc -c <"$out")" 300000

begin "load: an entry that says that there is no value is no value, and the program does not run"
p load absent -- echo v
sql "UPDATE $schema.entries SET flags = flags | 64 WHERE key = 'absent'"
p load absent -- "$slow" 'echo never'
expect_code 3
expect_out ""
expect_silence
p load absent --json -- "$slow" 'echo never'
expect_code 3
expect_json 'j["outcome"] == "missing" and j["status"] == "PGCACHE_MISS"'
expect_runs 0

begin "load: when the store is gone as the program ends, its value is printed all the same; a failure is told"
psql="${PGCACHE_TEST_BINDIR:+$PGCACHE_TEST_BINDIR/}psql"
away="$psql -Xq -d '$PGCACHE_TEST_URL' -c 'ALTER SCHEMA $schema RENAME TO ${schema}_away'"
p load gone1 -- "$slow" "$away; echo good"
expect_code 0
expect_out good
expect_error "not stored: "
sql "ALTER SCHEMA ${schema}_away RENAME TO $schema"
p load gone2 -- "$slow" "$away; exit 5"
expect_code 5
expect_out ""
grep -q "could not be ended, and others may wait for it" "$err" || fail "nothing of the load: $(cat "$err")"
sql "ALTER SCHEMA ${schema}_away RENAME TO $schema"
rm -f "$ran"

begin "load: a signal while somebody else's program is waited for ends it, and that one goes on"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load w1 -- "$slow" "$until_told; echo other" >"$work/loads/other" 2>&1 &
other=$!
wait_until 60 has_run 1
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load w1 -- "$slow" 'echo never' >"$out" 2>"$err" &
process=$!
catches_term() { # the process $1, which has become the command, and notes it from now on
  (((16#$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status") & 0x4000) != 0))
}
wait_until 60 catches_term "$process"
sleep 0.3
kill -TERM "$process"
code=0
wait "$process" || code=$?
command_line="load, terminated while it waits"
expect_code 143
expect_out ""
expect_error "interrupted"
tell_program
wait "$other"
expect_equal "what the other one printed" "$(cat "$work/loads/other")" other
expect_runs 1

begin "load: a lease that is taken away while the program runs is not asked for again: its value is printed, and not stored"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" load taken -- "$slow" "$until_told; echo mine" >"$work/loads/mine" 2>"$work/loads/mine.err" &
process=$!
wait_until 60 has_run 1
p put taken theirs
sleep 2.7
tell_program
code=0
wait "$process" || code=$?
command_line="load, whose lease was taken away"
[ "$code" -eq 0 ] || fail "exit code $code"
expect_equal "what the program gave" "$(cat "$work/loads/mine")" mine
grep -q "not stored: it was written" "$work/loads/mine.err" || fail "it is not told: $(cat "$work/loads/mine.err")"
p get taken
expect_out theirs
rm -f "$ran" "$work/loads/told"

begin "load: a program that cannot be started for want of descriptors is an error, and the lease is given back"
started=0
for descriptors in 5 6 7 8; do
  code=0
  (ulimit -n "$descriptors" && PGCACHE_URL=$PGCACHE_TEST_URL exec "$PGCACHE_BIN" load few -- echo few) >"$out" 2>"$err" || code=$?
  ! grep -q "cannot start the program" "$err" || started=$((started + 1))
  [ "$code" -eq 1 ] || [ "$(cat "$out")" = few ] || fail "$descriptors descriptors: exit $code: $(cat "$err")"
  p remove few
done
[ "$started" -gt 0 ] || fail "it never came to the program"
p load few --wait 5s -- echo few
expect_out few

sql "DROP SCHEMA $schema CASCADE; DROP SCHEMA ${schema}_b CASCADE" >/dev/null 2>&1
