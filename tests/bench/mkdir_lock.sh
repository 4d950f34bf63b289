#!/usr/bin/env bash
# The lock script that users had: the holder makes a directory, and each waiter looks for it every second.
# Two of its faults are fixed, so that it can be measured: all use the same name, and the lock is held until the end.
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
