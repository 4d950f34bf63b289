# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of ``coldvox.ci.github_runner_info``; nothing runs on the host."""

from __future__ import annotations

from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Client
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import (
    RegisteredRunner,
    Runners,
    newest_version,
    standing,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_action import GithubAction


class ActionModule(GithubAction):
    """The action that lists runners, and how far their versions are behind."""

    SPEC = {"names": {"type": "list", "elements": "str"}}  # noqa: RUF012 - the base class says ClassVar

    def perform(self, client: Client, options: dict[str, Any]) -> dict[str, Any]:
        """Return the runners, sorted by name.

        The packages and the groups take one request each, and so does the end of support of each outdated
        version.
        """
        runners = Runners(client)
        names = options["names"]
        registered = runners.all() if names is None else list(runners.find(names).values())
        newest = newest_version(runners.downloads()) if registered else ""
        groups = {group.id: group.name for group in runners.groups()} if registered else {}
        versions = sorted(
            {runner.version for runner in registered if standing(runner.version, newest).outdated}
        )
        ends = {version: runners.support_ends_at(version) for version in versions}
        listed = {runner.name.lower() for runner in registered}
        return {
            "changed": False,
            "runners": [
                _view(runner, newest, groups, ends)
                for runner in sorted(registered, key=lambda runner: runner.name.lower())
            ],
            "missing": [name for name in names or () if name.lower() not in listed],
            "newest_version": newest,
        }


def _view(
    runner: RegisteredRunner, newest: str, groups: dict[int, str], ends: dict[str, str]
) -> dict[str, Any]:
    outdated, behind = standing(runner.version, newest)
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
