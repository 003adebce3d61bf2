#!/bin/sh
# traceroute.sh HOST HOPS PROBES
exec traceroute -m "${2:-30}" -q "${3:-3}" "$1"
