"""What a converge costs, against the same work in the usual shape, in one run on one machine.

Every figure is the median of the repetitions, which alternate between the candidates so that a noisy minute
hits both. The world must be up; ``make bench`` sees to that.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.common import CHECKOUT, Options

HOST = "laptop-extra"
SITE = "site.yml"
USUAL = "tests/bench/usual_shape.yml"


def play(playbook: str, *arguments: str) -> tuple[float, int, int]:
    """Run a playbook; return seconds, changed tasks and remote module executions (counted at ``-vvv``)."""
    inventories = ("inventories/production", "inventories/sandbox", "molecule/inventory")
    sources = [part for path in inventories for part in ("-i", path)]
    begun = time.monotonic()
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), *sources, playbook, "-l", HOST, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        sys.exit(f"bench: {playbook} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    changed = int(re.findall(rf"^{HOST}\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.M)[-1])
    return seconds, changed, done.stdout.count("Using module file ")


def measure(options: Options) -> None:
    """Measure the first converge once and the no-change converge several times, and print the table."""
    first = {playbook: play(playbook) for playbook in (SITE, USUAL)}
    executions = {playbook: play(playbook, "-vvv")[2] for playbook in (SITE, USUAL)}
    again: dict[str, list[float]] = {SITE: [], USUAL: []}
    for _ in range(options.repetitions):
        for playbook, seconds in again.items():
            took, changed, _ = play(playbook)
            if playbook == SITE and changed:
                sys.exit(f"bench: {playbook} changed {changed} tasks on a converged host; that is a defect.")
            seconds.append(took)
    medians = {playbook: statistics.median(seconds) for playbook, seconds in again.items()}

    print(f"{'':<40}{'site.yml':>12}{'usual shape':>14}{'ratio':>8}")
    rows = [
        ("first run, seconds", first[SITE][0], first[USUAL][0]),
        (f"no change, seconds (median of {options.repetitions})", medians[SITE], medians[USUAL]),
        ("no change, remote module executions", float(executions[SITE]), float(executions[USUAL])),
    ]
    for title, ours, theirs in rows:
        print(f"{title:<40}{ours:>12.1f}{theirs:>14.1f}{theirs / ours:>8.1f}")
    if not first[SITE][1]:
        print(
            "(the host was converged before, so that the first row is no first converge; "
            "'make clean' makes it one)"
        )
