#!/bin/bash
# Runs the listener, and starts it again when the helper returns 2.

root="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

if [ -n "$RUNNER_MANUALLY_TRAP_SIG" ]; then
    # Job control gives the helper a process group of its own, so that a signal reaches all its processes.
    set -m
    trap 'kill -INT -"$helper"' INT TERM
fi

while :; do
    cp -f "$root/run-helper.sh.template" "$root/run-helper.sh"
    if [ -n "$RUNNER_MANUALLY_TRAP_SIG" ]; then
        "$root/run-helper.sh" "$@" &
        helper=$!
        wait "$helper"
        status=$?
        # A trapped signal ends the first wait early; the second returns the helper's own status.
        while kill -0 "$helper" 2>/dev/null; do
            wait "$helper"
            status=$?
        done
    else
        "$root/run-helper.sh" "$@"
        status=$?
    fi
    if [ "$status" -ne 2 ]; then
        echo "Exiting runner..."
        [ -n "$RUNNER_MANUALLY_TRAP_SIG" ] && exit "$status"
        exit 0
    fi
    echo "Restarting runner..."
done
