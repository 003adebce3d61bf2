#!/usr/bin/env bash
# Plays the conversation that squall was made for, on a server of its own that is gone afterwards: a dangerous command that is
# confirmed, and one that nobody confirms. Then leaves you at the prompt if there is a terminal. With --check it only plays.
set -euo pipefail
squall=$(realpath "$1")
mode=${2:-}
home=$(mktemp -d)
data=$home/data
server=
cleanup() {
  trap - EXIT INT TERM
  [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
  rm -rf "$home"
}
trap cleanup EXIT INT TERM

"$squall" up --quiet --data "$data" --listen 127.0.0.1:0 --drain 1 &
server=$!
for _ in $(seq 600); do [ -e "$data/endpoints.json" ] && break; sleep 0.05; done
[ -e "$data/endpoints.json" ] || { echo "the server did not start"; exit 1; }

mkfifo "$home/alice"
"$squall" --data "$data" chat --as alice --linger 60 < "$home/alice" > "$home/seen" &
reader=$!
exec 3> "$home/alice"
shown=0
show() { # prints what is new on the screen
  local all; all=$(wc -l < "$home/seen")
  if [ "$all" -gt "$shown" ]; then sed -n "$((shown + 1)),${all}p" "$home/seen"; shown=$all; fi
}
seen() { # waits until the bot has said something with the words $1, at most $2 seconds
  for _ in $(seq $((${2:-30} * 20))); do show; grep -q -- "$1" "$home/seen" && { show; return 0; }; sleep 0.05; done
  echo "never saw: $1"; exit 1
}
say() { echo "$1" >&3; }

echo "── A dangerous command, confirmed ─────────────────────────────────────────────"
say '!drain web1'
seen 'approve drain [0-9a-f]'
ticket=$(grep -o 'approve drain [0-9a-f]\{24\}' "$home/seen" | head -n 1 | cut -d ' ' -f 3)
say "!approve drain $ticket"
seen 'web1 is being drained'
echo
echo "── The same command, and nobody confirms (this takes its 30 seconds) ──────────"
say '!drain web2'
seen 'nobody approved within 30 seconds' 60
echo
exec 3>&-
kill "$reader" 2>/dev/null || true
wait "$reader" 2>/dev/null || true
"$squall" --data "$data" execution list
if [ "$mode" != --check ] && [ -t 0 ] && [ -t 1 ]; then
  echo
  echo "Your turn: try !help, !greet Ada, !drain web3. Ctrl-D ends the demonstration."
  "$squall" --data "$data" chat --as "${USER:-me}"
fi
