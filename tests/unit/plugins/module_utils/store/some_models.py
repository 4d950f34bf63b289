"""A store with several small models, and the clock to judge them by."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.host.clock import boot_id, boottime
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import Artifact
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import Instant

from tests.faults.support import FaultServer, install, model_zip, wanted

DAY = 86400.0


def models(server: FaultServer, root: Path, count: int, **more: Any) -> list[Artifact]:
    """Return ``count`` installed models m0, m1, …, of about 200 kB each; m0 was used longest ago."""
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
    """Return now, on a machine whose wall clock was set ``jump_days`` ahead since the store was made."""
    return Instant(boot_id(), boottime(), time.time() + jump_days * DAY)
