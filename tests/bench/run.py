"""``make bench``: the speed as ratios, measured in a single run on one machine.

    python tests/bench/run.py [--full] [--archive-mib N] [--repetitions N] [NAME...]

The benchmarks are those of ``BENCHMARKS``; ``converge``, ``pool``, ``turnaround`` and ``warm`` need the world
(``make bench`` sees to that). Each figure is the median of its repetitions, which alternate between the
candidates. All data is below ``.testbed/bench`` and gone afterwards.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import (
    cold,
    converge,
    history,
    hooks,
    link,
    locks,
    metrics,
    status,
    turnaround,
    verify,
    warm,
)
from tests.bench.common import PLACE, Options

BENCHMARKS = {
    "converge": converge.measure,
    "pool": converge.measure_pool,
    "turnaround": turnaround.measure,
    "cold": cold.measure,
    "warm": warm.measure,
    "link": link.measure,
    "hooks": hooks.measure,
    "locks": locks.measure,
    "metrics": metrics.measure,
    "status": status.measure,
    "verify": verify.measure,
    "history": history.measure,
}
MIB = 2**20
FULL_MIB = 1717  # 1.8 GB, as the large English model


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(description="The speed of the project, as ratios in one run.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all"
    )
    parser.add_argument(
        "--archive-mib", type=int, default=400, help="size of the cold download (default: 400)"
    )
    parser.add_argument("--full", action="store_true", help="a cold download of 1.8 GB; needs 10 GB of disk")
    parser.add_argument("--repetitions", type=int, default=5, help="of each candidate (default: 5)")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    options = Options((FULL_MIB if given.full else given.archive_mib) * MIB, given.repetitions)
    try:
        for name in given.names or BENCHMARKS:
            begun = time.monotonic()
            print(f"\n{name}", flush=True)
            BENCHMARKS[name](options)
            print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)


if __name__ == "__main__":
    main()
