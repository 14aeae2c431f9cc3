# Cases of the commands on one entry: get, put, remove, exists, touch, incr.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

p init

begin "[A01] a missing key: exit 3 and nothing printed; after put the bytes; another key misses"
p get missing
expect_code 3
expect_out ""
expect_silence
p put a1 'hello world' --ttl 1m
expect_code 0
expect_out_has "stored, version "
p get a1
expect_code 0
expect_out "hello world"
expect_equal "bytes printed" "$(wc -c <"$out")" 11
p get a1x
expect_code 3

begin "[A02] of two puts the second counts, its time to live too"
p put a2 first --ttl 1s
p put a2 second --ttl 1h
p get a2 --json
expect_json 'j["value"] == "second" and 3500000 < j["ttl_ms"] <= 3600000'

begin "[A03] remove: removed, then missing with exit 3"
p put a3 v
p remove a3
expect_code 0
expect_out "removed"
p get a3
expect_code 3
p remove a3
expect_code 3
expect_out "missing"

begin "[A04] namespaces are apart"
p put a4 one --namespace n1
p put a4 two --namespace n2
p get a4 --namespace n1
expect_out "one"
PGCACHE_NAMESPACE=n2 p get a4
expect_out "two"
p get a4
expect_code 3

begin "[A07] after its time an entry is a miss"
began=$(date +%s%N)
p put a7 v --ttl 2s
p get a7
[ $(($(date +%s%N) - began)) -ge 2000000000 ] || expect_code 0 # unless the machine was too slow
is_over() {
  p get a7
  [ "$code" = 3 ]
}
wait_until 60 is_over
[ $(($(date +%s%N) - began)) -ge 2000000000 ] || fail "it was over too soon"
p get a7
expect_code 3
p exists a7
expect_code 3

begin "[A09] every spelling of a time to live, and never"
while read -r spelling least most; do
  p put a9 v --ttl "$spelling"
  expect_code 0
  p get a9 --json
  expect_json "$least <= j['ttl_ms'] <= $most"
done <<'END'
900000ms 880000 900000
30s 10000 30000
5m 280000 300000
2h 7180000 7200000
1d 86380000 86400000
3650d 315359990000 315360000000
99999999d 315359990000 315360000000
END
p put a9 v --ttl never
p get a9 --json
expect_json 'j["ttl_ms"] is None'
p put a9 v --default-ttl-ms 60000
p get a9 --json
expect_json '40000 <= j["ttl_ms"] <= 60000'

begin "[A11] an empty value is a hit, and so is a cached null"
p put a11 ''
p get a11
expect_code 0
expect_out ""
p put a11 </dev/null
p get a11 --json
expect_code 0
expect_json 'j["outcome"] == "hit" and j["value"] == "" and j["value_base64"] == "" and j["size"] == 0'
p put a11n null --format json
p get a11n --json
expect_json 'j["value"] == "null" and j["format"] == 1'

head -c 300000 /dev/urandom >"$work/random"
printf 'a\0b\377\376\n\n' >"$work/odd"
python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)))' >"$work/all"

begin "[A12] values are kept byte for byte, from standard input, a file or an argument"
for file in random odd all; do
  p put a12 <"$work/$file"
  expect_code 0
  p get a12
  expect_same_bytes "$work/$file"
  p put a12f --file "$work/$file"
  p get a12f
  expect_same_bytes "$work/$file"
  p put a12m --file - <"$work/$file"
  p get a12m
  expect_same_bytes "$work/$file"
done
p put a12p < <(cat "$work/odd") # a pipe, whose size is not known
p get a12p
expect_same_bytes "$work/odd"

begin "[A12] values that are not UTF-8 are in the JSON in base64 alone, others as text too"
p put a12 --file "$work/odd"
p get a12 --json
expect_json '__import__("base64").b64decode(j["value_base64"]) == b"a\0b\xff\xfe\n\n" and "value" not in j'
p put a12 "$(printf 'h\303\251 "\\\t\001\342\202\254\360\237\230\200')"
p get a12 --json
expect_json 'j["value"] == "h\u00e9 \"\\\t\x01\u20ac\U0001F600" and __import__("base64").b64decode(j["value_base64"]).decode() == j["value"]'
for bytes in '\300\200' '\355\240\200' '\364\220\200\200' '\342\202' '\370\210\200\200\200' '\340\200\200'; do
  # shellcheck disable=SC2059
  p put a12 < <(printf "$bytes")
  p get a12 --json
  expect_json '"value" not in j'
done

begin "[A12] keys with NUL and invalid UTF-8 through base64, a key with a dash behind --, and the longest"
p put --key-base64 AAD/ zeros
expect_code 0
p get --key-base64 AAD/
expect_out zeros
p get --key-base64 AAA=
expect_code 3
p keys --json --key-base64 AAA=
expect_json 'j["count"] == 1 and j["keys"][0]["key_base64"] == "AAD/" and "key" not in j["keys"][0]'
p remove --key-base64 AAD/
expect_code 0
p put -- --ttl -v
expect_code 0
p get -- --ttl
expect_out "-v"
longest=$(printf 'k%.0s' {1..4096})
p put "$longest" v
expect_code 0
p get "$longest"
expect_out v

begin "[A13] keys and values over their limit are refused, and nothing is stored"
p put "${longest}k" v
expect_code 1
expect_error
p put '' v
expect_code 1
expect_error
p put a13 12345678901 --max-value-bytes 10
expect_code 1
expect_error
p put a13 --max-value-bytes 10 <"$work/random"
expect_code 1
expect_error
p put a13 < <(yes) # without an end
expect_code 1
expect_error
p get a13
expect_code 3
p put a13 1234567890 --max-value-bytes 10
expect_code 0

begin "[A14] exists and touch"
p exists a14
expect_code 3
expect_out missing
p touch a14 --ttl 1h
expect_code 3
expect_out missing
p put a14 v --ttl 5s
p exists a14
expect_code 0
expect_out exists
p touch a14 --ttl 1h
expect_code 0
expect_out_has "touched, version "
p get a14 --json
expect_json 'j["ttl_ms"] > 3500000 and j["value"] == "v"'

begin "[A14] put --if-absent, --if-present and --if-version"
p put a14b v --if-present
expect_code 3
expect_out missing
p put a14b v1 --if-absent --ttl 1h
expect_code 0
p put a14b v2 --if-absent
expect_code 3
expect_out exists
p touch a14b --ttl 1ms
sleep 0.1
p put a14b v3 --if-absent
expect_code 0
p put a14b v4 --if-present
expect_code 0
p get a14b --json
version=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])' <"$out")
p put a14b v5 --if-version "$version"
expect_code 0
p put a14b v6 --if-version "$version"
expect_code 3
expect_out exists
p get a14b
expect_out v5
p put a14c v --if-version "$version"
expect_code 3
expect_out missing

begin "[A14] incr counts, with a first value, a delta and a time to live"
p incr c1
expect_code 0
expect_out 1
p incr c1 41
expect_out 42
p incr c1 -50
expect_out -8
p incr c2 5 --initial 100 --ttl 1h
expect_out 105
p incr c2 1 --initial 7 --ttl 1s
expect_out 106
p get c2 --json
expect_json 'j["value"] == "106" and j["format"] == 1 and j["ttl_ms"] > 3500000'
p incr c1 --json
expect_json 'j["counter"] == "-7" and int(j["version"]) > 0'
p incr c5 9007199254740993 --json # more than a double holds
expect_json 'j["counter"] == "9007199254740993"'
p put c3 text
p incr c3
expect_code 1
expect_error
p put c4 9223372036854775807 --format json
p incr c4 --json
expect_code 1
expect_json 'j["status"] == "PGCACHE_OVERFLOW"'
p get c4
expect_out 9223372036854775807

begin "--json of every outcome on one entry"
p get nothing --json
expect_code 3
expect_json 'j["status"] == "PGCACHE_MISS" and j["outcome"] == "missing"'
p put j1 v --json
expect_json 'j["status"] == "PGCACHE_OK" and j["outcome"] == "stored" and int(j["version"]) > 0'
p put j1 v --if-absent --json
expect_code 3
expect_json 'j["status"] == "PGCACHE_EXISTS" and j["outcome"] == "exists"'
p exists j1 --json
expect_json 'j["command"] == "exists" and j["outcome"] == "exists"'
p touch j1 --json
expect_json 'j["outcome"] == "touched"'
p remove j1 --json
expect_json 'j["outcome"] == "removed"'
p remove j1 --json
expect_code 3
expect_json 'j["outcome"] == "missing"'

begin "a file that cannot be read: exit 1, one line, nothing stored"
p put f1 --file "$work/no such file"
expect_code 1
expect_error "No such file"
p put f1 --file "$work"
expect_code 1
expect_error
p get f1
expect_code 3

begin "base64 that is empty, and a delta with a sign"
p put --key-base64 '' v
expect_code 1
p put --key-base64 = v
expect_code 2
p put --key-base64 == v
expect_code 2
p put --key-base64 ===== v
expect_code 2
p incr c6 +5
expect_out 5
p put -- - v
p get -
expect_out v

begin "text with DEL and an unfinished character is valid JSON"
p put t1 < <(printf 'a\177\r\\z')
p get t1 --json
expect_json 'j["value"] == "a\x7f\r\\z"'
p put t1 < <(printf '\342\050\241')
p get t1 --json
expect_json '"value" not in j'

begin "without memory for the value: exit 1, one line, nothing stored"
# AddressSanitizer needs more address space than there is memory.
if ! grep -q __asan_init "$PGCACHE_BIN"; then
  code=0
  head -c 200000000 /dev/zero >"$work/large"
  (ulimit -v 200000; PGCACHE_URL=$PGCACHE_TEST_URL "$PGCACHE_BIN" put m1 --file "$work/large" \
    --max-value-bytes 268435456 --json) >"$out" 2>"$err" || code=$?
  command_line="pgcache put with little memory"
  rm "$work/large"
  expect_code 1
  expect_error "out of memory"
  expect_json 'j["command"] == "put" and j["error"] == "out of memory"'
  p exists m1
  expect_code 3
fi

begin "formats of one's own"
p put f2 v --format bytes
p get f2 --json
expect_json 'j["format"] == 0'
p put f2 v --format 77
p get f2 --json
expect_json 'j["format"] == 77'
