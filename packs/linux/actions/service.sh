#!/bin/sh
# service.sh ACT SERVICE, by systemctl where there is one.
if command -v systemctl >/dev/null 2>&1; then
  exec systemctl "$1" "$2"
fi
exec service "$2" "$1"
