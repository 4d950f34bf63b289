# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part in the removal of registrations that nobody wants any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.orphans import Unlisted, Verdict, judge


def judge_orphans(runners: Runners, unlisted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a verdict for every registration that the host has and the inventory does not name.

    Costs nothing where there is none.
    """
    if not unlisted:
        return []
    found = runners.find([one["name"] for one in unlisted])
    verdicts = []
    for one in unlisted:
        runner = found.get(one["name"].lower())
        online = runner is not None and (runner.status == "online" or runner.busy)
        verdict = judge(Unlisted(**one), runner.id if runner else None, online=online)
        if verdict is not Verdict.KEEP:
            verdicts.append({"name": one["name"], "id": one["id"], "verdict": verdict.value})
    return verdicts


def remove_orphans(runners: Runners, verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Remove the registrations that are to go."""
    doomed = [one["name"] for one in verdicts if one["verdict"] == Verdict.REMOVE.value]
    for runner in runners.find(doomed).values() if doomed else ():
        if runner.status != "online" and not runner.busy:
            runners.delete(runner)
