# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``coldvox.ci.github_runner``: holds the credential, asks GitHub, runs the module on the
host.

Nothing to change costs one list call and one execution on the host. A registration token is minted only
after the host has said that it needs one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.github.views import RegisteredRunner
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import RUNNER_SPEC, normal_instances
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_door import CREDENTIAL_OPTIONS, connect
from ansible_collections.coldvox.ci.plugins.plugin_utils.runner_settlement import Settlement

MODULE = "coldvox.ci.github_runner"
_ACTION_ONLY = CREDENTIAL_OPTIONS | {"registered", "registration_token"}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """Runs the module once, or twice when an instance has to be registered."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the module's result, completed by what GitHub says afterwards."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self.validate_argument_spec(argument_spec=RUNNER_SPEC)[1]
        try:
            result.update(self._converge(options, task_vars or {}))
        except CiError as error:
            result.update(error.details)
            result.update(failed=True, msg=str(error))
        return result

    def _converge(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        instances = normal_instances(options)
        client = connect(options)
        runners = Runners(client)
        found = runners.find([one["name"] for one in instances])
        settlement = Settlement(runners, options["online_timeout_seconds"], time.sleep, time.monotonic)
        check = bool(self._task.check_mode)
        # The host gets the view from before, so that it sees that there was something to do.
        current = found if check else settlement.withdraw_labels(instances, found)
        answer = self._on_host(client.scope.url, found, "", variables)
        if answer.get("needs_registration_token") and not check:
            answer = self._on_host(client.scope.url, found, runners.registration_token(), variables)
        answer.pop("needs_registration_token", None)
        if "runners" not in answer:
            return answer
        lost = answer.get("failed_instances") or []
        done = [one for one in answer["runners"] if one["name"] not in lost]
        try:
            final = found if check else settlement.settle(done, current)
        except CiError as error:
            if not answer.get("failed"):
                raise
            # Both are worth knowing; the host's trouble came first.
            answer["msg"] = f"{answer['msg']} {error}"
            return answer
        answer["runners"] = [_completed(one, final.get(one["name"].lower())) for one in answer["runners"]]
        return answer

    def _on_host(
        self, url: str, found: Mapping[str, RegisteredRunner], token: str, variables: dict[str, Any]
    ) -> dict[str, Any]:
        """Execute the module on the host; the credential stays here."""
        arguments = {key: value for key, value in self._task.args.items() if key not in _ACTION_ONLY}
        arguments["url"] = url
        arguments["registered"] = [asdict(runner) for runner in found.values()]
        if token:
            arguments["registration_token"] = token
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=variables
        )
        return answer


def _completed(answer: dict[str, Any], runner: Optional[RegisteredRunner]) -> dict[str, Any]:
    """Return the host's answer for one instance together with GitHub's view of it."""
    own = {key: value for key, value in answer.items() if key != "wanted_labels"}
    if runner is None:
        return {**own, "id": None, "status": "offline", "busy": False, "labels": [], "version": ""}
    view = {"id": runner.id, "status": runner.status, "busy": runner.busy, "version": runner.version}
    return {**own, **view, "labels": list(runner.labels)}
