# Cases of making the schema: init, upgrade, the SQL; and of servers that cannot be used.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

schemas() {
  sql "SELECT count(*) FROM pg_namespace WHERE nspname = '$1'"
}

begin "[A20] init without an address prints its SQL, which makes the same schema as init does"
bare init
expect_code 0
expect_error "no address was given"
expect_out_has "CREATE"
"${PGCACHE_TEST_BINDIR:+$PGCACHE_TEST_BINDIR/}psql" -Xq -v ON_ERROR_STOP=1 -d "$PGCACHE_TEST_URL" -f "$out" \
  >"$work/psql" 2>&1 || fail "psql refused the SQL: $(head -c 400 "$work/psql")"
expect_equal "schemas made" "$(schemas "$schema")" 1
p upgrade
expect_code 0
expect_out "current"
p init
expect_out "current"
p put k v
expect_code 0
sql "DROP SCHEMA $schema CASCADE" >/dev/null 2>&1

begin "[A20] init --dry-run prints the SQL and runs nothing, also with an address"
p init --dry-run
expect_code 0
expect_out_has "CREATE"
expect_equal "schemas made" "$(schemas "$schema")" 0
cp "$out" "$work/sql"
bare init --dry-run
expect_silence
expect_same_bytes "$work/sql"
bare init --json
expect_error "no address was given"
expect_json 'j["outcome"] == "printed"'
p init --dry-run --json
expect_json 'j["outcome"] == "printed" and "CREATE" in j["sql"]'
p init --dry-run --schema other_name --table logged
expect_out_has "other_name"
! cmp -s "$out" "$work/sql" || fail "the settings do not change the SQL"

begin "before init every command says that the schema is missing and what to do"
for words in "get k" "put k v" "stats" "keys" "upgrade"; do
  # shellcheck disable=SC2086
  p $words
  expect_code 1
  expect_error "init"
done
p get k --json
expect_code 1
expect_json 'j["status"] == "PGCACHE_SCHEMA_MISSING" and j["error"]'

begin "[A20] 8 concurrent inits all succeed"
pids=()
for number in 1 2 3 4 5 6 7 8; do
  PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" init >"$work/init.$number" 2>&1 &
  pids+=($!)
done
for number in 1 2 3 4 5 6 7 8; do
  wait "${pids[number - 1]}" || fail "init number $number failed: $(cat "$work/init.$number")"
done
expect_equal "inits that made the schema" "$(cat "$work"/init.? | grep -c '^made$')" 1
expect_equal "inits that found it" "$(cat "$work"/init.? | grep -c '^current$')" 7

begin "[A20] init twice succeeds, and upgrade after it has nothing to do"
p init
expect_code 0
expect_out "current"
p upgrade
expect_code 0
expect_out "current"
p init --json
expect_json 'j["command"] == "init" and j["outcome"] == "current"'

begin "settings that contradict each other are refused by every command"
for words in "get k" init "init --dry-run"; do
  # shellcheck disable=SC2086
  p $words --pool-min 5 --pool-max 2
  expect_code 1
  expect_error "pool_m"
  expect_out ""
done

begin "a table that is logged says so"
p init --schema "${schema}_b" --table logged
expect_out "made"
p stats --schema "${schema}_b" --table logged --json
expect_json 'j["logged"] is True'
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' stats --schema ${schema}_b --table logged"
grep -qE 'table +logged' "$out" || fail "the table does not say logged: $(cat "$out")"

begin "init on a schema that was made the other way says so"
p init --table logged
expect_code 1
expect_error
p get k --table logged --json
expect_json 'j["status"] == "PGCACHE_SCHEMA_DIFFERS"'

begin "[A21] a schema that is empty, badly named or has a quote is refused before anything is sent"
for name in "" "9x" "Upper" "a-b" "a b" 'x"; DROP SCHEMA public; --' "abcdefghijklmnopqrstuvwxyz_123456"; do
  p init --schema "$name"
  expect_code 2
  expect_error "schema"
  bare init --dry-run --schema "$name"
  expect_code 2
  expect_out ""
done
expect_equal "the schema public" "$(schemas public)" 1

begin "[A22] a server that is not there: exit 1 and one clear line without the password"
canary=Canary4711
for url in "host=/nonexistent user=u password=$canary dbname=d" "postgresql://u:$canary@127.0.0.1:1/d" \
  "postgresql://u:$canary@no-such-host.invalid/d" "host=127.0.0.1 port=1 password='$canary' dbname=d user=u"; do
  bare --url "$url" get k
  expect_code 1
  expect_error
  expect_out ""
  PGCACHE_URL=$url bare init
  expect_code 1
  expect_error
  DATABASE_URL=$url bare stats --json
  expect_code 1
  expect_error
  expect_json 'j["status"] in ("PGCACHE_UNAVAILABLE", "PGCACHE_TIMEOUT") and j["error"]'
  cat "$out" "$err" >"$work/both"
  ! grep -q "$canary" "$work/both" || fail "the password was printed: $(cat "$work/both")"
done

begin "[A22] an address that makes no sense: exit 1 and one clear line without the password"
for url in "mysql://u:$canary@h/d" "host=h password=$canary port=abc" "postgresql://u:$canary%zz@h/d" "$canary" \
  "host=h nonsense=$canary" "password=$canary'" "null:$canary" "local:relative/$canary"; do
  bare --url "$url" get k
  expect_code 1
  expect_error
  PGCACHE_URL=$url bare get k
  expect_code 1
  expect_error
  ! grep -q "$canary" "$err" || fail "the password was printed: $(cat "$err")"
done

begin "a database and a role that do not exist: exit 1 and one line"
bare get k --url "$PGCACHE_TEST_URL dbname=no_such_database_$$"
expect_code 1
expect_error
bare get k --url "$PGCACHE_TEST_URL user=no_such_role_$$"
expect_code 1
expect_error

begin "the option goes before PGCACHE_URL, and that before DATABASE_URL"
PGCACHE_URL=null: DATABASE_URL=$PGCACHE_TEST_URL bare stats --json
expect_json 'j["server_version"] == 0'
PGCACHE_URL=null: bare stats --json --url "$PGCACHE_TEST_URL"
expect_json 'j["server_version"] >= 150000'
DATABASE_URL=$PGCACHE_TEST_URL bare stats --json
expect_json 'j["server_version"] >= 150000'

begin "[A81] init --app-role lets a role in, which can use the cache and nothing else; its SQL does the same"
role=cli_role_$$
owner=cli_owner_$$
sql "CREATE ROLE $role LOGIN" >/dev/null
p init --schema "${schema}_b" --app-role "$role" --owner-role "$owner" --app-namespaces shop
expect_code 1 # it was made logged above
sql "DROP SCHEMA ${schema}_b CASCADE" >/dev/null 2>&1
p init --schema "${schema}_b" --app-role "$role" --owner-role "$owner" --app-namespaces shop
expect_code 0
expect_out "made"
p init --schema "${schema}_b" --app-role "$role" --owner-role "$owner" --app-namespaces shop
expect_out "current"
for words in "put k v" "get k" "stats" "keys" "cleanup" "flush --yes"; do
  # shellcheck disable=SC2086
  bare $words --schema "${schema}_b" --namespace shop --url "$PGCACHE_TEST_URL user=$role"
  expect_code 0
done
for words in "put k v" "init" "upgrade"; do
  # shellcheck disable=SC2086
  bare $words --schema "${schema}_b" --url "$PGCACHE_TEST_URL user=$role"
  expect_code 1
  expect_error
done
expect_equal "the owner" "$(sql "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = '${schema}_b'")" "$owner"
bare init --dry-run --app-role "$role" --owner-role "$owner"
expect_code 0
expect_out_has "grant_access('$role'"
for words in "--app-role a'b" "--app-namespaces x" "--grants all" "--owner-role pg_x"; do
  # shellcheck disable=SC2086
  bare init --dry-run $words
  [ "$code" -ne 0 ] || fail "$words was taken"
  expect_error
done
sql "DROP SCHEMA ${schema}_b CASCADE; DROP OWNED BY $role, $owner, ${owner}_restricted;
  DROP ROLE $role, $owner, ${owner}_restricted" >/dev/null 2>&1
