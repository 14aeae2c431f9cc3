# Cases of the command line itself: help, version, what cannot be understood, the documents beside the command.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

commands='get put remove exists touch incr load invalidate tags keys flush cleanup limit usage stats top import doctor init upgrade local keygen version help'

begin "help lists every command and every setting, and needs no server"
bare help
expect_code 0
expect_silence
for word in $commands; do
  grep -qE "^  $word " "$out" || fail "help does not list $word"
done
for word in --url --schema --namespace --table --values --prepared --pool-min --pool-max --pool-max-lifetime-ms \
  --pool-idle-ms --async-connections --async-requests-max --async-bytes-max \
  --breaker-failures --breaker-pause-ms --on-error --timeout-ms --maintenance-timeout-ms --default-ttl-ms --max-value-bytes \
  --cleanup-share --cleanup-chance --access-stamp-ms; do
  grep -qE "^  $word .*PGCACHE_" "$out" || fail "help does not list $word"
done
cp "$out" "$work/help"
mapfile -t options < <(grep -oE '^  --[a-z0-9-]+' "$out" | tr -d ' ')
[ "${#options[@]}" -gt 20 ] || fail "help lists ${#options[@]} options only"
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
bare get --version
expect_same_bytes "$work/version"
bare get k -- -V --url null:
expect_code 2

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
unknown option --?|get k --=x
unknown option --?|get k --Frob
unknown option --?|get k --frob{
unknown option --?|get k --an-option-longer-than-every-one-that-there-is
unknown command -|-
unknown command get|-- get k
needs one of|local -- start
too many arguments|help a b c
no such command|help local nosuch
no such command|help get x
DELTA must|incr k +
DELTA must|incr k 5x
needs more arguments|get
needs more arguments|put
too many arguments|get a b
too many arguments|put a b c
too many arguments|stats x
too many arguments|top x
--count needs|top --count 0
--interval needs|top --interval 2
from 100ms|top --interval 99ms
from 100ms|top --interval 2d
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
DELTA must|incr k +a
DELTA must|incr k +.
DELTA must|incr k +
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
needs more arguments|load
behind --|load k
behind --|load k true
behind --|load k x -- true
behind --|load -- k true
behind --|load k --
--stale needs|load k --stale never -- true
--fail-safe needs|load k --fail-safe 5 -- true
--wait needs|load k --wait 0s -- true
load takes no option --file|load k --file x -- true
get takes no option --tag|get k --tag t
the tag is not base64|put k v --key-base64 --tag !!
nothing to do|invalidate
--from needs|import
--from needs|import --from redis
an entry has up to 16 tags|import --from psycache --tag=
--page-size needs|import --from psycache --page-size 0
--after is not base64|import --from psycache --key-base64 --after !!
get takes no option --from|get k --from psycache
the key is not base64|invalidate --key-base64 a
the tag is not base64|tags --key-base64 a
the tag is not base64|tags --key-base64 a YQ==
the key is not base64|invalidate --key-base64 a YQ== YQ==
the tag is not base64|put k v --key-base64 --tag !! --tag YQ==
--format needs|load k --format xml -- true
--format needs|load k --format json --tag t --ttl 5s --format xml -- true
END

begin "with --json anywhere, every error of the command's own is one object too, and one line"
while IFS='|' read -r expected command words; do
  # shellcheck disable=SC2086
  bare $words
  expect_code "$expected"
  expect_error
  expect_equal "$command_line: lines printed" "$(wc -l <"$out")" 1
  if [ "$command" = null ]; then command=None; else command="'$command'"; fi
  expect_json "j['command'] == $command and j['status'] is None and j['sqlstate'] is None"
  expect_json "'pgcache: ' + j['error'] + '\\n' == open('$err').read()"
done <<END
2|null|--json
2|null|frobnicate --json
2|null|get k --frobnicate --json
2|null|--json get k -x
2|null|--json --url
2|null|local --json
2|get|get --json
2|get|get k --ttl 5s --json
2|get|get k --json
2|version|version x --json
2|help|help nosuch --json
2|put|put k v --ttl 5 --json --url null:
2|get|get --json --key-base64 a --url null:
1|put|put k --file $work/none --json --url null:
1|local start|local start --dir / --json
1|local psql|local psql --dir $work/none --json
2|local psql|local psql word --json
1|local stop|local stop --json --dir $work/none,
END
for words in "get k --pool-max x --json" "get k --url nonsense --json" "local status --url local:relative --json"; do
  # shellcheck disable=SC2086
  bare $words
  expect_json 'j["status"] == "PGCACHE_BAD_SETTING" and j["error"] and j["sqlstate"] == ""'
done
PGCACHE_POOL_MAX=x bare get k --json
expect_json 'j["command"] == "get" and j["status"] == "PGCACHE_BAD_SETTING"'

begin "a --json behind -- is no option"
bare get -- --json
expect_code 2
expect_out ""

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
  case $word in
    help | version) ;; # explained by themselves
    *) grep -qE "^\.It Cm $word( |\$)" "$root/impl/cli/pgcache.1" || fail "the manual page lacks $word" ;;
  esac
done
for word in start stop status url psql; do
  grep -qE "^\.It Cm local $word( |\$)" "$root/impl/cli/pgcache.1" || fail "the manual page lacks local $word"
done
for word in "${options[@]}"; do
  grep -qE "Fl Fl ${word#--}( |\$)" "$root/impl/cli/pgcache.1" || fail "the manual page lacks $word"
done

begin "the manual page's example of a slow program runs it on a miss alone and stores nothing if it fails"
mkdir -p "$work/example"
sed -n '/^Cache the output/,/^\.Ed/p' "$root/impl/cli/pgcache.1" | sed '1,/^\.Bd/d; /^\.Ed/d' >"$work/example/script"
[ -s "$work/example/script" ] || fail "the example is not where this test looks for it"
# Runs the example with $1 as the slow program, and says how often that ran, what is in the report, and the exit code.
example() {
  (
    cd "$work/example" || exit
    rm -f ran report.txt
    # shellcheck disable=SC2317 # the example calls it
    pgcache() { PGCACHE_URL=${address:-$PGCACHE_TEST_URL} "$PGCACHE_BIN" "$@"; }
    printf '#!/bin/sh\necho ran >>ran\n%s\n' "$1" >slow-report
    chmod +x slow-report
    PATH=$work/example:$PATH
    # shellcheck source=/dev/null
    . ./script
    status=$?
    echo "$(cat ran 2>/dev/null)/$(cat report.txt)/$status"
  ) 2>"$err"
}
p init
p remove report
expect_equal "a program that fails" "$(example 'echo half; exit 9')" "ran//9"
p exists report
expect_code 3
expect_equal "a miss" "$(example 'echo whole')" "ran/whole/0"
expect_equal "a hit" "$(example 'echo other')" "/whole/0"
expect_equal "no server" "$(address='host=/nonexistent' example 'echo other')" "//1"
sql "DROP SCHEMA $schema CASCADE" >/dev/null 2>&1

begin "the completions know every command, every option and nothing else"
for file in pgcache.bash _pgcache; do
  for word in "${options[@]}"; do
    grep -qE -- "$word([^a-z0-9-]|$)" "$root/impl/cli/completion/$file" || fail "$file lacks $word"
  done
  while read -r word; do
    grep -qE -- "^  $word( |$)" "$work/help" || fail "$file has $word, which help has not"
  done < <(grep -oE -- '--[a-z][a-z0-9-]+' "$root/impl/cli/completion/$file" | sort -u)
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
expect_equal "pgcache to" "$(complete_words pgcache to)" "top touch "
expect_equal "pgcache load k --ta" "$(complete_words pgcache load k --ta)" "--table --tag "
expect_equal "pgcache invalidate --tag t k --ta" "$(complete_words pgcache invalidate --tag t k --tag)" "--tag "
expect_equal "pgcache load --stale 3" "$(complete_words pgcache load --stale 3)" "30s "
expect_equal "pgcache local st" "$(complete_words pgcache local st)" "start status stop "
expect_equal "pgcache --url x local s" "$(complete_words pgcache --url x local s)" "start status stop "
expect_equal "pgcache flush --" "$(complete_words pgcache flush --al)" "--all "
expect_equal "pgcache put k v --if-" "$(complete_words pgcache put k v --if-)" "--if-absent --if-present --if-version "
expect_equal "pgcache --table l" "$(complete_words pgcache --table l)" "logged "
expect_equal "pgcache get --pool-m" "$(complete_words pgcache get --pool-mi)" "--pool-min "
expect_equal "pgcache version --u" "$(complete_words pgcache version --u)" " "
