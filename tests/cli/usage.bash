# Cases of the command line itself: help, version, what cannot be understood, the documents beside the command.
#
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154

commands='get put remove exists touch incr keys flush cleanup stats init upgrade local version help'

begin "help lists every command and every setting, and needs no server"
bare help
expect_code 0
expect_silence
for word in $commands; do
  grep -qE "^  $word " "$out" || fail "help does not list $word"
done
for word in --url --schema --namespace --table --values --pool-min --pool-max --timeout-ms \
  --maintenance-timeout-ms --default-ttl-ms --max-value-bytes; do
  grep -qE "^  $word .*PGCACHE_" "$out" || fail "help does not list $word"
done
cp "$out" "$work/help"
bare --help
expect_same_bytes "$work/help"
bare -h
expect_same_bytes "$work/help"

begin "help for one command is the same in three spellings"
for word in $commands 'local start' 'local stop' 'local status' 'local url' 'local psql'; do
  # shellcheck disable=SC2086 # two words
  bare help $word
  expect_code 0
  cp "$out" "$work/one"
  # shellcheck disable=SC2086
  bare $word --help
  expect_code 0
  [ "$word" = help ] || expect_same_bytes "$work/one"
done
bare help nonsense
expect_code 2
expect_error "no such command"

begin "help --json and version --json are JSON"
bare help --json
expect_code 0
expect_json 'len(j["commands"]) > 15 and {s["option"] for s in j["settings"]} >= {"url", "pool-max"}'
bare version --json
expect_json 'j["command"] == "version" and j["version"] == j["library"]'

begin "version is that of the header"
bare version
expect_code 0
expect_out_has "pgcache $(sed -n 's/^.define PGCACHE_VERSION_STRING "\(.*\)"/\1/p' "$root/abi/pgcache.h")"
cp "$out" "$work/version"
bare --version
expect_same_bytes "$work/version"
bare -V
expect_same_bytes "$work/version"

# Each line: what the message must contain, then the words of the command line.
begin "a command line that cannot be understood gives exit 2, one line, and no output"
while IFS='|' read -r message words; do
  # shellcheck disable=SC2086
  p $words
  expect_code 2
  expect_error "$message"
  expect_out ""
done <<'END'
no command|
unknown command|frobnicate
unknown option --frobnicate|get k --frobnicate
unknown option|get k -x
needs more arguments|get
needs more arguments|put
too many arguments|get a b
too many arguments|put a b c
too many arguments|stats x
needs a value|put k v --ttl
needs a value|get k --url
takes no value|get k --json=yes
get takes no option --ttl|get k --ttl 5s
version takes no option --url|version --url null:
local needs one of|local
local needs one of|local frobnicate
--ttl needs|put k v --ttl 5
--ttl needs|put k v --ttl 0s
--ttl needs|put k v --ttl -5s
--ttl needs|put k v --ttl 5x
--ttl needs|put k v --ttl s
--ttl needs|put k v --ttl=
--ttl needs|put k v --ttl 99999999999999999999d
--ttl needs|touch k --ttl 1.5s
--format needs|put k v --format xml
--format needs|put k v --format -1
--format needs|put k v --format 2147483648
--if-version needs|put k v --if-version 0
--if-version needs|put k v --if-version abc
one of --if-absent|put k v --if-absent --if-present
one of --if-absent|put k v --if-version 5 --if-present
not both|put k v --file x
DELTA must|incr k one
DELTA must|incr k 9223372036854775808
--initial needs|incr k 1 --initial x
--limit needs|keys --limit 0
--limit needs|keys --limit x
--page-size needs|keys --page-size 1001
--after is not base64|keys --key-base64 --after !!
the key is not base64|get --key-base64 a
the key is not base64|get --key-base64 YQ=
the key is not base64|get --key-base64 YR==
psql's arguments behind|local psql x
END

begin "a wrong value of a setting's option gives exit 2 and says what is allowed"
p get k --pool-max banana
expect_code 2
expect_error "1 to 1000"
p get k --timeout-ms=0
expect_code 2
p get k --namespace "a b"
expect_code 2
expect_error "visible ASCII"

begin "a wrong value in the environment gives exit 1 and names the variable"
PGCACHE_POOL_MAX=banana p get k
expect_code 1
expect_error PGCACHE_POOL_MAX

begin "without an address: exit 2, and the message names the three places and local start"
bare get k
expect_code 2
expect_error "--url"
expect_error "PGCACHE_URL"
expect_error "DATABASE_URL"
expect_error "local start"

begin "[A51] with null: every read is a miss and every write goes nowhere, without a server"
bare put k v --url null:
expect_code 0
bare get k --url null:
expect_code 3
expect_out ""
bare stats --url null: --json
expect_json 'j["entries"] == 0'
bare keys --url null:
expect_code 0
expect_out ""

begin "the manual page is clean and names every command and option"
if command -v mandoc >/dev/null; then
  # What mandoc says about pages that are not installed here is not about this one.
  lint=$(mandoc -T lint -W style "$root/impl/cli/pgcache.1" 2>&1 | grep -v 'mandoc.db\|Xr' || :)
  expect_equal "mandoc -T lint" "$lint" ""
fi
for word in $commands; do
  grep -qE "^(\.It )?(\.)?Cm ($word|local)|^\.It Cm $word|^\.Cm $word" "$root/impl/cli/pgcache.1" ||
    fail "the manual page lacks $word"
done
for word in $(grep -oE '^  --[a-z0-9-]+' "$work/help"); do
  grep -qE "Fl Fl ${word#--}( |\$)" "$root/impl/cli/pgcache.1" || fail "the manual page lacks $word"
done

begin "the completions know every command, every option and nothing else"
for file in pgcache.bash _pgcache; do
  for word in $(grep -oE '^  --[a-z0-9-]+' "$work/help"); do
    grep -qE -- "$word([^a-z0-9-]|$)" "$root/impl/cli/completion/$file" || fail "$file lacks $word"
  done
  for word in $(grep -oE -- '--[a-z][a-z0-9-]+' "$root/impl/cli/completion/$file" | sort -u); do
    grep -qE -- "^  $word( |$)" "$work/help" || fail "$file has $word, which help has not"
  done
  for word in $commands; do
    grep -qwE -- "$word" "$root/impl/cli/completion/$file" || fail "$file lacks $word"
  done
done

# Completes the words given, of which the last is not finished.
complete_words() {
  bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _pgcache; printf "%s\n" "${COMPREPLY[@]}"' \
    "$root/impl/cli/completion/pgcache.bash" "$@" | sort | tr '\n' ' '
}

begin "completion in bash gives what fits the place"
expect_equal "pgcache to" "$(complete_words pgcache to)" "touch "
expect_equal "pgcache local st" "$(complete_words pgcache local st)" "start status stop "
expect_equal "pgcache --url x local s" "$(complete_words pgcache --url x local s)" "start status stop "
expect_equal "pgcache flush --" "$(complete_words pgcache flush --a)" "--all "
expect_equal "pgcache put k v --if-" "$(complete_words pgcache put k v --if-)" "--if-absent --if-present --if-version "
expect_equal "pgcache --table l" "$(complete_words pgcache --table l)" "logged "
expect_equal "pgcache get --pool-m" "$(complete_words pgcache get --pool-m)" "--pool-max --pool-min "
expect_equal "pgcache version --u" "$(complete_words pgcache version --u)" " "
