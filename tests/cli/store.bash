# Cases of the commands on the cache as a whole: keys, flush, cleanup, stats.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

p init
p flush --all --yes

begin "keys lists in the order of the bytes, by prefix, with a limit, behind a key"
for key in user:1 user:10 user:2 order:1 Zebra; do p put "$key" v; done
p keys
expect_code 0
expect_silence
expect_out $'Zebra\norder:1\nuser:1\nuser:10\nuser:2'
p keys user:
expect_out $'user:1\nuser:10\nuser:2'
p keys user: --limit 2
expect_out $'user:1\nuser:10'
p keys user: --after user:1
expect_out $'user:10\nuser:2'
p keys nothing
expect_code 0
expect_out ""
p keys --namespace elsewhere
expect_out ""

begin "keys streams every page, whatever the size of a page"
for size in 1 2 3 4 5 6 1000; do
  p keys --page-size "$size"
  expect_out $'Zebra\norder:1\nuser:1\nuser:10\nuser:2'
done
p keys --page-size 2 --limit 3
expect_out $'Zebra\norder:1\nuser:1'

begin "2,500 keys are all listed, once each"
sql "SET search_path = $schema; SELECT count($schema.put(convert_to('many:' || i, 'UTF8'), '\\x00'::bytea)) FROM generate_series(1, 2500) i" \
  >"$work/psql" 2>&1
if ! [ "$(cat "$work/psql")" = 2500 ]; then
  fail "could not store them by SQL: $(head -c 300 "$work/psql")"
fi
p keys many:
expect_equal "keys listed" "$(sort -u "$out" | wc -l)" 2500
expect_equal "lines" "$(wc -l <"$out")" 2500
p keys many: --json
expect_json 'j["count"] == 2500 and len({k["key"] for k in j["keys"]}) == 2500'

begin "keys --json tells the facts of each entry"
p put facts v --ttl never --format 9
p keys facts --json
expect_code 0
expect_json 'j["count"] == 1 and j["keys"][0]["key"] == "facts" and j["keys"][0]["format"] == 9 and j["keys"][0]["ttl_ms"] is None and int(j["keys"][0]["version"]) > 0'

begin "a listing is one key a line, whatever bytes the keys have"
p put "$(printf 'odd:a\nb\tc\\d\033[31m')" v
p put --key-base64 b2RkOuk= v # "odd:" and a byte that is not UTF-8
p keys odd:
expect_out 'odd:a\nb\tc\\d\x1b[31m'$'\n''odd:\xe9'
p put "$(printf 'del:\r\177\302\205\303\251')" v
p keys del:
expect_out 'del:\r\x7f\xc2\x85é'

begin "a reader who goes away ends the listing with exit 1"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" keys many: --page-size 100 2>"$err" | head -n 1 >"$out"
code=${PIPESTATUS[0]}
command_line="pgcache keys | head"
expect_out "many:1"
expect_code 1
expect_error "Broken pipe"

begin "[A06] flush removes the namespace and tells how many; --all the others too"
p flush --all --yes
for key in 1 2 3 4; do p put "$key" v; done
p put 5 v --namespace other
p flush
expect_code 0
expect_out 4
p keys
expect_out ""
p get 5 --namespace other
expect_out v
p flush --all --yes --json
expect_json 'j["removed"] == 1 and j["outcome"] == "removed"'
p flush --all
expect_out 0

begin "[A06] on a terminal flush asks first, and only y and yes are yes"
p put f1 v
for answer in $'n\n' $'\n' $'yesterday\n' $'N\n'; do
  on_terminal "'$PGCACHE_BIN' flush" "$answer"
  expect_code 3
  expect_out_has "default? [y/N]"
  expect_out_has "not flushed"
done
p get f1
expect_out v
on_terminal "'$PGCACHE_BIN' flush" $'\004'
expect_code 3
p get f1
expect_out v
on_terminal "'$PGCACHE_BIN' flush --namespace none 2>'$work/asked'" $'n\n'
expect_code 0
expect_equal "asked where nobody reads it" "$(cat "$work/asked")" ""
for answer in $'Y\n' $'yes\n'; do
  on_terminal "'$PGCACHE_BIN' flush --namespace none" "$answer"
  expect_code 0
done
on_terminal "'$PGCACHE_BIN' flush --all" $'n\n'
expect_out_has "all namespaces of the schema $schema? [y/N]"
on_terminal "'$PGCACHE_BIN' flush --yes"
expect_code 0
expect_out_lacks "[y/N]"
expect_out_has "1 removed"
p put f1 v
on_terminal "'$PGCACHE_BIN' flush" $'y\n'
expect_code 0
expect_out_has "1 removed"
p get f1
expect_code 3

begin "[A05] cleanup deletes what has expired and nothing else"
p put c1 v --ttl 1ms
p put c2 v
p put c3 v --ttl never
sleep 0.1
p stats --json
expect_json 'j["entries"] == 2 and j["expired"] == 1'
p cleanup
expect_code 0
expect_out 1
p cleanup --json
expect_json 'j["removed"] == 0'
p get c2
expect_code 0
p get c3
expect_code 0

begin "limit and usage: what is above the limit goes with the next cleanup, the coldest first"
for i in 1 2 3 4 5 6; do p put "l$i" value --namespace bounded; done
p limit --namespace bounded
expect_code 2
for bad in 0 -5 x 9223372036854775808; do
  p limit --namespace bounded --max-entries "$bad"
  expect_code 2
  p limit --all --max-bytes "$bad"
  expect_code 2
done
p limit --namespace "a b" --max-entries 4
expect_code 2
p usage
if grep -qvE $'\t0\t0$' "$out"; then fail "a refused limit was set: $(cat "$out")"; fi
p limit --namespace bounded --max-entries 4 --max-bytes none
expect_code 0
p usage
expect_code 0
grep -qE $'^bounded\t6\t42\t0\t4\t0$' "$out" || fail "no line for the namespace: $(cat "$out")"
grep -qE $'^\t8\t' "$out" || fail "no line for all: $(cat "$out")"
p cleanup --json
expect_json 'j["evicted"] == 2'
p exists l1 --namespace bounded
expect_code 3
p exists l6 --namespace bounded
expect_code 0
p limit --namespace bounded --max-bytes 21
expect_code 0
on_terminal "'$PGCACHE_BIN' cleanup"
expect_out_has "1 evicted"
p limit --all --max-entries 1000
p usage --json
expect_json 'j["namespaces"][0] == {"namespace": "", "entries": 5, "bytes": j["namespaces"][0]["bytes"], "expired": 0, "max_entries": 1000, "max_bytes": 0}'
expect_json 'j["namespaces"][1]["namespace"] == "bounded" and j["namespaces"][1]["max_entries"] == 4 and j["namespaces"][1]["max_bytes"] == 21 and j["namespaces"][1]["bytes"] == 21'
on_terminal "'$PGCACHE_BIN' usage"
expect_out_has "(all)"
expect_out_has "NAMESPACE"
p limit --all --max-entries none
expect_code 0
p flush --yes --namespace bounded
p limit --namespace bounded --max-entries none --max-bytes none

begin "cleanup of a large table is done in parts, which delete what has expired and then evict"
p put large value --namespace large
sql "INSERT INTO $schema.entries
     SELECT gen_random_uuid(), e.version, t.ends, t.ends, now() - interval '1 hour', e.asof, e.format, e.flags, e.load_ms, e.namespace,
            int4send(i), e.snapshot, e.dependencies, e.value
       FROM $schema.entries e, generate_series(1, 20000) i,
            LATERAL (SELECT CASE WHEN i % 2 = 0 THEN now() - interval '1 minute' ELSE now() + interval '1 day' END AS ends) t
      WHERE e.namespace = 'large'" >/dev/null
p limit --namespace large --max-entries 10
on_terminal "'$PGCACHE_BIN' cleanup"
expect_out_has "10000 removed"
expect_out_has "9991 evicted"
p exists large --namespace large
expect_code 0
p flush --yes --namespace large
p limit --namespace large --max-entries none

begin "cleanup beside a janitor that is at work walks alone, and says what it removed"
p put stays v
sql "SELECT $schema.clean_slice(gen_random_uuid(), 1, 30000, 0, true)" >/dev/null
sql "SELECT $schema.put('soon' || i, 'v'::bytea, ttl => interval '1 ms') FROM generate_series(1, 300) i" >/dev/null
sleep 0.1
p cleanup
expect_code 0
expect_out 300
p cleanup --json
expect_code 0
expect_json 'j["removed"] == 0 and j["evicted"] == 0'
sql "DELETE FROM $schema.janitor"
p get stays
expect_out v
p remove stays

begin "usage has as many namespaces as there are, however many"
sql "SELECT $schema.put('k', 'v'::bytea, namespace => 'many' || i) FROM generate_series(1, 230) i" >/dev/null
p usage
expect_code 0
expect_equal "namespaces" "$(grep -c '^many' "$out")" 230
expect_equal "names" "$(cut -f 1 "$out" | sort -u | wc -l)" "$(wc -l <"$out")"
p usage --json
expect_code 0
expect_json 'len({n["namespace"] for n in j["namespaces"]}) == len(j["namespaces"]) > 230'
on_terminal "'$PGCACHE_BIN' usage"
expect_equal "heads of the table" "$(grep -c NAMESPACE "$out")" 1
expect_equal "rows of the table" "$(grep -c ' many' "$out")" 230
PGCACHE_SCHEMA=$schema PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" usage >/dev/full 2>"$err" && fail "no room, and exit 0"
sql "DELETE FROM $schema.entries WHERE namespace LIKE 'many%'" >/dev/null

begin "commands that keep the cache small, on one that is not there: exit 1, in one object with --json"
for words in cleanup usage "limit --max-entries 5"; do
  # shellcheck disable=SC2086 # words
  p $words --schema nowhere_at_all
  expect_code 1
  expect_error "pgcache init"
  # shellcheck disable=SC2086
  p $words --schema nowhere_at_all --json
  expect_code 1
  expect_json 'j["status"] == "PGCACHE_SCHEMA_MISSING"'
done

begin "stats: lines for tools, an object for machines, a table for people"
p stats
expect_code 0
grep -qE $'^entries\t2$' "$out" || fail "no line for entries: $(cat "$out")"
expect_equal "lines that are a name, a tab and a number" "$(grep -cE $'^[a-z_]+\t[0-9]+$' "$out")" "$(wc -l <"$out")"
p stats --json
expect_json 'j["entries"] == 2 and j["logged"] is False and j["server_version"] >= 150000 and j["schema_version"] > 0 and j["relation_bytes"] > 0 and j["value_bytes"] == 2'
on_terminal "'$PGCACHE_BIN' stats"
expect_out_has "unlogged"
expect_out_has "table on disk"
head -c 3000000 /dev/zero | PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" put c4 >/dev/null
on_terminal "'$PGCACHE_BIN' stats"
expect_out_has " 2.9 MiB"

begin "keys, stats and usage tell of what is stored, also of stale and invalidated entries, which get misses"
p flush --all --yes
p put fresh v
p put invalidated v --tag gone --ttl never
p invalidate --tag gone
p load stale --ttl 1ms --stale 1h -- printf v
expect_code 0
is_missing() { p get "$1"; [ "$code" = 3 ]; }
wait_until 60 is_missing stale || fail "the entry is not stale"
is_missing invalidated || fail "the entry is not invalidated"
p keys
expect_out $'fresh\ninvalidated\nstale'
p stats
grep -qE $'^entries\t3$' "$out" || fail "no line for three entries: $(cat "$out")"
p usage
grep -qE $'^\t3\t' "$out" || fail "no line for three entries: $(cat "$out")"
bare help keys
expect_out_has "also what get misses because it is stale"
bare help usage
expect_out_has "Entries are rows that have not expired, also stale and invalidated ones"
bare help stats
expect_out_has "Entries are counted as usage counts them."
