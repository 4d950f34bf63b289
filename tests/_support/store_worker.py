"""A process that installs artifacts, for tests that start many and kill some.

Reads a JSON object from its argument: ``paths`` for sys.path, ``root``, ``artifacts``, ``settings``,
``umask``, and ``sabotage``: ``flock:grants-all``, ``flock:ERRNO-NAME``, ``wall-clock:SECONDS`` (jumps by so
much at every look), or ``before:MODULE:NAME`` and ``after:MODULE:NAME``, which kill the process around a call
of that function of the store. Prints ``ready`` when it begins and then one JSON object: ``outcomes`` and
``received`` and ``peak_bytes`` (of memory), or ``error``.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

STORE = "ansible_collections.coldvox.ci.plugins.module_utils.store"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def sabotage(how: str) -> None:
    """Break this process in the way that ``how`` names."""
    kind, _colon, rest = how.partition(":")
    if kind == "flock":

        def refuse(_fd: int, _command: int, _request: bytes) -> None:
            if rest != "grants-all":
                raise OSError(getattr(errno, rest), os.strerror(getattr(errno, rest)))

        setattr(fcntl, "fcntl", refuse)  # noqa: B010  # mypy refuses a plain assignment
    elif kind == "wall-clock":
        true_time, jumps = time.time, [0]

        def jumping() -> float:
            jumps[0] += 1
            return true_time() + jumps[0] % 2 * float(rest)

        time.time = jumping
    else:
        kill_around(kind, *rest.split(":"))


def kill_around(when: str, module: str, name: str) -> None:
    owner: Any = importlib.import_module(f"{STORE}.{module}")
    *classes, function = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    original = getattr(owner, function)

    def deadly(*args: Any, **more: Any) -> Any:
        if when == "after":
            original(*args, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, function, deadly)


def main() -> int:
    request = json.loads(sys.argv[1])
    sys.path[:0] = request["paths"]
    from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
    from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import parse_all
    from ansible_collections.coldvox.ci.plugins.module_utils.store.install import Settings, Store
    from ansible_collections.coldvox.ci.plugins.module_utils.store.members import Limits

    os.umask(request.get("umask", 0o077))
    if "sabotage" in request:
        sabotage(request["sabotage"])
    settings = Settings(Limits(2**33, 250, 200_000), pause_seconds=0.01, **request["settings"])
    artifacts = parse_all(request["artifacts"])
    say("ready")
    try:
        report = Store(request["root"], settings).install(artifacts)
    except CiError as error:
        say(json.dumps({"error": str(error)}))
        return 1
    received = sum(result.bytes_downloaded for result in report.results)
    with open("/proc/self/status", encoding="ascii") as stream:
        peak = int(stream.read().partition("VmHWM:")[2].split()[0]) * 1024
    answer = {
        "outcomes": [result.outcome for result in report.results],
        "received": received,
        "peak_bytes": peak,
    }
    say(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
