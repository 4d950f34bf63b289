"""An independent GitHub emulator: npm's ``emulate`` by Vercel.

It verifies the signatures of Apps with its own code, so it is the judge of how an App signs in. It has
neither runners nor variables. The version is pinned: ``latest`` under this name is another program, and newer
releases of this one need a newer Node.js.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.process import capture

HERE = Path(__file__).parent
VERSION = "0.11.2"
OLDEST_NODE = 20
_READY_SECONDS = 30.0


def missing_node() -> str:
    """Return why emulate cannot run here, or "" when it can."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return f"The program emulate {VERSION} needs Node.js, and node or npm is not on PATH; install both."
    outcome = capture(["node", "--version"], timeout_seconds=30)
    major = outcome.stdout.strip().lstrip("v").partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST_NODE:
        return f"The program emulate needs Node.js {OLDEST_NODE}, not {outcome.stdout.strip()}; update it."
    return ""


def prepare(cache: Path) -> Path:
    """Return the directory with emulate, as package-lock.json pins it.

    Raises TestbedError when npm cannot fetch it.
    """
    lock = (HERE / "package-lock.json").read_bytes()
    home = cache / "github" / f"emulate-{hashlib.sha256(lock).hexdigest()[:16]}"
    done = home / "complete"
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not done.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, home)
            quiet = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
            outcome = capture(["npm", "ci", "--prefix", str(home), *quiet], timeout_seconds=300)
            if outcome.status != 0:
                raise TestbedError(
                    f"The program npm could not fetch emulate {VERSION} ({outcome.reason}); "
                    "check that its registry can be reached and run this again."
                )
            done.touch()
    return home


@contextlib.contextmanager
def emulate(home: Path, scratch: Path, github: Mapping[str, Any]) -> Iterator[str]:
    """Run emulate with the seed ``github`` for a ``with`` block; give its URL.

    It listens on 127.0.0.1 only. Raises TestbedError when it does not start.
    """
    seed, log = scratch / "seed.json", scratch / "emulate.log"
    seed.write_text(json.dumps({"github": github}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = ["node", "-r", str(HERE / "loopback.cjs"), str(home / "node_modules/emulate/dist/index.js")]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*program, "start", "--service", "github", "--port", str(port), "--seed", str(seed)],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TestbedError(
        f"The program emulate {VERSION} did not start: {log.read_text()[-300:].strip()}; read its log {log}."
    )
