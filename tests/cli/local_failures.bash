# Cases of `pgcache local` where something is in the way: programs that fail, files that are in a wrong place, an account
# that may not do what it should.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# The programs are written here and expand where they run.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

# shellcheck source=tests/cli/local_support.bash
. "$folder/local_support.bash"

account=$(id -un)
home=$work/failures
mkdir -p "$home"
bindir=${PGCACHE_TEST_BINDIR:-$(pg_config --bindir)}
owner=$account
[ "$account" != root ] || owner=postgres

# Programs that do what a case says. As the newest version they are chosen for a new cluster.
fakes=$home/fakes
mkdir "$fakes"
cat >"$fakes/postgres" <<'FAKE'
#!/bin/sh
[ "$1" = -V ] || exit 1
eval "$FAKE_VERSION"
FAKE
printf '#!/bin/sh\neval "$FAKE_INITDB"\n' >"$fakes/initdb"
printf '#!/bin/sh\neval "$FAKE_CONFIG"\n' >"$fakes/pg_config"
chmod 755 "$fakes"/*
export FAKE_CONFIG="echo '$fakes'" FAKE_INITDB='exit 1' FAKE_VERSION='echo "postgres (PostgreSQL) 99.1"'

# The same as l(), with these programs; $place is a new folder each time.
places=0
with_fakes() {
  places=$((places + 1))
  place=$home/fake.$places
  PATH=$fakes:$PATH l local start --dir "$place"
}

begin "what initdb complains of is in the message, whatever else it prints"
while IFS='|' read -r expected program; do
  FAKE_INITDB=$program with_fakes
  expect_code 1
  expect_error "PostgreSQL's initdb failed: $expected (more in $place/log)"
  [ ! -e "$place/data" ] || fail "there is a cluster"
done <<'END_OF_PROGRAMS'
it gave no reason|exit 1
just a line|echo just a line; echo; exit 1
FATAL:  no room  here|echo first; echo "2026 FATAL:  no room	 here"; echo last; exit 1
error: two|echo error: one; echo "initdb: error: two"; exit 1
PANIC: three|echo PANIC: three; kill -KILL $$
it gave no reason|mkdir -p "$2"
END_OF_PROGRAMS
(trap '' CHLD; FAKE_INITDB='echo ERROR: four; exit 1' with_fakes; echo "$code" >"$work/code")
expect_equal "the exit code when the caller ignores SIGCHLD" "$(cat "$work/code")" 1
expect_error "ERROR: four"

begin "what initdb left and cannot be removed is told by the next start"
FAKE_INITDB='mkdir -p "$2/sub" && : >"$2/sub/file" && chmod 0 "$2/sub"; exit 1' with_fakes
expect_code 1
expect_error "initdb failed"
[ -e "$place/data.tmp" ] || fail "the test has left nothing to remove"
l local start --dir "$place"
expect_code 1
expect_error "cannot remove $place/data.tmp"
chmod 755 "$place/data.tmp/sub"
l local stop --dir "$place"
expect_out "not running"

begin "the programs are looked for in every place, and what is no program is passed over"
FAKE_CONFIG='exit 1' with_fakes
expect_error "initdb failed"
for program in 'echo nonsense' 'exit 1' 'echo "postgres (PostgreSQL) 9.6"' ':' 'head -c 5000 /dev/zero | tr "\0" x'; do
  for config in ': ' 'echo relative' 'echo /nowhere' "head -c 5000 /dev/zero | tr '\\0' x" "echo '$fakes'"; do
    FAKE_CONFIG=$config FAKE_VERSION=$program PATH=$fakes::relative:/$(printf 'x%.0s' {1..5000}):$PATH \
      l local url --dir "$home/none"
    expect_code 0
    FAKE_CONFIG=$config FAKE_VERSION=$program PATH=$fakes::relative:/$(printf 'x%.0s' {1..5000}):$PATH \
      l local start --dir "$home/found"
    expect_code 0
    [ "$program" = 'echo nonsense' ] || break
  done
done
l local stop --dir "$home/found"
expect_out stopped
mkdir "$home/bare"
cp "$fakes/initdb" "$home/bare"
PATH=$home/bare:$PATH l local start --dir "$home/found"
expect_code 0

begin "psql is that of the server, else the one in the PATH; none is an error"
cp "$home/found/data/PG_VERSION" "$work/version"
echo 9 >"$home/found/data/PG_VERSION"
mkdir "$home/psql"
printf '#!/bin/sh\necho "from the path: $*"\n' >"$home/psql/psql"
chmod 755 "$home/psql/psql"
PATH=$home/psql:$PATH l local psql --dir "$home/found" -- one
expect_code 0
expect_out_has "from the path: -d host="
code=0
(cd "$home" && PATH=/nowhere "$work/bin/pgcache" local psql --dir "$home/found") >"$out" 2>"$err" || code=$?
command_line="pgcache local psql without psql"
expect_code 1
expect_error "cannot run psql"
cat "$work/version" >"$home/found/data/PG_VERSION"
PATH=$home/psql:$PATH l local psql --dir "$home/found" -- -XAtc "SELECT 'from the server'"
expect_out "from the server"

begin "a start or stop waits for another one, tells people so, and can be interrupted"
hold_lock() {
  flock --no-fork "$home/found/lock" sleep "$1" 9>&- &
  holder=$!
  wait_until 60 is_locked
}
is_locked() {
  ! flock --nonblock "$home/found/lock" true
}
let_lock_go() {
  kill "$holder"
}
hold_lock 600
(wait_until 60 grep -q "1 s" "$out"; let_lock_go) &
code=0
script -qec "'$work/bin/pgcache' local stop --dir '$home/found'" /dev/null >"$out" 2>"$err" || code=$?
command_line="pgcache local stop, while another is at work"
expect_code 0
expect_out_has "waiting for another start or stop... 1 s"
expect_out_has "stopped"
wait "$holder" 2>/dev/null
hold_lock 600
start_behind "$home/found"
starter_minds_signals() {
  minds_signals "$(pgcache_of "$pid")"
}
wait_until 60 starter_minds_signals
kill -s TERM "$(pgcache_of "$pid")"
code=0
wait "$pid" 2>/dev/null || code=$?
command_line="pgcache local start, SIGTERM while it waits"
expect_code 143
expect_equal "what it said" "$(cat "$work/behind")" "pgcache: interrupted"
let_lock_go
wait "$holder" 2>/dev/null

begin "a stop that is interrupted says that the server goes on stopping"
l local start --dir "$home/found"
expect_code 0
process=$(server_process "$home/found")
kill -STOP "$process"
(cd "$home" && exec env --default-signal "$work/bin/pgcache" local stop --dir "$home/found" >"$work/behind" 2>&1) &
pid=$!
was_told() { # SIGINT waits for it
  local mask
  mask=$(sed -n 's/^ShdPnd:[[:space:]]*//p' "/proc/$process/status")
  (((16#$mask & 2) != 0))
}
wait_until 60 was_told
kill -s INT "$pid"
wait "$pid" 2>/dev/null
expect_equal "what it said" "$(cat "$work/behind")" "pgcache: interrupted; the server goes on stopping"
kill -CONT "$process"
wait_until 60 has_stopped "$home/found" || fail "the server has not stopped"

begin "a search for the programs and an initdb that hang can be interrupted"
export HANGS=$home/hangs
: >"$HANGS"
chmod 666 "$HANGS" # another account runs initdb
while IFS='|' read -r what script; do
  places=$((places + 1))
  (cd "$home" && export PATH="$fakes:$PATH" "$what=$script" &&
    exec env --default-signal "$work/bin/pgcache" local start --dir "$home/fake.$places" >"$work/behind" 2>&1) &
  pid=$!
  wait_until 60 test -s "$HANGS"
  : >"$HANGS"
  kill -s INT "$pid"
  code=0
  wait "$pid" 2>/dev/null || code=$?
  expect_equal "exit code, $what" "$code" 130
  expect_equal "what it said, $what" "$(cat "$work/behind")" "pgcache: interrupted"
done <<'END_OF_PROGRAMS'
FAKE_CONFIG|echo >"$HANGS"; exec sleep 300
FAKE_INITDB|echo >"$HANGS"; exec sleep 300
FAKE_INITDB|trap "" INT; echo >"$HANGS"; sleep 30; sleep 30
END_OF_PROGRAMS

begin "a server that does not start: its reason is in the message"
echo "no_such_setting = 1" >>"$home/found/data/postgresql.conf"
l local start --dir "$home/found"
expect_code 1
expect_error "PostgreSQL did not start: FATAL:"
sed -i '/no_such_setting/d' "$home/found/data/postgresql.conf"
l local start --dir "$home/found"
expect_code 0
l local stop --dir "$home/found"

begin "files in a wrong place in the folder are told, and left"
# What is in the way of what, and what is done about it.
while IFS='|' read -r expected file; do
  rm -rf "$home/way"
  mkdir "$home/way"
  [ "$file" = lock/it ] || : >"$home/way/lock"
  if [ "$file" = socket ]; then : >"$home/way/socket"; else mkdir -p "$home/way/$file"; fi
  [ "$file" != log/it ] || mkdir -p "$home/way/log.old/it"
  [ ! -e "$home/way/socket" ] || cp -a "$home/found/data" "$home/way/data"
  chown -R "$owner" "$home/way"
  l local start --dir "$home/way"
  expect_code 1
  expect_error "$expected"
  [ -e "$home/way/$file" ] || [ -e "$home/way/log.old/it" ] || fail "$file is gone"
done <<'END_OF_FILES'
cannot open|lock/it
cannot open|log/it
cannot give the new cluster its name|data/it
must be a folder of the server's own account|socket
cannot remove|socket/.s.PGSQL.5432/it
END_OF_FILES
cp -a "$home/found/data" "$home/quote"
mkdir "$home/with\"quote"
mv "$home/quote" "$home/with\"quote/data"
: >"$home/with\"quote/lock"
chown -R "$owner" "$home/with\"quote"
printf '%s\n' -12 >"$home/with\"quote/data/postmaster.pid"
l local status --dir "$home/with\"quote"
expect_code 3
rm "$home/with\"quote/data/postmaster.pid"
l local start --dir "$home/with\"quote"
expect_code 0
l local stop --dir "$home/with\"quote"
expect_out stopped
: >"$home/found/data/PG_VERSION"
l local start --dir "$home/found"
expect_code 1
expect_error "PostgreSQL did not start"

begin "a working directory that is gone is told, and an absolute folder does not need one; . is the working directory"
mkdir "$home/gone" "$home/here"
code=0
(cd "$home/gone" && rmdir "$home/gone" && "$work/bin/pgcache" local status --dir x) >"$out" 2>"$err" || code=$?
command_line="pgcache local status --dir x, in a folder that is gone"
expect_code 1
expect_error "cannot tell the working directory"
(cd "$home/here" && "$work/bin/pgcache" local url --dir .//. --json) >"$out" 2>"$err"
expect_json "j['url'] == 'local:$home/here'"
for words in start stop status url psql; do
  l local $words --dir /
  expect_code 1
  expect_error "--dir"
done
l local status --dir "$(printf 'far/%.0s' {1..3000})"
expect_code 1
expect_error "80 bytes"

begin "a folder with bytes that are not UTF-8 makes JSON all the same, and its table is for people"
odd=$home/$(printf 'q"\\\377z')
l local status --dir "$odd" --json
expect_code 3
expect_json 'j["directory"].endswith("q???z")'
on_terminal "NO_COLOR=1 '$work/bin/pgcache' local status --dir '$home/none'"
expect_code 3
expect_equal "lines for people" "$(wc -l <"$out")" 1

begin "libpq's variables do not reach the server or its making, and a start outlives a hang-up that is ignored"
(
  trap '' HUP
  export PGDATA=/nowhere PGPORT=1 PGOPTIONS=nonsense PGHOST=/nowhere PGCACHE_TIMEOUT_MS=20000
  export "PG$(printf 'LONG%.0s' {1..30})=1"
  l local start --dir "$home/clean"
  echo "$code" >"$work/code"
)
expect_equal "exit code" "$(cat "$work/code")" 0
l local stop --dir "$home/clean"
expect_out stopped

if [ "$account" = root ]; then
  begin "root: a folder above that is closed to the server's account, or rights that root has not, are told"
  mkdir -m 700 "$home/closed"
  l local start --dir "$home/closed/local"
  expect_code 1
  expect_error "cannot enter it"
  while IFS='|' read -r right expected; do
    code=0
    setpriv --bounding-set="-$right" "$work/bin/pgcache" local start --dir "$home/no $right" >"$out" 2>"$err" || code=$?
    command_line="pgcache local start without the right $right"
    expect_code 1
    expect_error "$expected"
  done <<'END_OF_RIGHTS'
chown|cannot hand over the folder
setuid|cannot become the account
setgid|cannot become the account
END_OF_RIGHTS
  mkdir "$home/stranger"
  chown 54321 "$home/stranger"
  l local start --dir "$home/stranger"
  expect_code 1
  expect_error "initdb failed"

  begin "an ordinary user's folder that is closed, or for which there is no name, is told"
  as=(runuser -u nobody --)
  l local status --dir "$home/closed/local/x"
  expect_code 1
  expect_error "cannot open the folder"
  l local start --dir /usr/pgcache-local
  expect_code 1
  expect_error "cannot make the folder"
  mkdir -m 500 "$home/sealed"
  chown nobody "$home/sealed"
  l local start --dir "$home/sealed"
  expect_code 1
  expect_error "cannot enter it"
  as=(runuser -u nobody -- env -u XDG_DATA_HOME HOME=)
  code=0
  (cd / && "${as[@]}" "$work/bin/pgcache" local status) >"$out" 2>"$err" || code=$?
  expect_code 1
  expect_error "XDG_DATA_HOME nor HOME"
  as=()
fi
