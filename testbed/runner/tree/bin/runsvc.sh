#!/bin/bash
# What the service runs: takes PATH from .path and passes a stop on as an interrupt.

trap 'kill -INT "$service"' TERM INT

if [ -f ".path" ]; then
    PATH="$(cat .path)"
    export PATH
    echo ".path=$PATH"
fi

./externals/node20/bin/node ./bin/RunnerService.js &
service=$!
wait "$service"
trap - TERM INT
wait "$service"
