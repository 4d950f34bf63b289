"""The time from the end of a job to a listener that waits again.

The host's journal has both times; the runner's own lines are their source. The stand-in's start-up is in the
figure, and is shown next to it. The world must be converged; ``make bench`` sees to that.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from testbed.github.client import AdminClient
from testbed.world import WORLDS
from tests.bench.common import CHECKOUT, Options, say

HOST, NAME = "laptop-extra", "laptop-extra-lint"
LABELS = ["fedora", "nobara", "fast-lint"]
WORLD = WORLDS["test"]
TARGET_SECONDS = 1.5


def measure(options: Options) -> None:
    """Print the median and the worst of ``options.repetitions`` times two jobs."""
    github = AdminClient(WORLD.emulator_url)
    numbers = [github.queue_job(LABELS, "true") for _ in range(2 * options.repetitions)]
    for number in numbers:
        if github.wait_for_job(number)["conclusion"] != "success":
            sys.exit(f"bench: job {number} failed; see the log at {WORLD.emulator_url}.")
    begun, ended, listening = [], [], []
    for at, text in _journal():
        if " completed with result: " in text:
            ended.append(at)
        elif "Starting GitHub Actions runner" in text or "Started " in text:
            begun.append(at)
        elif "Listening for Jobs" in text and ended:
            listening.append(at)
    whole = [min(after for after in listening if after > at) - at for at in ended if listening[-1] > at]
    starts = [min(after for after in listening if after > at) - at for at in begun if listening[-1] > at]
    say("seconds from the end of a job to a waiting listener (median)", statistics.median(whole), "s", "1.5")
    say("the worst of them", max(whole), "s")
    say("of this, the stand-in's own start (median)", statistics.median(starts[-len(whole) :]), "s")


def _journal() -> list[tuple[float, str]]:
    config = CHECKOUT / ".testbed/worlds" / WORLD.name / "ssh_config"
    command = f"sudo journalctl -u coldvox-runner@{NAME} -o json --since=-5min --no-pager"
    done = subprocess.run(["ssh", "-F", config, HOST, command], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(int(line["__REALTIME_TIMESTAMP"]) / 1e6, str(line.get("MESSAGE"))) for line in lines]
