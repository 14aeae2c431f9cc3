# Cases of `pgcache import`: the tables of psycache, postgres-cache and fastapi-cachekit as those make them.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

p init
sql "CREATE SCHEMA ${schema}_b"
foreign=${schema}_b

# Runs SQL from standard input.
sql_of() {
  "${PGCACHE_TEST_BINDIR:+$PGCACHE_TEST_BINDIR/}psql" -XAtq -v ON_ERROR_STOP=1 -d "$PGCACHE_TEST_URL" >/dev/null 2>"$err" ||
    fail "the test's own SQL failed: $(head -c 400 "$err")"
}

# The number that the last import printed behind a word.
counted() {
  sed -n "s/^$1	//p" "$out"
}

expect_counts() { # WORD=NUMBER...: all others are 0
  local word number
  for word in read stored existing expired bad_key too_large not_json objects damaged; do
    number=0
    case " $* " in *" $word="*) number=" $* "; number=${number#* "$word="}; number=${number%% *} ;; esac
    expect_equal "$command_line: $word" "$(counted "$word")" "$number"
  done
}

sql "CREATE UNLOGGED TABLE $foreign.psycache (key text PRIMARY KEY, value jsonb NOT NULL, expires_at timestamptz NOT NULL);
  CREATE INDEX ON $foreign.psycache (expires_at);
  INSERT INTO $foreign.psycache VALUES
    ('user:1', '{\"name\": \"Ada\", \"n\": 1.50}', now() + interval '1 hour'),
    ('user:2', '[1, \"\\u20ac\", null]', now() + interval '1000 seconds'),
    ('user:3', '{}', now() - interval '1 second'),
    ('user:4', 'null', 'infinity'),
    ('user:5', '0', '-infinity'),
    ('', '{}', now() + interval '1 hour'),
    (repeat('k', 4096), '\"longest\"', now() + interval '1 hour'),
    (repeat('k', 4097), '{}', now() + interval '1 hour')"

begin "psycache: values, keys and the time that is left are kept; what is left out is counted"
p import --from psycache --source-table "$foreign.psycache" --namespace psy
expect_code 0
expect_silence
expect_counts read=8 stored=4 expired=2 bad_key=2
p get user:1 --namespace psy --json
expect_json 'j["format"] == 1 and __import__("json").loads(j["value"]) == {"name": "Ada", "n": 1.5} and 3000000 < j["ttl_ms"] <= 3600000'
p get user:2 --namespace psy --json
expect_json '__import__("json").loads(j["value"]) == [1, "\u20ac", None] and 900000 < j["ttl_ms"] <= 1000000'
p get user:4 --namespace psy --json
expect_json 'j["value"] == "null" and j["ttl_ms"] is None'
p get "$(printf 'k%.0s' {1..4096})" --namespace psy
expect_out '"longest"'
p get user:3 --namespace psy
expect_code 3
p get user:1
expect_code 3
expect_equal "in SQL, too" "$(sql "SELECT count(*) FROM $schema.entries_json WHERE namespace = 'psy'")" 4

begin "what the table's owner calls JSON is JSON, and not too deep, or left out"
sql "CREATE VIEW $foreign.anything AS SELECT 'k' || n AS key, value, timestamptz 'infinity' AS expires_at
    FROM unnest(ARRAY['1', '{x', repeat('[', 256) || repeat(']', 256), repeat('[', 257) || repeat(']', 257)]) WITH ORDINALITY AS given (value, n)"
p import --from psycache --source-table "$foreign.anything" --namespace anything
expect_code 0
expect_counts read=4 stored=2 not_json=2

begin "an import that is repeated overwrites nothing, unless it is told to"
p put user:1 newer --namespace psy --ttl 1h
p remove user:2 --namespace psy
p import --from psycache --source-table "$foreign.psycache" --namespace psy
expect_code 0
expect_counts read=8 stored=1 existing=3 expired=2 bad_key=2
p get user:1 --namespace psy
expect_out newer
p import --from psycache --source-table "$foreign.psycache" --namespace psy --overwrite
expect_counts read=8 stored=4 expired=2 bad_key=2
p get user:1 --namespace psy --json
expect_json 'j["value"] != "newer" and j["ttl_ms"] > 3000000'

begin "pages follow the keys, each says how far it is, and an import goes on from there"
p import --from psycache --source-table "$foreign.psycache" --namespace pages --page-size 3
expect_code 0
expect_counts read=8 stored=4 expired=2 bad_key=2
expect_equal "pages" "$(grep -c '^after	' "$out")" 3
expect_equal "the last key" "$(sed -n 's/^after	//p' "$out" | tail -n 1)" user:5
p import --from psycache --source-table "$foreign.psycache" --namespace pages2 --after user:1
expect_counts read=4 stored=2 expired=2
p import --from psycache --source-table "$foreign.psycache" --namespace pages2 --key-base64 --after dXNlcjoy --json
expect_code 0
expect_json 'j["read"] == 3 and j["stored"] == 0 and j["expired"] == 2 and j["existing"] == 1 and j["after"] == "user:5"'
expect_json 'j["command"] == "import" and j["from"] == "psycache" and j["status"] == "PGCACHE_OK" and j["outcome"] == "imported"'
p import --from psycache --source-table "$foreign.psycache" --namespace pages2 --after zzz
expect_code 0
expect_counts read=0
expect_out_lacks "after	"
p import --from psycache --source-table "$foreign.psycache" --namespace pages2 --after zzz --json
expect_json 'j["after"] == "zzz" and j["read"] == 0'

begin "an import goes on behind each key that it named, whatever characters are in it"
sql "CREATE TABLE $foreign.special (key text COLLATE \"C\" PRIMARY KEY, value jsonb NOT NULL, expires_at timestamptz NOT NULL);
  INSERT INTO $foreign.special SELECT key, '1', now() + interval '1 hour'
    FROM unnest(ARRAY['', E'a\n', E'a\n2', 'aB', E'a\\\\Z', 'a\\', E'a\u009b', 'b c', 'ü']) AS key"
p import --from psycache --source-table "$foreign.special" --namespace special --page-size 1
cp "$out" "$work/special"
left=9
while IFS='	' read -r word key; do
  left=$((left - 1))
  options=()
  [ "$word" = after ] || options=(--key-base64)
  p import --from psycache --source-table "$foreign.special" --namespace special "${options[@]}" --after "$key"
  expect_code 0
  expect_equal "$word $key: rows behind it" "$(counted read)" "$left"
done < <(grep ^after "$work/special")
expect_equal "rows behind the last one" "$left" 0
expect_equal "of them in base64" "$(grep -c ^after_base64 "$work/special")" 5

begin "pages follow the keys as the table's collation sorts them"
sql "CREATE TABLE $foreign.collated (key text COLLATE \"und-x-icu\" PRIMARY KEY, value jsonb NOT NULL, expires_at timestamptz NOT NULL);
  INSERT INTO $foreign.collated SELECT key, '1', now() + interval '1 hour' FROM unnest('{b,a,B,A,_,-,1,ä,Ä,a b,ab,AB}'::text[]) AS key"
p import --from psycache --source-table "$foreign.collated" --namespace collated --page-size 1
expect_code 0
expect_counts read=12 stored=12
expect_equal "keys" "$(sed -n 's/^after	//p' "$out" | sort -u | wc -l)" 12

begin "an import that was killed goes on behind the last key that it named, and nothing is missing"
sql "CREATE TABLE $foreign.many (LIKE $foreign.psycache INCLUDING ALL);
  INSERT INTO $foreign.many SELECT 'k' || i, to_jsonb(i), now() + interval '1 hour' FROM generate_series(1, 20000) AS i"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" import --from psycache --source-table "$foreign.many" --namespace many \
  --page-size 50 >"$work/first" 2>"$err" &
pid=$!
wait_until 60 grep -q '^after	' "$work/first"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
last=$(grep '^after	k[0-9]*$' "$work/first" | tail -n 1 | cut -f 2)
[ "$(grep -c '^after	' "$work/first")" -lt 400 ] || fail "it was done before it could be killed"
p import --from psycache --source-table "$foreign.many" --namespace many --after "$last"
expect_code 0
rest=$(counted read)
if [ "$rest" -eq 0 ] || [ "$rest" -ge 20000 ]; then fail "the second import read $rest rows"; fi
expect_equal "entries" "$(sql "SELECT count(*) FROM $schema.entries WHERE namespace = 'many'")" 20000

begin "what was imported can be invalidated together"
p import --from psycache --source-table "$foreign.psycache" --namespace tagged --tag imported --tag second
expect_code 0
expect_equal "stored" "$(counted stored)" 4
p tags imported second --namespace tagged
expect_out "$(printf '4\timported\n4\tsecond')"
p invalidate --tag imported --namespace tagged
p get user:1 --namespace tagged
expect_code 3

begin "values are encrypted on their way"
(umask 077 && "$PGCACHE_BIN" keygen >"$work/import-keys")
p import --from psycache --source-table "$foreign.psycache" --namespace hidden --encryption required --keys "file:$work/import-keys"
expect_code 0
expect_equal "stored" "$(counted stored)" 4
expect_equal "rows that show it" "$(sql "SELECT count(*) FROM $schema.entries WHERE namespace = 'hidden' AND encode(value, 'escape') LIKE '%Ada%'")" 0
p get user:1 --namespace hidden --encryption required --keys "file:$work/import-keys"
expect_out_has Ada

begin "values that are too large are neither sent nor stored"
sql "INSERT INTO $foreign.psycache VALUES ('large', to_jsonb(repeat('x', 100)), now() + interval '1 hour')"
p import --from psycache --source-table "$foreign.psycache" --namespace large --max-value-bytes 101
expect_counts read=9 stored=4 expired=2 bad_key=2 too_large=1
p import --from psycache --source-table "$foreign.psycache" --namespace large --max-value-bytes 102
expect_counts read=9 stored=1 existing=4 expired=2 bad_key=2

begin "what waits to be stored is bounded"
p import --from psycache --source-table "$foreign.many" --namespace bounded --async-requests-max 3 --after k9
expect_code 0
rest=$(sql "SELECT count(*) FROM $foreign.many WHERE key > 'k9'")
[ "$rest" -gt 1000 ] || fail "the test made too few rows"
expect_counts read="$rest" stored="$rest"

begin "postgres-cache: JSON is kept as it is, what another serializer made is left out, and no expiry is none"
sql "CREATE TABLE $foreign.cache_entries (cache_key text PRIMARY KEY, value bytea NOT NULL, version bigint NOT NULL DEFAULT 1,
    expires_at timestamptz, created_at timestamptz NOT NULL DEFAULT timezone('UTC', now()),
    updated_at timestamptz NOT NULL DEFAULT timezone('UTC', now()))"
python3 - "$foreign" >"$work/sql" <<'END'
import json, sys
good = ['{"a":[1,2.5,-3e-7,{"b":null}],"\u20ac\\n\\u00e9\\ud83d\\ude00":true}', "null", '""', " [ ] ", "0", "-0.0E+1", "{}", '{ "a" : 1 , "b" : [ ] }',
        "[" * 256 + "]" * 256]
bad = ["", "NaN", "[1,]", "{1:2}", '{"a" 1}', "01", "1.", "1e", "-", '"\t"', '"\\x"', '"\\u12g4"', '"', '"\\', '"\\u1', "[", "[1 2]", "tru", "nullx", "1 2", "{",
       '{"a"', '{"a":', '{,}', "]", "[" * 257 + "]" * 257, "'a'", "Infinity", "+1", ".5"]
rows = [(f"good{i}", text.encode()) for i, text in enumerate(good)] + [(f"bad{i}", text.encode()) for i, text in enumerate(bad)]
rows += [("bad-utf8", b'"\xff"'), ("bad-pickle", b"\x80\x04N."), ("bad-nul", b"0\x00"), ("bad-escape", b'"\\\x00"')]
for key, value in rows:
    print(f"INSERT INTO {sys.argv[1]}.cache_entries (cache_key, value, expires_at) VALUES ('{key}', '\\x{value.hex()}', "
          f"{'NULL' if key == 'good0' else chr(110) + 'ow() + interval ' + chr(39) + '1 hour' + chr(39)});")
for text in good:
    json.loads(text)
END
sql_of <"$work/sql"
TZ=Asia/Tokyo PGTZ=Asia/Tokyo p import --from postgres-cache --source-table "$foreign.cache_entries" --namespace postgres
expect_code 0
expect_counts read="$(sql "SELECT count(*) FROM $foreign.cache_entries")" stored=9 \
  not_json="$(sql "SELECT count(*) FROM $foreign.cache_entries WHERE cache_key LIKE 'bad%'")"
p get good0 --namespace postgres --json
expect_json 'j["ttl_ms"] is None and j["format"] == 1 and __import__("json").loads(j["value"]) == {"a": [1, 2.5, -3e-7, {"b": None}], "\u20ac\n\u00e9\U0001F600": True}'
p get good3 --namespace postgres --json
expect_json 'j["value"] == " [ ] " and 3000000 < j["ttl_ms"] <= 3600000'

# The pickles that Python itself makes, in all protocols, and the JSON that Python itself reads from what was stored.
cat >"$work/plain.py" <<'END'
import datetime, decimal, json, os, pickle, sys

shared = ["s", 1]
plain = {
    "none": None, "true": True, "false": False, "zero": 0, "small": 255, "two": 65535, "four": 2**31 - 1, "minus": -1, "least": -(2**31),
    "long": 2**31, "minus_long": -(2**31) - 1, "eight": 2**63, "minus_eight": -(2**63), "huge": 10**300 + 7, "minus_huge": -(10**300) - 7,
    "float": 0.1, "whole": 1.0, "tiny": 5e-324, "large": 1.7976931348623157e308, "minus_zero": -0.0, "third": 1 / 3, "e16": 1e16,
    "text": "h\u00e9llo \u20ac \U0001F600 \"\\/\n\t\x00\x1f\x7f", "empty": "", "long_text": "x" * 70000, "list": [], "dict": {}, "tuple": (),
    "one": (1,), "pair": (1, "2"), "three": (1, 2, 3), "four_of": (1, 2, 3, 4), "nested": {"a": [{"b": (1, [2, {"c": None}])}], "d": {}},
    "single": {"k": 1}, "many": list(range(2500)), "keys": {str(i): i for i in range(2500)}, "shared": [shared, shared, {"s": shared}],
    "one_item": [1], "deep": eval("[" * 200 + "]" * 200),
}
loop = []
loop.append(loop)
deep = 1
for _ in range(256):
    deep = [deep]
bomb = ["x"]
for _ in range(60):
    bomb = [bomb, bomb]
left = {
    "objects": [{1, 2}, frozenset("a"), datetime.datetime(2026, 1, 1), decimal.Decimal("1.5"), 1j, object, len, bytearray(b"a"),
                [1, datetime.date(2026, 1, 1)], {"a": {1}}, range(3), os.system, Exception("x")],
    "not_json": [{1: 2}, {None: 1}, {(1, 2): 3}, {b"a": 1}, [b"a"], (b"",), float("nan"), float("inf"), [float("-inf")], "\ud800"],
    "too_large": [loop, deep, bomb],
}
END
cat >"$work/make.py" <<'END'
import os, sys
exec(open(os.path.join(os.path.dirname(sys.argv[0]), "plain.py")).read())
print(f"""CREATE UNLOGGED TABLE {sys.argv[1]}.MyApp_cache_store (key TEXT PRIMARY KEY, value BYTEA NOT NULL, expire_at TIMESTAMPTZ);
CREATE INDEX idx_MyApp_cache_store_expire_at ON {sys.argv[1]}.MyApp_cache_store (expire_at);""")
def row(key, value, expire="now() + interval '1 hour'"):
    print(f"INSERT INTO {sys.argv[1]}.MyApp_cache_store VALUES ('MyApp:{key}', '\\x{value.hex()}', {expire});")
for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
    for name, value in plain.items():
        row(f"{protocol}:{name}", pickle.dumps(value, protocol), "NULL" if name == "none" else "now() + interval '1 hour'")
    for reason, values in left.items():
        for i, value in enumerate(values):
            if protocol > 2 or reason != "not_json" or "b'" not in repr(value):  # bytes are objects in protocol 2
                row(f"{protocol}:{reason}{i}", pickle.dumps(value, protocol))
class Evil:
    def __reduce__(self):
        return os.system, (f"touch {sys.argv[2]}",)
for protocol in range(0, pickle.HIGHEST_PROTOCOL + 1):
    row(f"evil{protocol}", pickle.dumps(Evil(), protocol))
row("bytes", pickle.dumps(b"a\0\xff"))
row("no_bytes", pickle.dumps(b""))
row("many_bytes", pickle.dumps(b"b" * 70000))
row("over", pickle.dumps(1), "now() - interval '1 second'")
whole = pickle.dumps({"a": [1, "b", (2.5, None)]}, 4)
for i in range(len(whole)):
    row(f"cut{i:03}", whole[:i])
row("more", whole + b".")
row("json", b'{"a": 1}')
row("protocol0", pickle.dumps(1, 0))
row("protocol9", b"\x80\x09N.")
END
cat >"$work/compare.py" <<'END'
import base64, os, subprocess, sys
exec(open(os.path.join(os.path.dirname(sys.argv[0]), "plain.py")).read())
def tuples_as_lists(value):
    if isinstance(value, (list, tuple)):
        return [tuples_as_lists(item) for item in value]
    return {k: tuples_as_lists(v) for k, v in value.items()} if isinstance(value, dict) else value
wrong = 0
stored = dict(line.rstrip("\n").split("\t") for line in open(sys.argv[1]))
for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
    for name, value in plain.items():
        got = json.loads(bytes.fromhex(stored[f"{protocol}:{name}"]))
        if repr(got) != repr(tuples_as_lists(value)):
            wrong += 1
            print(protocol, name, repr(got)[:100], "not", repr(value)[:100])
sys.exit(wrong > 0)
END

begin "fastapi-cachekit: plain data of every protocol is what Python would have made of it"
python3 "$work/make.py" "$foreign" "$work/executed" >"$work/sql"
sql_of <"$work/sql"
p import --from fastapi-cachekit --source-table "$foreign.MyApp_cache_store" --namespace kit --max-value-bytes 1000000
expect_code 0
expect_silence
sql "SELECT convert_from(key, 'UTF8') || E'\t' || encode(value, 'hex') FROM $schema.entries WHERE namespace = 'kit'" >"$work/stored"
python3 "$work/compare.py" "$work/stored" >"$work/wrong" 2>&1 || fail "not the same: $(head -c 1000 "$work/wrong")"
p get 4:none --namespace kit --json
expect_json 'j["value"] == "null" and j["format"] == 1 and j["ttl_ms"] is None'
p get 4:pair --namespace kit --json
expect_json 'j["value"] == "[1,\"2\"]" and 3000000 < j["ttl_ms"] <= 3600000'

begin "bytes by themselves stay bytes"
p get bytes --namespace kit --json
expect_json 'j["value_base64"] == "YQD/" and j["format"] == 0'
p get no_bytes --namespace kit --json
expect_json 'j["value_base64"] == "" and j["format"] == 0'
p get many_bytes --namespace kit --json
expect_json 'j["size"] == 70000'

begin "objects are never made, and everything that is left out is counted with its reason"
[ ! -e "$work/executed" ] || fail "a pickle was executed"
p import --from fastapi-cachekit --source-table "$foreign.MyApp_cache_store" --namespace kit2 --max-value-bytes 1000000
[ ! -e "$work/executed" ] || fail "a pickle was executed"
rows() { sql "SELECT count(*) FROM $foreign.MyApp_cache_store WHERE key ~ '$1'"; }
expect_counts read="$(rows .)" stored="$(sql "SELECT count(*) FROM $schema.entries WHERE namespace = 'kit'")" expired=1 \
  objects="$(($(rows ':objects') + $(rows 'evil[2-9]')))" not_json="$(rows ':not_json')" too_large="$(rows ':too_large')" \
  damaged="$(($(rows ':cut') + $(rows 'more|:json|protocol[09]|evil[01]')))"
[ "$(($(rows ':objects') * $(rows ':cut')))" -gt 600 ] || fail "the test made too few rows"
for key in evil4 4:objects0 4:not_json0 cut005 more protocol0; do
  p exists "$key" --namespace kit2
  expect_code 3
done

begin "keys of two namespaces, whose tables are one for PostgreSQL, are never mixed up"
sql "CREATE TABLE $foreign.mixed AS SELECT 'MyApp:' || n AS key, '\\x80044b012e'::bytea AS value, NULL::timestamptz AS expire_at
    FROM generate_series(1, 3) AS n;
  CREATE VIEW $foreign.unmixed AS SELECT * FROM $foreign.mixed WHERE key ~ '^MyApp:';
  INSERT INTO $foreign.mixed VALUES ('myapp:4', '\\x80044b022e', NULL)"
for size in 1 1000; do
  p import --from fastapi-cachekit --source-table "$foreign.mixed" --namespace "mixed$size" --page-size "$size"
  expect_code 1
  expect_error "several namespaces"
  [ "$(sql "SELECT count(DISTINCT value) FROM $schema.entries WHERE namespace = 'mixed$size'")" -le 1 ] || fail "both are there"
done
p import --from fastapi-cachekit --source-table "$foreign.unmixed" --namespace unmixed
expect_code 0
expect_counts read=3 stored=3

begin "the table's own name is found where the search path leads, and --source leads to another database"
sql "CREATE DATABASE ${schema}_other"
other="${PGCACHE_TEST_URL/dbname=postgres/dbname=${schema}_other}"
PGCACHE_TEST_URL=$other sql "CREATE TABLE psycache (key text PRIMARY KEY, value jsonb NOT NULL, expires_at timestamptz NOT NULL);
  INSERT INTO psycache VALUES ('there', '1', now() + interval '1 hour')"
p import --from psycache --source "$other" --namespace other
expect_code 0
expect_counts read=1 stored=1
p get there --namespace other
expect_out 1
p import --from psycache
expect_code 1
expect_error "no table psycache; --source-table"
PGOPTIONS="-c search_path=$foreign" p import --from postgres-cache --namespace path
expect_code 0
expect_equal "stored" "$(counted stored)" 9
sql "DROP DATABASE ${schema}_other"

begin "keys that are no UTF-8 are taken as they are, and values that are not are left out"
sql "CREATE DATABASE ${schema}_bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
other="${PGCACHE_TEST_URL/dbname=postgres/dbname=${schema}_bytes}"
PGCLIENTENCODING=SQL_ASCII PGCACHE_TEST_URL=$other sql "CREATE TABLE psycache (key text PRIMARY KEY, value jsonb NOT NULL, expires_at timestamptz NOT NULL);
  INSERT INTO psycache VALUES ('€', '\"€\"', 'infinity'), (E'\\xe9', '1', 'infinity'), (E'\\xe9x', '2', 'infinity'), ('k', E'\"\\xe9\"', 'infinity')"
p import --from psycache --source "$other" --namespace bytes --page-size 1
expect_code 0
expect_counts read=4 stored=3 not_json=1
expect_equal "the last key" "$(grep '^after' "$out" | tail -n 1)" "after_base64	6Xg="
p import --from psycache --source "$other" --namespace bytes --key-base64 --after 6Q==
expect_counts read=1 existing=1
p get --key-base64 6Q== --namespace bytes
expect_out 1
p get € --namespace bytes
expect_out '"€"'
sql "DROP DATABASE ${schema}_bytes"

begin "nothing that the source's search path leads to is run but the table's own"
sql "CREATE FUNCTION $foreign.planted(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS
    \$\$ BEGIN RAISE EXCEPTION 'planted code was run'; END \$\$;
  CREATE OPERATOR $foreign.* (FUNCTION = $foreign.planted, LEFTARG = numeric, RIGHTARG = integer)"
PGOPTIONS="-c search_path=$foreign" p import --from postgres-cache --namespace planted
expect_code 0
expect_equal "stored" "$(counted stored)" 9

begin "a table that is not there, is another's, or may not be read: exit 1, one line, and nothing stored"
p import --from psycache --source-table "$foreign.\"none; DROP SCHEMA $foreign\""
expect_code 1
expect_error "no table of that name"
p import --from psycache --source-table 'a.b.c.d.e' --json
expect_code 1
expect_error "source"
expect_json 'j["error"] and j["read"] == 0 and j["stored"] == 0 and "after" not in j'
p import --from psycache --source-table "$foreign.cache_entries" --json
expect_code 1
expect_json 'j["status"] == "PGCACHE_SERVER_ERROR" and j["sqlstate"] == "42703" and "key" in j["error"]'
p import --from fastapi-cachekit --source-table "$foreign.psycache"
expect_code 1
expect_error "expire_at"
p import --from psycache --source null:
expect_code 1
expect_error "nothing to import"
bare import --from psycache
expect_code 2
p import --from psycache --source-table "$foreign.psycache" --url null: --source "$PGCACHE_TEST_URL"
expect_code 0
expect_equal "stored nowhere" "$(counted stored)" 5

begin "[A62] whatever is wrong with the source's address, its password is not printed"
for url in "postgresql://user:C4nary@127.0.0.1:1/db" "host=/nonexistent password=C4nary" "postgresql://user:C4nary@[::1/db" \
  "sslmode=C4nary" "service=C4nary" "http://C4nary@h" "passwrd=C4nary" "C4nary" "host=127.0.0.1 port=1 user=u password=C4nary"; do
  p import --from psycache --source "$url" --json --maintenance-timeout-ms 2000
  expect_code 1
  expect_error
  expect_out_lacks C4nary
  ! grep -qF C4nary "$err" || fail "$command_line: printed the secret: $(cat "$err")"
done

begin "a cache that cannot be written ends it with one line, and what was done is told"
p import --from psycache --source-table "$foreign.psycache" --source "$PGCACHE_TEST_URL" --schema no_such_schema
expect_code 1
expect_error "pgcache init"
expect_counts read=9 expired=2 bad_key=2
p import --from psycache --source-table "$foreign.psycache" --source "$PGCACHE_TEST_URL" --schema no_such_schema --json
expect_json 'j["status"] == "PGCACHE_SCHEMA_MISSING" and j["read"] == 9'

begin "a source that does not answer ends it in time, and a signal at once"
mkfifo "$work/hold"
"${PGCACHE_TEST_BINDIR:+$PGCACHE_TEST_BINDIR/}psql" -XAtq -d "$PGCACHE_TEST_URL" <"$work/hold" >"$work/held" 2>&1 &
holder=$!
exec 9>"$work/hold"
rm "$work/hold"
printf '%s\n' "BEGIN; LOCK TABLE $foreign.psycache; SELECT 'held';" >&9
wait_until 60 grep -q held "$work/held" || fail "the test could not lock the table: $(cat "$work/held")"
p import --from psycache --source-table "$foreign.psycache" --maintenance-timeout-ms 500
expect_code 1
expect_error "did not answer within 500 ms"
on_terminal "'$PGCACHE_BIN' import --from psycache --source-table $foreign.psycache --maintenance-timeout-ms 2000"
expect_code 1
expect_out_has "importing, 0 rows... 1 s"
for number in INT TERM; do
  env --default-signal PGCACHE_URL="$PGCACHE_TEST_URL" "$PGCACHE_BIN" import --from psycache --source-table "$foreign.psycache" \
    >"$out" 2>"$err" &
  pid=$!
  wait_until 60 minds_signals "$pid"
  sleep 0.3
  kill -s "$number" "$pid"
  code=0
  wait "$pid" 2>/dev/null || code=$?
  command_line="pgcache import, SIG$number"
  expect_code $((128 + $(kill -l "$number")))
  expect_error "interrupted"
  expect_counts read=0
done

begin "a source whose connection is lost ends it with one line"
PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" import --from psycache --source-table "$foreign.psycache" >"$out" 2>"$err" &
pid=$!
is_ended() { # those of the imports above may still wait, too
  sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
  ! kill -0 "$pid"
}
wait_until 60 is_ended
code=0
wait "$pid" || code=$?
command_line="pgcache import, of a connection that is ended"
expect_code 1
expect_error "cannot read the source: "
expect_counts read=0
exec 9>&-
wait "$holder" 2>/dev/null

begin "for people: what became of the rows, without what did not happen"
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' import --from psycache --source-table $foreign.psycache --namespace people"
expect_code 0
expect_out_has "9  rows read"
expect_out_has "5  stored"
expect_out_has "2  left out: their time is over"
expect_out_lacks "pickle"
expect_out_lacks "after"
on_terminal "NO_COLOR=1 '$PGCACHE_BIN' import --from psycache --source-table $foreign.psycache --namespace people2 --page-size 1 --schema none --source '$PGCACHE_TEST_URL' --after user:2"
expect_code 1
expect_out_has "user:3"

sql "DROP SCHEMA $foreign CASCADE; DROP SCHEMA $schema CASCADE" >/dev/null 2>&1
