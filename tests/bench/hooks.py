"""What the two job hooks cost a job: each as a process, against a Python that does nothing.

The job has one model linked and leaves an empty workspace: what a job makes, it pays for itself.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.cold import WORKER
from tests.bench.common import Options, alternating, collections_root, say, seconds, workplace
from tests.bench.data import make_archive

ARCHIVE_BYTES = 2**20
TARGET_MILLISECONDS = 40
_COMMAND = """
import os, sys
sys.path.insert(0, os.path.realpath("{place}/current"))
from coldvox_ci.cli.main import main
places = ("store", "run", "state", "runners", "config")
sys.exit(main(defaults={{place: "{place}/" + place for place in places}}))
"""


def installed(place: Path) -> list[str]:
    """Install the package as the role does, its bytecode included, and return the command's first words."""
    lookup = importlib.import_module("ansible_collections.coldvox.ci.plugins.lookup.agent_files")
    for entry in lookup.release_files(lookup.LIBRARY, str(place)):
        path = Path(entry["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        if "content" in entry:
            path.write_text(entry["content"], encoding="utf-8")
        else:
            path.symlink_to(entry["link_to"])
    command = place / "runnerctl"
    command.write_text(_COMMAND.format(place=place), encoding="utf-8")
    words = [sys.executable, "-I", str(command)]
    subprocess.run([*words, "package", "settle"], check=True, capture_output=True)
    return words


def stock(place: Path, collections: Path) -> None:
    """Put one model into the store."""
    archive = make_archive(place / "m.zip", ARCHIVE_BYTES)
    wanted = {"name": "m", "kind": "model", "url": f"file://{archive.path}", "sha256": archive.sha256}
    told = {"paths": [str(collections)], "root": f"{place}/store", "artifacts": [wanted], "settings": {}}
    subprocess.run([sys.executable, str(WORKER), json.dumps(told)], check=True, capture_output=True)


def environment(place: Path) -> dict[str, str]:
    """Return what a job's hooks see; makes the directories that it names."""
    work = place / "one" / "_work"
    for directory in (work / "b" / "b", work / "_temp", place / "run" / "jobs" / "one"):
        directory.mkdir(parents=True)
    (place / "event.json").write_text(json.dumps({"inputs": None}), encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "GITHUB_RUN_ID": "7",
        "GITHUB_JOB": "build",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(place / "event.json"),
        "GITHUB_WORKSPACE": str(work / "b" / "b"),
        "RUNNER_NAME": "one",
        "RUNNER_TEMP": str(work / "_temp"),
    }


def measure(options: Options) -> None:
    """Print what each hook takes."""
    collections = collections_root()
    with workplace("hooks") as place:
        words, seen = installed(place), environment(place)
        stock(place, collections)

        def run(*argv: str) -> float:
            return seconds(lambda: subprocess.run(argv, env=seen, cwd=place, check=True, capture_output=True))

        medians = alternating(
            {
                "nothing": lambda: run(sys.executable, "-I", "-c", "pass"),
                "started": lambda: run(*words, "job", "started"),
                "completed": lambda: run(*words, "job", "completed"),
            },
            4 * options.repetitions,
        )
        say("an empty Python", medians["nothing"] * 1000, "ms")
        for hook in ("started", "completed"):
            say(f"the hook 'job {hook}'", medians[hook] * 1000, "ms", f"at most {TARGET_MILLISECONDS} more")
            say(f"times an empty Python: job {hook}", medians[hook] / medians["nothing"], "x")
