# Completion of the command pgcache for bash. It never asks a server.
#
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pgcache authors

_pgcache() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local commands='get put remove exists touch incr load invalidate tags keys flush cleanup limit usage stats top import doctor init upgrade keygen local version help'
  local local_commands='start stop status url psql'
  local settings='--url --schema --namespace --table --coherence --values --prepared --app-role --app-namespaces
    --grants --owner-role --pool-min --pool-max --pool-max-lifetime-ms
    --pool-idle-ms --async-connections --async-requests-max --async-bytes-max
    --breaker-failures --breaker-pause-ms --on-error --timeout-ms --maintenance-timeout-ms --default-ttl-ms --max-value-bytes
    --compression --compression-min-bytes --encryption --digests --keys --cleanup-share --cleanup-chance --access-stamp-ms
    --guard --load-threads --near-max-bytes --near-max-entries --near-staleness-ms --near-absent-ms --near-audit-ms --listen-url --notify-channel --slow-ms --log-keys --publish-ms'
  local command='' local_command='' word index
  COMPREPLY=()

  # The command is the first word that is neither an option nor an option's value.
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    case $word in
      = | --*=*) ;;
      --json | --help | --version | --key-base64 | --if-absent | --if-present | --all | --yes | --dry-run | --prometheus | --overwrite | -h | -V) ;;
      --*)
        [[ ${COMP_WORDS[index + 1]} == '=' ]] && ((index++))
        ((index++))
        ;;
      *)
        if [[ -z $command ]]; then
          command=$word
        elif [[ $command == local && -z $local_command ]]; then
          local_command=$word
        fi
        ;;
    esac
  done

  # An option and its value joined by "=" come as three words.
  if [[ $previous == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $current == '=' ]]; then
    current=''
  fi
  case $previous in
    --file)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --dir)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      return
      ;;
    --format)
      mapfile -t COMPREPLY < <(compgen -W 'bytes json' -- "$current")
      return
      ;;
    --table)
      mapfile -t COMPREPLY < <(compgen -W 'unlogged logged' -- "$current")
      return
      ;;
    --values)
      mapfile -t COMPREPLY < <(compgen -W 'mixed inline' -- "$current")
      return
      ;;
    --coherence | --prepared | --guard | --log-keys)
      mapfile -t COMPREPLY < <(compgen -W 'on off' -- "$current")
      return
      ;;
    --grants)
      mapfile -t COMPREPLY < <(compgen -W 'functions tables' -- "$current")
      return
      ;;
    --compression)
      mapfile -t COMPREPLY < <(compgen -W 'off lz4 zstd' -- "$current")
      return
      ;;
    --encryption)
      mapfile -t COMPREPLY < <(compgen -W 'off on required' -- "$current")
      return
      ;;
    --digests)
      mapfile -t COMPREPLY < <(compgen -W 'plain keyed' -- "$current")
      return
      ;;
    --on-error)
      mapfile -t COMPREPLY < <(compgen -W 'error miss' -- "$current")
      return
      ;;
    --interval)
      mapfile -t COMPREPLY < <(compgen -W '1s 2s 10s' -- "$current")
      return
      ;;
    --stale | --fail-safe | --wait)
      mapfile -t COMPREPLY < <(compgen -W '1s 30s 5m 1h 1d' -- "$current")
      return
      ;;
    --ttl)
      mapfile -t COMPREPLY < <(compgen -W '30s 5m 1h 1d never' -- "$current")
      return
      ;;
    --from)
      mapfile -t COMPREPLY < <(compgen -W 'psycache postgres-cache fastapi-cachekit' -- "$current")
      return
      ;;
    --url | --source)
      mapfile -t COMPREPLY < <(compgen -W 'local: null: postgresql://' -- "$current")
      return
      ;;
    --if-version | --initial | --limit | --after | --page-size | --schema | --namespace | --pool-min | --pool-max | \
      --app-role | --app-namespaces | --owner-role | --pool-max-lifetime-ms | --pool-idle-ms | \
      --async-connections | --async-requests-max | --async-bytes-max | --breaker-failures | --breaker-pause-ms | --timeout-ms | \
      --maintenance-timeout-ms | --default-ttl-ms | --max-value-bytes | --compression-min-bytes | --keys | \
      --cleanup-share | --cleanup-chance | --access-stamp-ms | --load-threads | --near-max-bytes | --near-max-entries | --near-staleness-ms | \
      --near-absent-ms | --near-audit-ms | --listen-url | --notify-channel | --slow-ms | --publish-ms | --max-entries | --max-bytes | --count | \
      --tag | --source-table)
      return
      ;;
  esac

  local words=''
  if [[ $current == -* ]]; then
    words="--json --help --version"
    [[ $command != help && $command != version ]] && words+=" $settings"
    case $command in
      get | remove | exists) words+=' --key-base64' ;;
      put) words+=' --key-base64 --ttl --tag --file --format --if-absent --if-present --if-version' ;;
      touch) words+=' --key-base64 --ttl' ;;
      incr) words+=' --key-base64 --ttl --initial' ;;
      load) words+=' --key-base64 --ttl --tag --format --stale --fail-safe --wait' ;;
      invalidate) words+=' --key-base64 --tag' ;;
      tags) words+=' --key-base64' ;;
      keys) words+=' --key-base64 --limit --after --page-size' ;;
      flush) words+=' --all --yes' ;;
      limit) words+=' --all --max-entries --max-bytes' ;;
      stats) words+=' --prometheus' ;;
      top) words+=' --interval --count' ;;
      import) words+=' --key-base64 --tag --from --source --source-table --after --page-size --overwrite' ;;
      init) words+=' --dry-run' ;;
      local) words+=' --dir' ;;
    esac
  elif [[ -z $command || ($command == help && $previous == help) ]]; then
    words=$commands
  elif [[ $command == local && -z $local_command ]]; then
    words=$local_commands
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _pgcache pgcache
