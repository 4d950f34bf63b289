# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of ``coldvox.ci.github_runner_check``; nothing runs on the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Client
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import RegisteredRunner, Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import (
    RUNNER_SPEC,
    check_architecture,
    hook_paths,
    hooks_refusal,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.orphans import OwnRegistration
from ansible_collections.coldvox.ci.plugins.module_utils.runner.plan import Local, Remote, check_takeover
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_action import GithubAction
from ansible_collections.coldvox.ci.plugins.plugin_utils.public_repository import refuse_public


class ActionModule(GithubAction):
    """The action that refuses a pool before its first change."""

    WRITES = True
    SPEC = {  # noqa: RUF012 - the base class says ClassVar
        "instances": {"type": "list", "elements": "dict", "required": True},
        "replace": RUNNER_SPEC["replace"],
        "public_repository": RUNNER_SPEC["public_repository"],
        "host": {"type": "dict", "required": True},
        "hooks_follow": {"type": "bool", "default": False},
        "machine": {"type": "str", "required": True},
    }

    def perform(self, client: Client, options: dict[str, Any]) -> dict[str, Any]:
        """Return a result without a change, or raise CiError with every reason."""
        wanted = [instance for instance in options["instances"] if instance["state"] == "present"]
        own = {owned["name"]: OwnRegistration(**owned) for owned in options["host"]["registrations"]}
        reasons = [*_refused_on_host(wanted, options)]
        try:
            registered = Runners(client).find([instance["name"] for instance in wanted])
            if options["public_repository"] == "refuse":
                refuse_public(client, wanted, registered)
            for instance in wanted:
                _check_name(instance["name"], options["replace"], own, registered)
        except CiError as error:
            if not (error.details.get("may_pass") and own):
                reasons.append(str(error))
            else:
                self._display.warning(str(error))
        if reasons:
            raise CiError(f"{' '.join(reasons)} Nothing was changed.")
        return {"changed": False}


def _check_name(
    name: str, replace: str, own: Mapping[str, OwnRegistration], registered: Mapping[str, RegisteredRunner]
) -> None:
    """Raise CiError if ``name`` has a registration that the host may not replace."""
    runner = registered.get(name.lower())
    if runner is not None:
        known = own.get(name, OwnRegistration(name, None, None, announced=False))
        local = Local(agent_id=known.agent_id, recorded_id=known.recorded_id, announced=known.announced)
        check_takeover(name, replace, local, Remote(runner.id, runner.status == "online"))


def _refused_on_host(wanted: list[dict[str, Any]], options: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the host refuses the instances ``wanted``."""
    missing = set() if options["hooks_follow"] else set(options["host"]["missing_files"])
    for instance in wanted:
        try:
            check_architecture(instance["labels"], options["machine"])
        except CiError as error:
            yield str(error)
        lost = sorted(missing.intersection(hook_paths(instance["environment"])))
        if lost:
            yield hooks_refusal(instance["name"], lost)
