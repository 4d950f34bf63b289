# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The removal of registrations that the inventory no longer names.

This is the controller's part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.orphans import Unlisted, Verdict, judge


def judge_orphans(runners: Runners, unlisted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a verdict for each registration of the host that is not listed.

    Without such registrations it sends no request.
    """
    if not unlisted:
        return []
    registered = runners.find([orphan["name"] for orphan in unlisted])
    verdicts = []
    for orphan in unlisted:
        runner = registered.get(orphan["name"].lower())
        online = runner is not None and (runner.status == "online" or runner.busy)
        verdict = judge(Unlisted(**orphan), runner.id if runner else None, online=online)
        if verdict is not Verdict.KEEP:
            verdicts.append({"name": orphan["name"], "id": orphan["id"], "verdict": verdict.value})
    return verdicts


def remove_orphans(runners: Runners, verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Delete the registrations whose verdict is ``remove`` and that are still offline."""
    names = [orphan["name"] for orphan in verdicts if orphan["verdict"] == Verdict.REMOVE.value]
    for runner in runners.find(names).values() if names else ():
        if runner.status != "online" and not runner.busy:
            runners.delete(runner)
