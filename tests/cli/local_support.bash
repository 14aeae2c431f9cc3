# What the cases of `pgcache local` share: running it as an account, in a home folder, in the background.
#
# SPDX-License-Identifier: MIT
# What is set here is read in the cases, and the other way round.
# shellcheck shell=bash disable=SC2034,SC2154

unset PGCACHE_SCHEMA

# The command where every account may run it, with its library beside it.
mkdir -p "$work/bin"
cp "$PGCACHE_BIN" "$work/bin/pgcache"
cp -P "$(dirname "$PGCACHE_BIN")"/libpgcache.so* "$work/bin/" 2>/dev/null
chmod -R a+rX "$work/bin"

# Runs the rest of its arguments as the account of the round; `as` is empty or a command that changes the account.
as=()
l() {
  code=0
  (cd "$home" && "${as[@]}" env HOME="$home" "$work/bin/pgcache" "$@") >"$out" 2>"$err" || code=$?
  command_line="${account}: pgcache $*"
}

# Starts a `local start` in the background, as its own process group with usual signals; its process is then in $pid.
start_behind() {
  (cd "$home" && exec "${as[@]}" env --default-signal HOME="$home" "$work/bin/pgcache" local start --dir "$1" \
    >"$work/behind" 2>&1) &
  pid=$!
}

# The pgcache process at or below $1: what changes the account may stay above it.
pgcache_of() {
  local name=
  read -r name 2>/dev/null <"/proc/$1/comm" || return 0
  if [ "$name" = pgcache ]; then echo "$1"; else pgcache_of "$(pgrep -P "$1" | head -n 1)"; fi
}

server_process() {
  head -n 1 "$1/data/postmaster.pid"
}

# The server of a folder has ended.
has_stopped() {
  [ ! -e "$1/data/postmaster.pid" ]
}
