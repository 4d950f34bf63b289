"""``make demo``: a bare machine becomes a converged laptop-extra that runs jobs."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

CHECKOUT = Path(__file__).resolve().parents[1]
WORLD = "demo"
HOST = "laptop-extra"
SITE = f"ansible-playbook -i inventories/production -i inventories/sandbox site.yml -l {HOST}"
GITHUB = "http://10.213.57.1:8080"
TOKEN = "sandbox-admin-token"  # the emulator's constant, good for nothing else
#: Print a line after this time without output.
QUIET_SECONDS = 8.0


def run(title: str, argv: list[str]) -> None:
    """Run ``argv``, show its output as it comes, and stop when it fails.

    A line shows that it still runs when it prints nothing for some time.
    """
    print(f"\n== {title}\n   {' '.join(argv)}", flush=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if sys.stdout.isatty():
        environment["ANSIBLE_FORCE_COLOR"] = "1"
    child = subprocess.Popen(
        argv, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert child.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    output = child.stdout

    def read() -> None:
        for line in output:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    begun = time.monotonic()
    try:
        while True:
            try:
                line = lines.get(timeout=QUIET_SECONDS)
            except queue.Empty:
                print(f"   … still at it, {time.monotonic() - begun:.0f} s", flush=True)
                continue
            if line is None:
                break
            print(line, end="", flush=True)
    except KeyboardInterrupt:
        # The child is in our process group and got the signal too; it reports how far it came.
        child.wait()
        raise
    if child.wait() != 0:
        stop(
            f"{title}: failed; the lines above say why. 'make demo' again goes on from there.",
            child.returncode,
        )


def stop(message: str, status: int) -> NoReturn:
    """Print one sentence and exit with ``status``."""
    print(f"\ndemo: {message}", file=sys.stderr)
    sys.exit(status)


def registered() -> list[dict[str, Any]]:
    """Ask the testbed's GitHub which runners it knows."""
    request = urllib.request.Request(
        f"{GITHUB}/api/v3/repos/Coldaine/ColdVox/actions/runners?per_page=100",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            runners: list[dict[str, Any]] = json.load(answer)["runners"]
    except (OSError, ValueError) as error:
        stop(
            f"The testbed's GitHub does not list its runners ({error}); start it again with 'make demo'.",
            1,
        )
    return runners


def summary(seconds: float) -> str:
    """Return the text that ends the demo: the runners, and useful commands."""
    lines = [
        f"\n{HOST} is converged and waits for jobs ({seconds:.0f} s).\n",
        "Registered at the testbed's GitHub:",
    ]
    for runner in registered():
        labels = ", ".join(label["name"] for label in runner["labels"])
        lines.append(f"  {runner['name']:<20} {runner['status']:<8} {labels}")
    lines += [
        "",
        "Look at it     ssh -F .testbed/worlds/demo/ssh_config laptop-extra",
        "               then: systemctl status 'coldvox-runner@*'",
        "Run a job      .venv/bin/python -m testbed job --runs-on fedora --script docs/examples/job.sh",
        f"Converge again .venv/bin/{SITE}",
        "Stop it        .venv/bin/python -m testbed down",
        "Remove all     make clean",
    ]
    return "\n".join(lines)


def main() -> int:
    """Start the world, converge the laptop and print the summary."""
    begun = time.monotonic()
    try:
        run("The world outside", [sys.executable, "-m", "testbed", "up", "--world", WORLD, "--host", HOST])
        run("Converge", SITE.split())
        print(summary(time.monotonic() - begun))
    except KeyboardInterrupt:
        stop("interrupted; nothing is lost, 'make demo' goes on from there.", 130)
    return 0


if __name__ == "__main__":
    sys.exit(main())
