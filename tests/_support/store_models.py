"""Small models on a server, stores with them, and a reader's view of a store."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.host.clock import boot_id, boottime
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import Artifact
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import Instant

from tests._support.fault_server import FaultServer, install, model_zip, sha256, wanted

DAY = 86400.0
MODEL = model_zip()
DIGEST = sha256(MODEL)


def model(server: FaultServer, **more: Any) -> Any:
    """Return the request for MODEL, which ``server`` has from now on."""
    url = server.url + "/m.zip"
    if "/m.zip" not in server.pages:
        server.serve("/m.zip", MODEL)
    return wanted("m", url, MODEL, **{"strip_components": 1, "kind": "model", **more})


def models(server: FaultServer, root: Path, count: int, **more: Any) -> list[Artifact]:
    """Return ``count`` installed models m0, m1, …, of about 200 kB each.

    M0 was used longest ago.
    """
    made = []
    for number in range(count):
        data = model_zip(f"model {number}")
        url = server.serve(f"/m{number}.zip", data)
        made.append(wanted(f"m{number}", url, data, **{"strip_components": 1, "kind": "model", **more}))
    install(root, *made)
    for number, artifact in enumerate(made):
        used(root, artifact, days_ago=(count - number) * 0.1)
    return made


def used(root: Path, artifact: Artifact, days_ago: float) -> None:
    """Let ``artifact`` be last used ``days_ago``."""
    moment = time.time() - days_ago * DAY
    os.utime(root / "last_used" / artifact.sha256, (moment, moment))


def present(root: Path) -> set[str]:
    return {path.stem for path in (root / "refs").glob("*.json")}


def moment(jump_days: float = 0.0) -> Instant:
    """Return now, with the wall clock ``jump_days`` ahead.

    The clock was set after the store was made.
    """
    return Instant(boot_id(), boottime(), time.time() + jump_days * DAY)


def snapshot(root: Path) -> dict[str, Any]:
    """Return everything about a store that a reader could see."""
    return {
        str(path.relative_to(root)): (os.lstat(path).st_mode, path.is_file() and path.read_bytes())
        for path in sorted(root.rglob("*"))
        if "locks" not in path.parts and "last_used" not in path.parts
    }


def consistent(root: Path) -> bool:
    """Return whether generated files, refs and trees agree, by ``sha256sum``."""
    refs = {p.stem: json.loads(p.read_text()) for p in (root / "refs").glob("*.json")}
    listed = json.loads((root / "version-manifest.json").read_text())["artifacts"]
    assert {name: ref["sha256"] for name, ref in refs.items()} == {k: v["sha256"] for k, v in listed.items()}
    lines = (root / "checksums.txt").read_text().splitlines()
    files = [p for p in (root / "trees").rglob("*") if p.is_file() and p.parts[-2] != "trees"]
    used = {ref["sha256"] for ref in refs.values()}
    assert len(lines) == sum(1 for f in files if f.relative_to(root).parts[1] in used)
    if lines:
        subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "checksums.txt"], cwd=root, check=True)
    return not os.listdir(root / "staging") and not os.listdir(root / "trash")


def flip(path: Path) -> None:
    """Change one byte and hide it from a quick look."""
    status = path.stat()
    with path.open("r+b") as stream:
        stream.seek(100)
        byte = stream.read(1)[0]
        stream.seek(100)
        stream.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
