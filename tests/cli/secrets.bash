# Cases of secrets: no password, key or value of the user's ever appears in a message.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

canary=C4nary-Passw0rd

# Runs the command and looks for the canary in everything that it printed.
leak() {
  bare "$@"
  ! grep -qF "$canary" "$out" "$err" || fail "pgcache $*: printed the secret: $(cat "$out" "$err")"
}

begin "[A62] whatever command fails, the password of its address is not printed"
for url in "postgresql://user:$canary@127.0.0.1:1/db" "host=127.0.0.1 port=1 user=u password=$canary dbname=d" \
  "host=/nonexistent password=$canary" "postgresql://user:$canary@[::1/db" "postgresql://user:$canary@h:port/db" \
  "host=a,b port=1,2,3 password=$canary" "sslmode=$canary" "service=$canary" "http://$canary@h" "passwrd=$canary"; do
  for words in "get k" "put k v" "remove k" "exists k" "touch k" "incr k" keys flush cleanup usage "limit --max-entries 5" stats init upgrade \
    "invalidate k" tags "load k -- true"; do
    # shellcheck disable=SC2086
    leak --url "$url" --timeout-ms 500 --maintenance-timeout-ms 500 $words --json
    [ "$code" -eq 1 ] || fail "pgcache $words: exit code $code with a bad address"
  done
done

begin "[A62] an address in the wrong place is not repeated"
url="postgresql://user:$canary@h/d"
leak "$url"
leak get k "$url"
leak "--ulr=$url" get k
leak --ulr "$url" get k
leak "--$url" get k
leak "-u$url" get k
leak get k --ttl "$url"
leak put k v --ttl "$url" --url null:
leak put k v --format "$url" --url null:
leak incr k "$url" --url null:
leak keys --limit "$url" --url null:
leak --json="$url" get k
leak --pool-max "$url" get k
leak --schema "$url" get k
leak --namespace "$url" get k
leak help "$url"
leak local "$url"
leak local start "$url"
leak put k --file "$url" --url null:
leak get --key-base64 "$url" --url null:
PGCACHE_POOL_MAX=$url leak get k
PGCACHE_URL=$url PGCACHE_TIMEOUT_MS=500 leak get k

begin "[A62] keys and values are not in messages"
p init
p put "$canary" text
leak incr "$canary" --url "$PGCACHE_TEST_URL"
expect_code 1
leak put k "$canary-long" --max-value-bytes 3 --url "$PGCACHE_TEST_URL"
expect_code 1
leak put "$canary$(printf 'x%.0s' {1..4096})" v --url "$PGCACHE_TEST_URL"
expect_code 1

begin "keygen prints a line that encryption takes; the database shows nothing of the value"
(umask 077 && "$PGCACHE_BIN" keygen >"$work/keys" && "$PGCACHE_BIN" keygen digest >>"$work/keys")
p init
p put k XanaryValue --encryption required --keys "file:$work/keys" --digests keyed --namespace hidden
expect_code 0
p get k --encryption required --keys "file:$work/keys" --digests keyed --namespace hidden
expect_out "XanaryValue"
expect_equal "rows that show it" "$(sql "SELECT count(*) FROM $schema.entries WHERE encode(value, 'escape') LIKE '%anary%'")" 0
for bad in "No Id" "" seventeen_letters; do
  p keygen "$bad"
  expect_code 2
  expect_error "an id has 1 to 16"
done

begin "keygen --json has the key's id, chosen or given, and never the same key twice"
p keygen --json
expect_code 0
expect_json '__import__("re").fullmatch("k[0-9a-f]{8}", j["id"]) and len(__import__("base64").b64decode(j["key"])) == 32'
first=$(cat "$out")
p keygen mine --json
expect_json 'j["command"] == "keygen" and j["status"] == "PGCACHE_OK" and j["id"] == "mine"'
expect_json 'j["key"] not in """'"$first"'"""'
chmod 644 "$work/keys"
p get k --encryption required --keys "file:$work/keys"
expect_code 1
expect_error "can be accessed by other users"
sql "DROP SCHEMA $schema CASCADE" >/dev/null 2>&1
