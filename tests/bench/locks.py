"""The library's lock against filelock from PyPI and a script with mkdir and sleep."""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.bench.common import CHECKOUT, Options, alternating, collections_root, say, workplace

ROUNDS = 2000
WAITERS = 32
HOLD_SECONDS = 0.005
MKDIR_LOCK = CHECKOUT / "tests" / "bench" / "mkdir_lock.sh"
_HOLDER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
print("ready", flush=True)
sys.stdin.readline()
with Flock(sys.argv[2]):
    begun = time.monotonic()
    time.sleep(float(sys.argv[3]))
    ended = time.monotonic()
print(json.dumps([begun, ended]))
"""


def microseconds(lock: Any) -> float:
    """Return the mean microseconds of an acquire and release without contention."""
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        lock.acquire()
        lock.release()
    return (time.perf_counter() - begun) / ROUNDS * 1e6


def hand_over(commands: Callable[[], list[str]]) -> tuple[float, float]:
    """Let ``WAITERS`` processes wait for the same lock.

    Return median and 99th percentile of the seconds between one holder's end and the next one's beginning.
    """
    processes = [
        subprocess.Popen(commands(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(WAITERS)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    held = sorted(json.loads(process.communicate()[0]) for process in processes)
    gaps = [after[0] - before[1] for before, after in zip(held, held[1:])]
    if min(gaps) < 0:
        sys.exit("bench: two processes held the lock at once.")
    return statistics.median(gaps), statistics.quantiles(gaps, n=100)[98]


def measure(options: Options) -> None:
    """Print both comparisons."""
    with workplace("locks") as place:
        collections = collections_root()
        flock = importlib.import_module(
            "ansible_collections.coldvox.ci.plugins.module_utils.host.flock"
        ).Flock
        ours = flock(str(place / "a"))
        theirs = FileLock(place / "c")
        medians = alternating(
            {
                "ours": lambda: microseconds(ours),
                "theirs": lambda: microseconds(theirs),
            },
            options.repetitions,
        )
        say("acquire and release, uncontended: Flock", medians["ours"], "us")
        say("the same: filelock from PyPI", medians["theirs"], "us")
        say("times faster than filelock", medians["theirs"] / medians["ours"], "x", "at least 5")
        print_hand_over(place, collections, options.repetitions)


def print_hand_over(place: Path, collections: Path, repetitions: int) -> None:
    """Print how long a free lock stays unused while others wait for it."""

    def flock() -> list[str]:
        return [sys.executable, "-c", _HOLDER, str(collections), str(place / "lock"), str(HOLD_SECONDS)]

    def script() -> list[str]:
        return ["bash", str(MKDIR_LOCK), str(place / "lock.d"), str(HOLD_SECONDS)]

    delays: dict[str, list[tuple[float, float]]] = {"flock": [], "script": []}
    for _ in range(repetitions):
        delays["flock"].append(hand_over(flock))
        delays["script"].append(hand_over(script))
    for name, title in (("flock", "Flock"), ("script", "mkdir and sleep 1")):
        middle, late = (statistics.median(values) * 1000 for values in zip(*delays[name]))
        say(f"hand-over among {WAITERS} waiters, median: {title}", middle, "ms")
        say(f"hand-over among {WAITERS} waiters, 99th percentile: {title}", late, "ms")
