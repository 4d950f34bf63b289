"""The CPU time of the two job hooks, against a Python that does nothing.

The job has one model linked and leaves an empty workspace: what a job makes, it pays for itself. What holds
the model until the job ends counts as well. How long a hook takes by the clock is a matter of what else runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench.cold import WORKER
from tests.bench.common import Options, alternating, collections_root, say, workplace
from tests.bench.data import make_archive

ARCHIVE_BYTES = 2**20
TARGET_MILLISECONDS = 40
#: As the role's template has it: the system's, without a virtual environment to be searched first.
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_COMMAND = """
import os, sys
sys.path.insert(0, os.path.realpath("{place}/current"))
from coldvox_ci.agent.cli.main import run
places = ("store", "run", "state", "runners", "config")
run({{place: "{place}/" + place for place in places}})
"""


def installed(place: Path) -> list[str]:
    """Install the package as the role does and return how to start its program.

    Its bytecode is included.
    """
    lookup = importlib.import_module("ansible_collections.coldvox.ci.plugins.lookup.agent_files")
    for entry in lookup.release_files(lookup.LIBRARY, str(place)):
        path = Path(entry["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        if "source" in entry:
            shutil.copyfile(entry["source"], path)
        else:
            path.symlink_to(entry["link_to"])
    command = place / "runnerctl"
    command.write_text(_COMMAND.format(place=place), encoding="utf-8")
    words = [PYTHON, "-I", str(command)]
    subprocess.run([*words, "package", "settle"], check=True, capture_output=True)
    return words


def stock(place: Path, collections: Path) -> None:
    """Put a model into the store."""
    archive = make_archive(place / "m.zip", ARCHIVE_BYTES)
    wanted = {"name": "m", "kind": "model", "url": f"file://{archive.path}", "sha256": archive.sha256}
    request = {"paths": [str(collections)], "root": f"{place}/store", "artifacts": [wanted], "settings": {}}
    subprocess.run([sys.executable, str(WORKER), json.dumps(request)], check=True, capture_output=True)


def environment(place: Path) -> dict[str, str]:
    """Return the environment of a job's hooks and make the directories it names."""
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


def cpu_seconds(argv: Sequence[str], seen: Mapping[str, str], place: Path) -> float:
    """Return the CPU time of ``argv`` as the only step of a job.

    Processes that the step leaves until the job ends are included.

    The shell is the job, and is counted with it.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    job = ["sh", "-c", '"$@"; exit "$?"', "job", *argv]
    subprocess.run(job, env=seen, cwd=place, check=True, capture_output=True)
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def inherit_orphans() -> None:
    """Make this process the parent of the orphans of its children.

    Otherwise the first process of the machine would be their parent.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def measure(options: Options) -> None:
    """Print the CPU time of each hook."""
    collections = collections_root()
    inherit_orphans()
    with workplace("hooks") as place:
        words, seen = installed(place), environment(place)
        stock(place, collections)

        def cpu(*argv: str) -> Callable[[], float]:
            return lambda: cpu_seconds(argv, seen, place)

        medians = alternating(
            {
                "nothing": cpu(PYTHON, "-I", "-S", "-c", "pass"),
                "started": cpu(*words, "job", "started"),
                "completed": cpu(*words, "job", "completed"),
            },
            8 * options.repetitions,
        )
        say("CPU of a Python that does nothing (-I -S)", medians["nothing"] * 1000, "ms")
        for hook in ("started", "completed"):
            say(f"CPU of the hook 'job {hook}'", medians[hook] * 1000, "ms", f"at most {TARGET_MILLISECONDS}")
            say(f"times a Python that does nothing: job {hook}", medians[hook] / medians["nothing"], "x")
