#!/usr/bin/env bash
# Plays the conversations that squall was made for, on a server of its own that is gone afterwards: dangerous commands whose confirmation
# a pack built itself, and the same with squall's own; confirmed, refused, and with nobody saying a word. Then leaves you at the prompt
# if there is a terminal. With --check it only plays.
set -euo pipefail
squall=$(realpath "$1")
mode=${2:-}
home=$(mktemp -d)
data=$home/data
pids=()
cleanup() {
  local code=$?
  trap - EXIT INT TERM
  # Whoever is killed ends with the number of the signal, which says nothing about the play.
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$home"
  exit "$code"
}
trap cleanup EXIT INT TERM

"$squall" up --quiet --data "$data" --listen 127.0.0.1:0 --drain 1 2> "$home/errors" &
pids+=($!)
for _ in $(seq 600); do [ -e "$data/endpoints.json" ] && break; sleep 0.05; done
[ -e "$data/endpoints.json" ] || { echo "the server did not start"; cat "$home/errors"; exit 1; }
run() { "$squall" --data "$data" "$@"; }

# Bob has an account, so that he may answer for others; a rule of the server wants somebody else for rollouts.
run user set bob --role operator > "$home/log"
run link terminal:bob bob > "$home/log"
mkdir -p "$data/confirm.d"
cat > "$data/confirm.d/rollout.yaml" <<'RULE'
version: 1
rules:
  - id: four-eyes
    why: A rollout touches many hosts at once.
    when: {action: [examples.rollout]}
    require: [{who: {role: [operator]}, count: 1}]
    timeout: 5m
RULE
run reload > "$home/log" 2>&1

person() { # a chat client for $1, fed through file descriptor $2; what it shows goes to $3
  mkfifo "$home/$1"
  run chat --as "$1" --linger 120 < "$home/$1" > "$3" &
  pids+=($!)
  eval "exec $2> \"\$home/$1\""
}
person alice 3 "$home/seen"
person bob 4 "$home/bob.seen"
alice() { echo "$1" >&3; }
bob() { echo "$1" >&4; }
shown=0
show() { # prints what is new on the screen
  local all; all=$(wc -l < "$home/seen")
  if [ "$all" -gt "$shown" ]; then sed -n "$((shown + 1)),${all}p" "$home/seen"; shown=$all; fi
}
part=0
seen() { # waits until the bot has said something with the words $1 since the last heading, at most $2 seconds
  for _ in $(seq $((${2:-30} * 20))); do
    show
    tail -n "+$((part + 1))" "$home/seen" | grep -q -- "$1" && { show; return 0; }
    sleep 0.05
  done
  echo "never saw: $1"; exit 1
}
heading() { show; part=$shown; echo; echo "── $1"; }
found() { tail -n "+$((part + 1))" "$home/seen" | grep -o -- "$1" | head -n 1; }

heading 'Home-made: a workflow asks and looks into the datastore for the answer'
alice '!drain web1'
seen 'approve drain [0-9a-f]'
alice "!$(found 'approve drain [0-9a-f]\{24\}')"
seen 'web1 is being drained'

heading 'Native: one line in a file, and squall asks. What runs is exactly what is shown'
alice '!evacuate web1'
seen 'Stop: !deny'
bob "!$(found 'confirm [0-9A-Z]\{3\}-[0-9A-Z]\{3\}')"
seen 'you cannot approve'
alice '/reply yes'
seen 'alice: web1 would be empty now'

heading 'Native, refused: a rule of the server wants another person'
alice '!roll out 1.4 to web1,web2,web3'
seen 'Refuse: !deny'
bob "!deny $(found '[0-9A-Z]\{3\}-[0-9A-Z]\{3\}') not on a Friday"
seen 'was not run'

heading 'Both, and nobody says a word: silence means no (this takes a minute)'
alice '!drain web2'
alice '!evacuate web2'
seen 'nobody approved within 30 seconds' 60
seen 'No confirmation for' 90
echo
exec 3>&- 4>&-
run execution list
if [ "$mode" != --check ] && [ -t 0 ] && [ -t 1 ]; then
  echo
  echo "Your turn: try !evacuate web3 and then /reply yes, !drain web3, !pending, !help. Ctrl-D ends the demonstration."
  run chat --as "${USER:-me}"
fi
