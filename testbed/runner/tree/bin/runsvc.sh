#!/bin/bash
# The program of the service: sets PATH from .path and turns SIGTERM into SIGINT for its child.

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
