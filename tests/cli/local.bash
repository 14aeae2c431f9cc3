# Cases of `pgcache local`: as root and as an ordinary user, in paths with spaces, at once, after interruptions.
#
# SPDX-License-Identifier: MIT
# What is set here is read in support.bash, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=tests/cli/local_support.bash
. "$folder/local_support.bash"

# A server that was told to stop removes this as the last thing.
no_server() {
  [ ! -e "$1/data/postmaster.pid" ]
}

# Starts in a new folder and sends a signal as soon as a file is there. False if the signal did not end the start.
interrupt_start() { # SIGNAL FILE FOLDER
  local number=$1 file=$2 tries=0 victim=
  interrupted=$home/$3/local
  mkdir -p "${interrupted%/local}"
  [ "$account" = "$(id -un)" ] || chown "$account" "${interrupted%/local}"
  start_behind "$interrupted"
  until [ -e "$interrupted/$file" ] || [ "$tries" -gt 12000 ]; do
    sleep 0.005
    tries=$((tries + 1))
  done
  victim=$(pgcache_of "$pid")
  [ -n "$victim" ] && kill -s "$number" "$victim"
  ! wait "$pid" 2>/dev/null
}

# The same, and starts again. On a machine that stands still the server may be up before the signal comes: then once more.
interrupt() { # SIGNAL FILE WHEN
  local number=$1 file=$2 tries=0
  until interrupt_start "$number" "$file" "$number $3 $tries"; do
    l local stop --dir "$interrupted"
    tries=$((tries + 1))
    [ "$tries" -lt 5 ] || { fail "SIG$number at $file did not end the start"; return; }
  done
  if [ "$number" != KILL ]; then
    grep -q '^pgcache: interrupted$' "$work/behind" || fail "SIG$number at $file: it said $(cat "$work/behind")"
    [ ! -e "$interrupted/data.tmp" ] || fail "SIG$number at $file left a cluster that is half made"
    wait_until 60 no_server "$interrupted" || fail "SIG$number at $file left a server"
  fi
  [ ! -e "$interrupted/data" ] || [ -e "$interrupted/data/base" ] || fail "SIG$number at $file left half a cluster"
  l local start --dir "$interrupted"
  expect_code 0
  expect_out_has "process "
  [ ! -e "$interrupted/data.tmp" ] || fail "the unfinished cluster of SIG$number at $file is still there"
  l put k v --url "local:$interrupted"
  expect_code 0
  l local stop --dir "$interrupted"
  expect_code 0
}

# Starts the server of a folder whose schema is locked, and interrupts that once it waits for the lock.
interrupt_schema() {
  start_behind "$1"
  wait_until 60 schema_waits "$1" || fail "the start does not wait for the schema: $(cat "$work/behind")"
  kill -s INT "$(pgcache_of "$pid")"
  wait "$pid" 2>/dev/null && fail "SIGINT did not end the start"
}

schema_waits() {
  (cd "$home" && "${as[@]}" "$work/bin/pgcache" local psql --dir "$1" -- -XAtqc \
    "SELECT 1 / count(*) FROM pg_locks WHERE NOT granted") 2>/dev/null | grep -q 1
}

round() {
  account=$1
  home=$work/home\ of\ $account
  mkdir -p "$home"
  [ "$account" = "$(id -un)" ] || chown "$account" "$home"
  folder_of_server=$home/local

  begin "$account: status, url and stop before there is a server"
  l local status --dir "$folder_of_server"
  expect_code 3
  expect_out "not running"
  l local status --dir "$folder_of_server" --json
  expect_code 3
  expect_json 'j["outcome"] == "not running" and j["pid"] is None'
  l local stop --dir "$folder_of_server"
  expect_code 0
  expect_out "not running"
  l local psql --dir "$folder_of_server"
  expect_code 1
  expect_error "local start"
  [ ! -e "$folder_of_server" ] || fail "asking made the folder"
  l get k --url "local:$folder_of_server"
  expect_code 1
  expect_error "local start"

  begin "$account: an interrupted first start leaves nothing that breaks the next, whatever it was doing and whatever the signal"
  interrupt INT data.tmp early
  interrupt TERM data.tmp/global/pg_control later
  interrupt KILL data.tmp/global/pg_control later
  interrupt HUP data/PG_VERSION late

  begin "$account: the first start makes the server"
  l local start --dir "$folder_of_server"
  expect_code 0
  expect_out_has "started, process "
  expect_silence

  begin "$account: once started, the cache can be used at its address, and start again says that it runs"
  l put k v --url "local:$folder_of_server"
  expect_code 0
  first=$(server_process "$folder_of_server")
  l local start --dir "$folder_of_server"
  expect_code 0
  expect_out "already running, process $first"
  l local status --dir "$folder_of_server" --json
  expect_code 0
  expect_json "j['outcome'] == 'running' and j['pid'] == $first"
  l local start --dir "$folder_of_server/" --json
  expect_json "j['outcome'] == 'already running' and j['pid'] == $first and j['url'].startswith('local:/')"
  l local status --dir local
  expect_out "running, process $first"
  l local status --dir ./local
  expect_out "running, process $first"
  l local status --url "local:$folder_of_server"
  expect_out "running, process $first"
  l get k --url "local:$folder_of_server"
  expect_out v

  begin "$account: url is a connection string for pgcache and for others; psql opens psql with the arguments behind --"
  l local url --dir "$folder_of_server"
  expect_code 0
  address=$(cat "$out")
  l get k --url "$address"
  expect_out v
  l local url --dir "$folder_of_server" --json
  expect_json 'j["url"].startswith("local:/") and "host=" in j["conninfo"]'
  l local psql --dir "$folder_of_server" -- -XAtc 'SELECT current_user || current_database()'
  expect_code 0
  expect_out "pgcachepgcache"
  l local psql --dir "$folder_of_server" -- -XAt -c "SHOW listen_addresses" -c "SHOW unix_socket_directories" \
    -c "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
  expect_out $'\n'"\"$folder_of_server/socket\""$'\nUTF8'

  begin "$account: only the owner can enter the folder, and root runs nothing of the server"
  expect_equal "mode of the folder" "$(stat -c %a "$folder_of_server")" 700
  expect_equal "mode of the socket's folder" "$(stat -c %a "$folder_of_server/socket")" 700
  [ "$(stat -c %U "/proc/$first")" != root ] || fail "the server runs as root"
  expect_equal "owner of the cluster" "$(stat -c %U "$folder_of_server/data")" "$(stat -c %U "/proc/$first")"
  expect_equal "things in the folder of another owner" \
    "$(find "$folder_of_server" ! -user "$(stat -c %U "/proc/$first")" | head -n 3)" ""

  begin "$account: without threads to be had: exit 1 and one line"
  [ "$account" = root ] || {
    code=0 # LeakSanitizer, if the command has it, would need a thread of its own
    (cd "$home" && "${as[@]}" env HOME="$home" ASAN_OPTIONS=detect_leaks=0 prlimit --nproc=1 "$work/bin/pgcache" get k \
      --url "local:$folder_of_server") >"$out" 2>"$err" || code=$?
    command_line="$account: pgcache get with one process"
    expect_code 1
    expect_error "no thread"
  }

  begin "$account: stop stops it, again is no error, and the entries are there after the next start"
  l local stop --dir "$folder_of_server"
  expect_code 0
  expect_out "stopped"
  wait_until 60 has_ended "$first" || fail "the server is still there"
  l local stop --dir "$folder_of_server"
  expect_code 0
  expect_out "not running"
  l local status --dir "$folder_of_server"
  expect_code 3
  l local start --dir "$folder_of_server" --json
  expect_code 0
  expect_json 'j["outcome"] == "started"'
  l get k --url "local:$folder_of_server"
  expect_out v

  begin "$account: after the server was killed, start starts it, also when its number belongs to another process"
  kill -KILL "$(server_process "$folder_of_server")"
  wait_until 60 not_running
  l local start --dir "$folder_of_server"
  expect_code 0
  expect_out_has "started"
  kill -KILL "$(server_process "$folder_of_server")"
  wait_until 60 not_running
  owner=$(stat -c %U "$folder_of_server/data")
  if [ "$(id -un)" = root ]; then runuser -u "$owner" -- sleep 600 &>/dev/null & else sleep 600 & fi
  sleeper=$!
  disown "$sleeper" # or bash would tell of its end
  [ "$(id -un)" != root ] || wait_until 60 pgrep -P "$sleeper"
  impostor=$(pgrep -P "$sleeper" || echo "$sleeper")
  for file in data/postmaster.pid socket/.s.PGSQL.5432.lock; do
    sed "1s/.*/$impostor/" "$folder_of_server/$file" >"$work/edited"
    cat "$work/edited" >"$folder_of_server/$file"
  done
  l local status --dir "$folder_of_server"
  expect_code 3
  l local stop --dir "$folder_of_server"
  expect_out "not running"
  l local start --dir "$folder_of_server"
  expect_code 0
  expect_out_has "started"
  kill -0 "$impostor" 2>/dev/null || fail "the other process was ended"
  kill "$impostor" 2>/dev/null
  l local stop --dir "$folder_of_server"

  begin "$account: four starts at once make one server"
  pids=()
  for number in 1 2 3 4; do
    (cd "$home" && exec "${as[@]}" env HOME="$home" "$work/bin/pgcache" local start --dir "$home/at once/local") \
      >"$work/start.$number" 2>&1 &
    pids+=($!)
  done
  for number in 1 2 3 4; do
    wait "${pids[number - 1]}" || fail "start number $number failed: $(cat "$work/start.$number")"
  done
  expect_equal "starts that started it" "$(cat "$work"/start.? | grep -c '^started')" 1
  expect_equal "starts that found it" "$(cat "$work"/start.? | grep -c '^already running')" 3
  l local stop --dir "$home/at once/local"
  expect_out "stopped"

  begin "$account: start does not hold on to what its caller waits for"
  began=$SECONDS
  # shellcheck disable=SC2034 # only its end matters
  answer=$( (cd "$home" && "${as[@]}" env HOME="$home" "$work/bin/pgcache" local start --dir "$home/at once/local" 3>&1 4>&2) 2>&1)
  [ $((SECONDS - began)) -lt 120 ] || fail "the caller waited for the server's end"
  l local stop --dir "$home/at once/local"
  expect_code 0

  begin "$account: a folder that holds something else, cannot be made or has too long a path is refused"
  mkdir -p "$home/full"
  : >"$home/full/letter"
  [ "$account" = "$(id -un)" ] || chown -R "$account" "$home/full"
  l local start --dir "$home/full"
  expect_code 1
  expect_error "--dir"
  expect_equal "what is in that folder" "$(ls "$home/full")" letter
  l local start --dir "$home/full/letter"
  expect_code 1
  expect_error
  l local start --dir /proc/nothing/here
  expect_code 1
  expect_error
  l local start --dir "$home/$(printf 'long%.0s' {1..25})"
  expect_code 1
  expect_error "80 bytes"
  l local start --dir "$home/with,comma"
  expect_code 1
  expect_error "commas"
  l local start --url "local:relative"
  expect_code 1
  expect_error

  begin "$account: a symbolic link is refused by every command that looks at the folder"
  ln -sfn local "$home/link"
  for words in start stop status; do
    l local $words --dir "$home/link"
    expect_code 1
    expect_error "symbolic link"
  done
  ln -sfn nowhere "$home/link"
  l local start --dir "$home/link"
  expect_code 1
  expect_error "symbolic link"
  [ ! -e "$home/nowhere" ] || fail "it made what the link leads to"

  begin "$account: when the schema cannot be made, start says that the server runs"
  for found in started running; do
    l local start --dir "$folder_of_server" --table logged --json
    expect_code 1
    expect_json "j['status'] == 'PGCACHE_SCHEMA_DIFFERS' and 'the server runs, process $(server_process "$folder_of_server"), but' in j['error']"
    expect_error "the server runs, process $(server_process "$folder_of_server"), but"
  done
  l local stop --dir "$folder_of_server"
  expect_out stopped

  begin "$account: a start that is interrupted while it makes the schema ends the server that it began, and no other"
  held=$home/at\ once/local
  # A prepared transaction keeps its locks over a restart of the server.
  echo "max_prepared_transactions = 1" >>"$held/data/postgresql.conf"
  l local start --dir "$held"
  l local psql --dir "$held" -- -XAtq -v ON_ERROR_STOP=1 -c "BEGIN" -c "LOCK TABLE pgcache.cache" -c "PREPARE TRANSACTION 'held'"
  expect_code 0
  interrupt_schema "$held"
  grep -q "^pgcache: the server runs, process $(server_process "$held"), but making the schema failed: interrupted$" \
    "$work/behind" || fail "it did not say that the server runs: $(cat "$work/behind")"
  l local stop --dir "$held"
  expect_out stopped
  interrupt_schema "$held"
  # Below another account the shell adds a line of its own.
  expect_equal "what it said" "$(grep ^pgcache: "$work/behind")" "pgcache: interrupted"
  l local status --dir "$held"
  expect_code 3

  begin "$account: start on a terminal tells people where things are"
  code=0
  (cd "$home" && "${as[@]}" env HOME="$home" NO_COLOR=1 TERM=xterm \
    script -qec "'$work/bin/pgcache' local start --dir '$folder_of_server'" /dev/null) >"$out" 2>"$err" || code=$?
  expect_code 0
  expect_out_has "started, process"
  expect_out_has "$folder_of_server/log"
  l local stop --dir "$folder_of_server"
  expect_out "stopped"

  begin "$account: a cluster of another version of PostgreSQL is left alone"
  owner=$(stat -c %U "$folder_of_server/data")
  echo 9 >"$folder_of_server/data/PG_VERSION"
  l local start --dir "$folder_of_server"
  expect_code 1
  expect_error "PostgreSQL 9"
}

# A process that has ended may still wait for its parent to notice.
has_ended() {
  [ ! -e "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status"
}

not_running() {
  l local status --dir "$folder_of_server"
  [ "$code" = 3 ]
}

round "$(id -un)"

if [ "$(id -u)" = 0 ]; then
  begin "root: without --dir an account's folder is that of its data, root's is in /var/lib"
  account=root
  home=$work
  l local url
  expect_out "host='/var/lib/pgcache/local/socket' hostaddr='' port=5432 user=pgcache dbname=pgcache"

  as=(runuser -u nobody --)
  round nobody
  begin "nobody: without --dir the folder is in XDG_DATA_HOME, else in HOME"
  l local url --json
  expect_json "j['url'] == 'local:$home/.local/share/pgcache/local'"
  as=(runuser -u nobody -- env XDG_DATA_HOME=/xdg)
  l local url --json
  expect_json 'j["url"] == "local:/xdg/pgcache/local"'
  as=(runuser -u nobody --)

  begin "nobody: another account's folder is refused, and root works on it as its owner"
  mkdir "$work/roots"
  chmod 755 "$work/roots"
  l local start --dir "$work/roots"
  expect_code 1
  expect_error "another account"
  as=()
  rm -rf "${home:?}/local"
  mkdir "$home/local"
  chown nobody "$home/local"
  l local start --dir "$home/local"
  expect_code 0
  expect_equal "owner of the server" "$(stat -c %U "/proc/$(server_process "$home/local")")" nobody
  l local stop --dir "$home/local"
  expect_out stopped

  begin "root: a folder of root's that was there before is not given away, empty or not, by its name or through a link"
  ln -s roots "$work/link"
  for name in roots link link/. link/; do
    l local start --dir "$work/$name"
    expect_code 1
    expect_error "--dir"
  done
  mkdir "$work/roots/thing"
  l local start --dir "$work/roots"
  expect_code 1
  expect_error "belongs to root"
  l local start --dir "$work/roots" --json
  expect_json 'j["command"] == "local start" and "belongs to root" in j["error"]'
  l local stop --dir "$work/roots"
  expect_out "not running"
  expect_equal "its owner and mode" "$(stat -c '%U %a' "$work/roots")" "root 755"
  expect_equal "what is in it" "$(ls "$work/roots")" thing

  begin "root: the folder may be the server account's already, and a new one becomes its"
  rm -rf "$home/local" "$home/new"
  mkdir "$home/local"
  chown postgres "$home/local"
  for name in local new; do
    l local start --dir "$home/$name"
    expect_code 0
    expect_equal "owner of the server" "$(stat -c %U "/proc/$(server_process "$home/$name")")" postgres
    l local stop --dir "$home/$name"
    expect_out stopped
  done
fi
