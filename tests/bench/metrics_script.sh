#!/usr/bin/env bash
# The sampling script that users had, as their reports describe it: a shell, awk, free, df, du, pgrep and ps, each a process.
#   metrics_script.sh STORE RUST_DIR WORK_DIR CSV COUNT
set -euo pipefail
store=$1 rust=$2 work=$3 csv=$4 count=$5

size_mb() {
    du -sm "$1" 2>/dev/null | awk '{ print $1 }'
}

for ((number = 0; number < count; number++)); do
    timestamp=$(date '+%Y-%m-%d %H:%M:%S')
    load=$(awk '{ print $1 }' /proc/loadavg)
    memory=$(free -m | awk '/^Mem:/ { print $3 }')
    available=$(free -m | awk '/^Mem:/ { print $7 }')
    disk=$(df "$work" | awk 'NR == 2 { sub("%", "", $5); print $5 }')
    listener=$(pgrep -f Runner.Listener | head -n 1 || true)
    cpu=0 share=0
    if [ -n "$listener" ]; then
        cpu=$(ps -p "$listener" -o %cpu= || echo 0)
        share=$(ps -p "$listener" -o %mem= || echo 0)
    fi
    received=$(awk '/eth0|wlan0|enp|wlp/ { sum += $2 } END { print sum + 0 }' /proc/net/dev)
    sent=$(awk '/eth0|wlan0|enp|wlp/ { sum += $10 } END { print sum + 0 }' /proc/net/dev)
    reads=$(awk '$3 ~ /^(sd[a-z]|vd[a-z]|nvme[0-9]n[0-9])$/ { sum += $6 } END { print sum + 0 }' /proc/diskstats)
    writes=$(awk '$3 ~ /^(sd[a-z]|vd[a-z]|nvme[0-9]n[0-9])$/ { sum += $10 } END { print sum + 0 }' /proc/diskstats)
    cache=$(size_mb "$store")
    models=$(size_mb "$store/trees")
    cargo=$(size_mb "$rust")
    jobs=$(pgrep -fc Runner.Listener || true)
    echo "$timestamp,$load,$memory,$available,$disk,$cpu,$share,$received,$sent,$reads,$writes,$cache,$models,$cargo,$jobs,${GITHUB_RUN_ID:-unknown},${GITHUB_JOB:-unknown},${GITHUB_RUN_ATTEMPT:-1},${GITHUB_STEP:-unknown}" >> "$csv"
done
