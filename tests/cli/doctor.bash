# Cases of the command doctor: its three forms of output, and its exit code by the worst finding.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

# The lines of a check, as line tools see them.
doctor_line() {
  grep -P "^[a-z]+\t$1\t" "$out"
}

begin "doctor on a schema that was just made: exit 0, a line with five fields for each thing it looked at"
sql "DROP SCHEMA IF EXISTS $schema CASCADE" >/dev/null 2>&1
p init
p doctor
expect_code 0
expect_silence
expect_equal "lines with five fields" "$(awk -F'\t' 'NF == 5' "$out" | wc -l)" "$(wc -l <"$out")"
[ "$(wc -l <"$out")" -gt 15 ] || fail "only $(wc -l <"$out") lines"
expect_equal "severities" "$(cut -f 1 "$out" | grep -cvE '^(ok|info)$')" 0
doctor_line schema | grep -q "schema $schema has version" || fail "no evidence for the schema: $(doctor_line schema)"

begin "doctor --json is the library's report in one object"
p doctor --json
expect_code 0
expect_silence
expect_json 'j["command"] == "doctor" and j["status"] == "PGCACHE_OK" and j["worst"] in ("ok", "info")'
expect_json 'len(j["findings"]) > 15 and all(set(f) == {"severity", "check", "finding", "evidence", "remedy"} for f in j["findings"])'
expect_json '{"version", "pooler", "clock", "schema", "pieces", "grants", "autovacuum"} <= {f["check"] for f in j["findings"]}'

begin "doctor on a terminal: a table with colours by severity, evidence and remedy for what is not well"
sql "ALTER TABLE $schema.entries SET (autovacuum_enabled = off)" >/dev/null
on_terminal "'$PGCACHE_BIN' doctor"
expect_code 4
expect_out_has "SEVERITY CHECK"
expect_out_has $'\033[32mok'
expect_out_has $'\033[33mwarning'
expect_out_has "autovacuum_enabled=off on entries"
expect_out_has "-> switch it on again"
expect_out_lacks "PostgreSQL 1" # the evidence of what is well
NO_COLOR=1 on_terminal "'$PGCACHE_BIN' doctor"
expect_out_lacks $'\033[3'
expect_out_has "-> switch it on again"

begin "a warning is exit 4, in every form"
p doctor
expect_code 4
expect_silence
expect_equal "the line" "$(doctor_line autovacuum | cut -f 1)" warning
p doctor --json
expect_code 4
expect_json 'j["worst"] == "warning"'

begin "an error is exit 5, in every form"
sql "DROP TABLE $schema.marker" >/dev/null
p doctor
expect_code 5
expect_silence
grep -qP "^error\tpieces\t.*\ttable $schema.marker\t" "$out" || fail "no line for the table: $(doctor_line pieces)"
p doctor --json
expect_code 5
expect_json 'j["worst"] == "error" and any(f["check"] == "pieces" and f["severity"] == "error" for f in j["findings"])'
on_terminal "'$PGCACHE_BIN' doctor"
expect_code 5
expect_out_has $'\033[31merror'
expect_out_has "table $schema.marker"
sql "DROP SCHEMA $schema CASCADE" >/dev/null 2>&1
p doctor
expect_code 5
doctor_line schema | grep -q "pgcache init" || fail "the remedy is missing: $(doctor_line schema)"

begin "where nothing can be examined there is still one finding, with a remedy, and exit 5"
bare doctor --url "host=/nonexistent user=postgres"
expect_code 5
expect_silence
expect_equal "lines" "$(wc -l <"$out")" 1
grep -qP "^error\tconnection\tnothing could be examined\tcannot connect: .*\t.*psql" "$out" || fail "the line is: $(cat "$out")"
bare doctor --url "host=/nonexistent" --json
expect_code 5
expect_json 'j["status"] == "PGCACHE_UNAVAILABLE" and j["worst"] == "error" and len(j["findings"]) == 1'
p doctor --url "$PGCACHE_TEST_URL user=no_such_role"
expect_code 5
grep -qF "pg_hba.conf" "$out" || fail "the remedy is not that of a refused log-in: $(cat "$out")"
p doctor --url "$PGCACHE_TEST_URL user=no_such_role password=ShownNowhere"
expect_out_lacks ShownNowhere
sql "CREATE ROLE $schema LOGIN CONNECTION LIMIT 0" >/dev/null
p doctor --url "$PGCACHE_TEST_URL user=$schema"
expect_code 5
grep -qF "raise max_connections" "$out" || fail "the remedy is not that of too many connections: $(cat "$out")"
sql "DROP ROLE $schema" >/dev/null
on_terminal "'$PGCACHE_BIN' doctor --url 'host=/nonexistent user=postgres'"
expect_code 5
expect_out_has "nothing could be examined"
bare doctor
expect_code 2
bare doctor --url nonsense
expect_code 1

begin "doctor on a server that says nothing: the remedy is more time; Ctrl-C ends it sooner"
mkdir "$work/silent"
python3 -c 'import socket, sys, time
one = socket.socket(socket.AF_UNIX)
one.bind(sys.argv[1])
one.listen(9)
time.sleep(600)' "$work/silent/.s.PGSQL.5432" &
silent=$!
for _ in $(seq 600); do
  [ ! -S "$work/silent/.s.PGSQL.5432" ] || break
  sleep 0.1
done
bare doctor --url "host=$work/silent" --maintenance-timeout-ms 300
expect_code 5
grep -qP "^error\tconnection\t.*--maintenance-timeout-ms$" "$out" || fail "the line is: $(cat "$out")"
env --default-signal "$PGCACHE_BIN" doctor --url "host=$work/silent" --maintenance-timeout-ms 20000 >"$out" 2>"$err" &
pid=$!
wait_until 60 minds_signals "$pid"
kill -s INT "$pid"
code=0
wait "$pid" 2>/dev/null || code=$?
expect_code 130
expect_error "interrupted"
expect_out ""
kill "$silent"
wait "$silent" 2>/dev/null

begin "with a pooler in between, and prepared=on, the remedy is the setting and not the url"
pooler=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v pgbouncer) || fail "pgbouncer is not installed; ci/setup installs it"
mkdir -m 777 "$work/pooler" # it writes its socket there, as another account
cat >"$work/pooler/ini" <<INI
[databases]
* = $(tr ' ' '\n' <<<"$PGCACHE_TEST_URL" | grep -E '^(host|port)=' | tr '\n' ' ') user=postgres dbname=postgres
[pgbouncer]
pool_mode = transaction
unix_socket_dir = $work/pooler
listen_port = 6432
auth_type = any
INI
as=()
[ "$(id -u)" -ne 0 ] || as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
"${as[@]}" "$pooler" -q "$work/pooler/ini" >"$work/pooler/log" 2>&1 &
pooler_pid=$!
for _ in $(seq 600); do
  [ ! -S "$work/pooler/.s.PGSQL.6432" ] || break
  sleep 0.1
done
bare doctor --url "host=$work/pooler port=6432 user=postgres dbname=postgres"
expect_code 5
grep -qP "^error\tconnection\t.*prepared=off.*\t.*setting that the evidence names" "$out" || fail "the line is: $(cat "$out" "$err" "$work/pooler/log")"
bare doctor --url "host=$work/pooler port=6432 user=postgres dbname=postgres" --prepared off
grep -qP "^warning\tnear\t.*stays off.*\t.*\t.*listen_url" "$out" || fail "no word of the near cache: $(cat "$out")"
bare doctor --url "host=$work/pooler port=6432 user=postgres dbname=postgres" --prepared off --near-max-bytes 0
grep -qP "^ok\tnear\t" "$out" || fail "it is off: $(cat "$out")"
kill "$pooler_pid"
wait "$pooler_pid" 2>/dev/null

begin "[A51] the null cache: one finding, exit 0"
bare doctor --url null:
expect_code 0
expect_equal "the line" "$(cut -f 1-3 "$out")" $'info\taddress\tthe cache is switched off'

