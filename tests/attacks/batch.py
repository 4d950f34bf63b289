"""One shell script for a stage of many attacks, and what its output means."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable, Mapping

from .catalogue import Attack

#: The exit statuses of bash and timeout(1) that mean that an attack was not tried.
NOT_TRIED = {124: "no end in time", 127: "a program is missing", 137: "killed"}

# write_to wins if the caller may write to a path. It changes nothing.
FUNCTIONS = """\
attempt() { # NAME SECONDS NEEDS, and the script on the standard input
    local program status
    for program in $3; do
        command -v "$program" >/dev/null || { echo "$NONCE missing $1 $program"; return; }
    done
    cat >"$scratch/$1.sh"
    (
        cd "$scratch" || exit 126
        export NAME=$1 WON="$NONCE won $1" PLACE=$scratch/temp
        exec timeout --kill-after=2 "$2" /bin/bash "$scratch/$1.sh"
    ) </dev/null >"$scratch/$1.out" 2>&1
    status=$?
    tail -c 1500 "$scratch/$1.out"
    echo
    echo "$NONCE ended $1 $status"
}
write_to() {
    if [ -d "$1" ]; then
        touch "$1/probe-$NONCE" && rm -f "$1/probe-$NONCE" && echo "$WON"
    elif [ -f "$1" ]; then
        { : >>"$1"; } && echo "$WON"
    fi
    return 0
}
read_from() {
    if [ -d "$1" ]; then
        ls -A "$1" | grep -q . && echo "$WON"
    else
        head -c 1 "$1" | grep -q . && echo "$WON"
    fi
    return 0
}
export -f write_to read_from
scratch=$(mktemp -d) && mkdir "$scratch/temp" || exit 1
"""


def script(
    attacks: Iterable[Attack], stage: str, variables: Mapping[str, str], ending: str = "", prefix: str = ""
) -> str:
    """Return a bash script that tries ``stage`` of each attack that has it.

    ``variables`` has at least NONCE. ``prefix`` and ``ending`` are more lines before and after the attempts.
    """
    nonce = variables["NONCE"]
    lines = ["set +e", *(f"export {name}={shlex.quote(value)}" for name, value in variables.items())]
    lines += [FUNCTIONS, prefix]
    for attack in attacks:
        if stage in attack.stages:
            needs = shlex.quote(" ".join(attack.needs))
            lines.append(f"attempt {attack.name} {attack.seconds} {needs} <<'END-{nonce}'")
            lines += [attack.stages[stage].rstrip("\n"), f"END-{nonce}"]
    return "\n".join([*lines, ending, "exit 0", ""])


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the output of one stage says about one attack.

    ``won`` is whether its marker is there. ``obstacle`` says why it was not tried, empty if it was.
    """

    won: bool
    obstacle: str


def read(output: str, attack: str, nonce: str) -> Seen:
    """Return what ``output`` says about ``attack``.

    Only a whole line is a marker: an attack that dumps its environment prints the marker inside a line.
    """
    lines = {line.strip() for line in output.splitlines()}
    won = f"{nonce} won {attack}" in lines
    missing = re.search(rf"^\s*{nonce} missing {attack} (\S+)", output, re.M)
    ended = re.search(rf"^\s*{nonce} ended {attack} (\d+)", output, re.M)
    if missing:
        return Seen(won, f"the program {missing[1]} is missing")
    if not ended:
        return Seen(won, "it did not end")
    status = int(ended[1])
    return Seen(won, f"status {status}: {NOT_TRIED[status]}" if status in NOT_TRIED else "")
