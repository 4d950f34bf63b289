#!/usr/bin/env bash
# The lock script that users had: one directory, made by who has the lock, and a look every second by who wants it.
# Two of its faults are mended, so that there is something to measure: all use one name, and it is held until the end.
#   mkdir_lock.sh DIRECTORY HOLD_SECONDS
set -euo pipefail
lock=$1 hold=$2

echo ready
read -r
until mkdir "$lock" 2>/dev/null; do
    sleep 1
done
trap 'rmdir "$lock"' EXIT
begun=$EPOCHREALTIME
sleep "$hold"
ended=$EPOCHREALTIME
echo "[$begun, $ended]"
