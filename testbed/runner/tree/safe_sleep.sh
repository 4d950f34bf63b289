#!/bin/bash
# Sleeps, also where there is no sleep program.

if command -v sleep >/dev/null; then
    sleep "$1"
else
    SECONDS=0
    while [ "$SECONDS" -lt "$1" ]; do :; done
fi
