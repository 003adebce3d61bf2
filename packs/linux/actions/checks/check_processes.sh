#!/bin/sh
# Lists processes: check_processes.sh name|state|pid VALUE
what=${1:-name} value=${2-}
case $what in
  pid) ps -o pid=,stat=,comm= -p "$value" ;;
  state) ps -eo pid=,stat=,comm= | awk -v want="$value" 'index($2, want) == 1' ;;
  *) ps -eo pid=,stat=,comm= | awk -v want="$value" 'index($3, want) > 0' ;;
esac
