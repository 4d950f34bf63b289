"""The cost of a converge, against the same work in the usual shape.

Every figure is the median of the repetitions, which alternate between the candidates so that a noisy minute
hits both. The world must be up; ``make bench`` sees to that.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.common import CHECKOUT, Options, alternating

HOST = "laptop-extra"
SITE = "site.yml"
USUAL = "tests/bench/usual_shape.yml"
POOL = [{"name": f"{HOST}-{number}", "resource_class": "light"} for number in range(4)]
FOUR = ("-e", json.dumps({"github_runner_instances": POOL}))


def play(playbook: str, *arguments: str) -> tuple[float, int, int]:
    """Run a playbook; return seconds, changed tasks and remote executions.

    Executions of modules are counted in the output of ``-vvv``.
    """
    inventories = ("inventories/production", "inventories/sandbox", "molecule/inventory/test")
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
    """Measure the whole machine of the inventory."""
    compare(options, (SITE,), (USUAL,))


def measure_pool(options: Options) -> None:
    """Measure the runners alone, four on one host."""
    compare(options, (SITE, "--tags", "github_runner", *FOUR), (USUAL, "--tags", "pool", *FOUR))


def compare(options: Options, ours: tuple[str, ...], usual: tuple[str, ...]) -> None:
    """Print the time of the first converge, and of several without a change.

    ``ours`` and ``usual`` are each a playbook with arguments for it.
    """
    first = [play(*ours), play(*usual)]
    executions = [play(*candidate, "-vvv")[2] for candidate in (ours, usual)]

    def again() -> float:
        took, changed, _ = play(*ours)
        if changed:
            sys.exit(f"bench: {ours[0]} changed {changed} tasks on a converged host; that is a defect.")
        return took

    medians = alternating({"ours": again, "usual": lambda: play(*usual)[0]}, options.repetitions)
    print(f"{'':<40}{'site.yml':>12}{'usual shape':>14}{'ratio':>8}")
    rows = [
        ("first run, seconds", first[0][0], first[1][0]),
        (f"no change, seconds (median of {options.repetitions})", medians["ours"], medians["usual"]),
        ("no change, remote module executions", float(executions[0]), float(executions[1])),
    ]
    for title, mine, theirs in rows:
        print(f"{title:<40}{mine:>12.1f}{theirs:>14.1f}{theirs / mine:>8.1f}")
    if not first[0][1]:
        print(
            "(the host was converged before, so that the first row is no first converge; "
            "'make clean' makes it one)"
        )
