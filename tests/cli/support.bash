# What the cases of tests/cli share: running the command, looking at what it did, counting.
#
# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A case begins with `begin TITLE`; each expectation that does not hold adds a line of reasons; the next case or the end
# reports it. Nothing here may know what a case is about.

passed=0
failed=0
title=
reasons=

start_tests() {
  work=$(mktemp -d "${PGCACHE_TEST_FOLDER:-/tmp}/pgcache-cli.XXXXXX")
  chmod 755 "$work" # other accounts run the command from here
  out=$work/out
  err=$work/err
  interpreter=$(command python3 -c 'import sys; print(sys.executable)')
  schema=cli_test_$$
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  exec </dev/null
  unset PGCACHE_URL PGCACHE_NAMESPACE PGCACHE_TABLE DATABASE_URL NO_COLOR
  export PGCACHE_SCHEMA=$schema TERM=xterm
}

clean_up() {
  local status=$? directory
  trap - EXIT
  for directory in "$work"/*/local "$work"/*/*/local; do
    [ -d "$directory" ] && "$PGCACHE_BIN" local stop --dir "$directory" >/dev/null 2>&1
  done
  sql "DROP SCHEMA IF EXISTS $schema CASCADE; DROP SCHEMA IF EXISTS ${schema}_b CASCADE" >/dev/null 2>&1
  rm -rf "$work"
  exit "$status"
}

end_tests() {
  report
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

report() {
  [ -n "$title" ] || return 0
  if [ -z "$reasons" ]; then
    passed=$((passed + 1))
    echo "ok - $title"
  else
    failed=$((failed + 1))
    echo "not ok - $title"
    printf '%s' "$reasons" | sed 's/^/    /'
  fi
  title=
  reasons=
}

begin() {
  report
  title=$1
}

fail() {
  reasons+="$*"$'\n'
}

# Asks the server directly, as the superuser.
sql() {
  "${PGCACHE_TEST_BINDIR:+$PGCACHE_TEST_BINDIR/}psql" -XAtq -v ON_ERROR_STOP=1 -d "$PGCACHE_TEST_URL" -c "$1"
}

# Runs the command on the test server: its output is then in $out, its messages in $err, its exit code in $code.
p() {
  PGCACHE_URL=$PGCACHE_TEST_URL bare "$@"
}

# The same without an address.
bare() {
  code=0
  "$PGCACHE_BIN" "$@" >"$out" 2>"$err" || code=$?
  command_line="pgcache $*"
}

# Runs a shell command line on a terminal of its own, with $2 typed into it; what the terminal shows is then in $out.
on_terminal() {
  local typed=${2:-}
  code=0
  printf '%s' "$typed" | PGCACHE_URL=$PGCACHE_TEST_URL script -qec "$1" /dev/null >"$out" 2>"$err" || code=$?
  command_line="on a terminal: $1"
}

expect_code() {
  [ "$code" = "$1" ] || fail "$command_line: exit code $code, not $1; it said: $(head -c 400 "$err")"
}

# Standard output is these bytes, without looking at one newline at the end.
expect_out() {
  local got
  got=$(cat "$out"; echo x)
  got=${got%x}
  got=${got%$'\n'}
  [ "$got" = "$1" ] || fail "$command_line: printed '$(head -c 400 "$out")', not '$1'"
}

expect_out_has() {
  grep -qF -- "$1" "$out" || fail "$command_line: printed '$(head -c 400 "$out")' without '$1'"
}

expect_out_lacks() {
  ! grep -qF -- "$1" "$out" || fail "$command_line: printed '$1'"
}

expect_same_bytes() {
  cmp -s "$out" "$1" || fail "$command_line: the bytes printed are not those of $(basename "$1")"
}

# No output and no message at all.
expect_silence() {
  [ ! -s "$err" ] || fail "$command_line: said on standard error: $(head -c 400 "$err")"
}

# Exactly one line "pgcache: ..." on standard error, with $1 in it.
expect_error() {
  local lines
  mapfile lines <"$err"
  [[ ${#lines[@]} -eq 1 && ${lines[0]} == *$'\n' ]] ||
    fail "$command_line: ${#lines[@]} lines on standard error, not one: $(head -c 400 "$err")"
  [[ ${lines[*]} == 'pgcache: '* ]] || fail "$command_line: the message does not begin with pgcache: '$(head -c 400 "$err")'"
  [[ ${lines[*]} == *"${1:-}"* ]] || fail "$command_line: the message lacks '${1:-}': $(head -c 400 "$err")"
}

# Standard output is one JSON document in which the Python expression holds; the document is called j.
expect_json() {
  holds_in_json "$1" 2>"$work/json" ||
    fail "$command_line: in the JSON this does not hold: $1: $(tail -n 1 "$work/json") $(head -c 400 "$out")"
}
holds_in_json() { # EXPRESSION: of j, what $out holds
  python3 -c 'import json, sys; j = json.load(sys.stdin); sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" <"$out"
}
# The interpreter itself, which starts several times as quickly as through somebody's choice of versions and with his packages.
python3() { "$interpreter" -E -S "$@"; }

expect_equal() {
  [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"
}

# The command that runs as the process $1 minds the signals that ask it to end; before that they just end it.
minds_signals() {
  local name='' mask
  read -r name 2>/dev/null <"/proc/$1/comm"
  [ "$name" = pgcache ] || return 1
  # shellcheck disable=SC2013 # words
  for mask in $(sed -n 's/^Sig\(Blk\|Cgt\):[[:space:]]*//p' "/proc/$1/status" 2>/dev/null); do
    (((16#$mask & 2) == 0)) || return 0
  done
  return 1
}

# Somebody's statement waits for a lock.
somebody_waits() {
  [ "$(sql "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")" = t ]
}

# Waits up to $1 seconds until the rest succeeds: much longer than a quiet machine needs.
wait_until() {
  local tenths=$(($1 * 10))
  shift
  until "$@" >/dev/null 2>&1; do
    tenths=$((tenths - 1))
    [ "$tenths" -gt 0 ] || return 1
    sleep 0.1
  done
}
