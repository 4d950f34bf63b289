"""Start, sabotage and judge processes that install artifacts (store_worker.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests._support.fault_server import FaultServer, noise, sha256, zip_of

WORKER = Path(__file__).with_name("store_worker.py")
COLLECTOR = Path(__file__).with_name("store_collector.py")
FILES = {f"top/d{number % 5}/f{number}": noise(20_000, str(number)) for number in range(30)}
FILES["top/big"] = noise(1_500_000, "big")
MODEL = zip_of(FILES)
DIGEST = sha256(MODEL)


def item(server: FaultServer, **more: Any) -> dict[str, Any]:
    """Return the artifact that ``server`` has at ``/m.zip``."""
    return {
        "name": "m",
        "kind": "model",
        "url": server.url + "/m.zip",
        "sha256": DIGEST,
        "strip_components": 1,
        **more,
    }


def start(root: Path, *artifacts: dict[str, Any], **how: Any) -> subprocess.Popen[str]:
    """Start a process that installs ``artifacts``; ``how`` holds its settings.

    ``sabotage`` and ``umask`` are described in store_worker.py, ``python`` is another interpreter.
    """
    prepare = how.pop("preexec_fn", None)
    python = how.pop("python", sys.executable)
    # Another interpreter gets the collection alone, not the packages of this environment.
    paths = sys.path if python == sys.executable else [p for p in sys.path if "coldvox-collections-" in p]
    request: dict[str, Any] = {"paths": paths, "root": str(root), "artifacts": artifacts}
    request.update({key: how.pop(key) for key in ("sabotage", "umask") if key in how})
    request["settings"] = {"timeout_seconds": 5, **how}
    return subprocess.Popen(
        [str(python), str(WORKER), json.dumps(request)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for ``process`` and return what it printed last."""
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors, errors
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def whole(tree: Path) -> bool:
    """Return whether the files of ``tree`` are exactly those of the archive."""
    contents = {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    return contents == {name.removeprefix("top/"): data for name, data in FILES.items()}


def nothing_half(root: Path) -> bool:
    """Return whether every published tree of the store at ``root`` is whole."""
    trees = list((root / "trees").glob("*")) if root.exists() else []
    return all(whole(tree) for tree in trees)


def leftovers(root: Path) -> list[str]:
    """Return the names in the store's directories for unfinished work."""
    return [name for area in ("staging", "trash", "partial", "progress") for name in os.listdir(root / area)]
