"""Twenty installed artifacts: our single call against ping, get_url and unarchive.

All three are tasks of one playbook run against this machine; their times are read from Ansible's own log.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.common import Options, collections_root, say, workplace
from tests.bench.data import MIB, Archive, make_archive, served

ARTIFACTS = 20
_TASK = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) .*\| (?:TASK \[(\w+)|PLAY RECAP)", re.M)


def playbook(place: Path, server: str, archives: list[Archive], repetitions: int) -> list[dict[str, Any]]:
    """Return a play whose tasks ``ping``, ``store`` and ``usual`` alternate.

    The first task of each warms up.
    """
    items = [
        {"name": f"m{n}", "url": f"{server}/{a.path.name}", "sha256": a.sha256, "strip_components": 1}
        for n, a in enumerate(archives)
    ]
    ping = {"name": "ping", "ansible.builtin.ping": {}}
    store = {"name": "store", "coldvox.ci.artifact": {"store": str(place / "store"), "artifacts": items}}
    download = {
        "name": "usual",
        "ansible.builtin.get_url": {
            "url": "{{ item.url }}",
            "dest": f"{place}/usual/{{{{ item.name }}}}.zip",
            "checksum": "sha256:{{ item.sha256 }}",
            "mode": "0644",
        },
        "loop": items,
    }
    unpack = {
        "name": "usual",
        "ansible.builtin.unarchive": {
            "src": f"{place}/usual/{{{{ item.name }}}}.zip",
            "dest": f"{place}/usual/{{{{ item.name }}}}",
            "remote_src": True,
        },
        "loop": items,
    }
    tasks = [store, download, unpack, *[ping, store] * 5]
    for number in range(repetitions):
        tasks += [ping, store, ping, store, ping, store]
        if number < 5:
            tasks += [download, unpack]
    return [{"hosts": "localhost", "gather_facts": False, "tasks": [*tasks, ping]}]


def task_seconds(log: str) -> list[tuple[str, float]]:
    """Return name and duration of every task in ``log``, in order."""
    marks = [
        (match[2], datetime.datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S,%f"))  # noqa: DTZ007
        for match in _TASK.finditer(log)
    ]
    return [(name, (after - at).total_seconds()) for (name, at), (_next, after) in zip(marks, marks[1:])]


def run(place: Path, play: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Run ``play`` and return the seconds of each task."""
    (place / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections_root()),
        "ANSIBLE_LOG_PATH": str(place / "log"),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local"),
            *("-e", f"ansible_python_interpreter={sys.executable}", "play.yml"),
        ],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"bench: the play failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return task_seconds((place / "log").read_text(encoding="utf-8"))


def measure(options: Options) -> None:
    """Print both ratios."""
    with workplace("warm") as place:
        archives = [
            make_archive(place / f"m{number}.zip", 2 * MIB, middle_files=23, seed=number)
            for number in range(ARTIFACTS)
        ]
        for number in range(ARTIFACTS):
            (place / "usual" / f"m{number}").mkdir(parents=True)
        with served(place) as server:
            took = run(place, playbook(place, server, archives, options.repetitions))
    # The first of each fetches, and the next few warm the machine up.
    warm = took[3 + 10 :]
    ping = statistics.median(value for name, value in warm if name == "ping")
    store = statistics.median(value for name, value in warm if name == "store")
    parts = [value for name, value in warm if name == "usual"]
    usual = statistics.median(first + second for first, second in zip(parts[::2], parts[1::2]))
    say("ansible.builtin.ping, one task", ping * 1000, "ms")
    say(f"coldvox.ci.artifact with {ARTIFACTS} artifacts that are there, one task", store * 1000, "ms")
    say("as many times a ping", store / ping, "x", "at most 1.3")
    say(f"get_url and unarchive, {ARTIFACTS} times each", usual * 1000, "ms")
    say("times faster", usual / store, "x", "at least 30")
