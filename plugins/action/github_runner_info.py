# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``coldvox.ci.github_runner_info``; nothing runs on the host."""

from __future__ import annotations

from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Client
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import (
    RegisteredRunner,
    Runners,
    newest_version,
    version_gap,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_action import GithubAction


class ActionModule(GithubAction):
    """Lists runners, and says how their versions stand."""

    SPEC = {"names": {"type": "list", "elements": "str"}}  # noqa: RUF012 - the base class says ClassVar

    def perform(self, client: Client, options: dict[str, Any]) -> dict[str, Any]:
        """Return the runners by name; the packages, groups and ends of support are asked once each."""
        runners = Runners(client)
        names = options["names"]
        found = runners.all() if names is None else list(runners.find(names).values())
        newest = newest_version(runners.downloads()) if found else ""
        groups = {group.id: group.name for group in runners.groups()} if found else {}
        versions = sorted({one.version for one in found if version_gap(one.version, newest).outdated})
        ends = {version: runners.support_ends_at(version) for version in versions}
        listed = {one.name.lower() for one in found}
        return {
            "changed": False,
            "runners": [
                _view(one, newest, groups, ends) for one in sorted(found, key=lambda one: one.name.lower())
            ],
            "missing": [name for name in names or () if name.lower() not in listed],
            "newest_version": newest,
        }


def _view(
    runner: RegisteredRunner, newest: str, groups: dict[int, str], ends: dict[str, str]
) -> dict[str, Any]:
    outdated, behind = version_gap(runner.version, newest)
    return {
        "name": runner.name,
        "id": runner.id,
        "status": runner.status,
        "busy": runner.busy,
        "labels": list(runner.labels),
        "custom_labels": list(runner.custom_labels),
        "os": runner.os,
        "group": "" if runner.group_id is None else groups.get(runner.group_id, ""),
        "group_id": runner.group_id,
        "ephemeral": runner.ephemeral,
        "version": runner.version,
        "outdated": outdated,
        "releases_behind": behind,
        "support_ends_at": ends.get(runner.version, ""),
    }
