# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of ``coldvox.ci.github_runner``.

It holds the credential, sends the requests to GitHub and runs the module on the host. Without a change it
costs one list request and one execution on the host. Registrations, and changes of instances that work, cost
further executions, which come only after the module has reported what to do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import RUNNER_SPEC, normal_instances
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import CREDENTIAL_OPTIONS, connect
from ansible_collections.coldvox.ci.plugins.plugin_utils.public_repository import refuse_public
from ansible_collections.coldvox.ci.plugins.plugin_utils.runner_orphans import (
    judge_orphans,
    remove_orphans,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.runner_registration_sync import RegistrationSync
from ansible_collections.coldvox.ci.plugins.plugin_utils.runner_rollout import Instance, Rollout

MODULE = "coldvox.ci.github_runner"
_ACTION_ONLY = CREDENTIAL_OPTIONS | {
    *("registered", "prepared", "orphans", "registration_token", "jit_configs", "public_repository"),
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The action that runs the module once, and again for steps of the controller."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the module's result, completed with GitHub's view after the changes."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self.validate_argument_spec(argument_spec=RUNNER_SPEC)[1]
        try:
            result.update(self._converge(options, task_vars or {}))
        except CiError as error:
            result.update(error.details)
            result.update(failed=True, msg=str(error))
        return result

    def _remove_without_github(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Remove the instances from the host and leave their registrations."""
        arguments = {key: value for key, value in self._task.args.items() if key not in _ACTION_ONLY}
        arguments.update(prepared=True, registered=[])
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=variables
        )
        for runner in answer.get("runners", []):
            runner.pop("controller", None)
        names = ", ".join(str(instance["name"]) for instance in options["instances"])
        self._display.warning(
            f"Without github_runner_url GitHub still lists {names}; remove what is left of them there, in "
            "the settings of the repository or organization, Actions, Runners."
        )
        return answer

    def _converge(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        instances = normal_instances(options)
        if not options["url"] and all(instance["state"] == "absent" for instance in instances):
            return self._remove_without_github(options, variables)
        client = connect(options, writes=True)
        runners = Runners(client)
        registered = runners.find([instance["name"] for instance in instances])
        if options["public_repository"] == "refuse":
            refuse_public(client, instances, registered)
        timeout_seconds = options["online_timeout_seconds"]
        sync = RegistrationSync(runners, registered, timeout_seconds, time.sleep, time.monotonic)
        # Every execution gets GitHub's view from before the changes, so that the module plans the same steps.
        arguments = {key: value for key, value in self._task.args.items() if key not in _ACTION_ONLY}
        arguments.update(url=client.scope.url, registered=[asdict(runner) for runner in registered.values()])

        def on_host(instances: Sequence[Instance], **more: Any) -> dict[str, Any]:
            """Run the module on the host, without the credential."""
            given = {**arguments, "instances": [dict(instance) for instance in instances], **more}
            done: dict[str, Any] = self._execute_module(
                module_name=MODULE, module_args=given, task_vars=variables
            )
            return done

        rollout = Rollout(on_host, runners, sync, check=bool(self._task.check_mode))
        answer = rollout.perform(instances)
        answer["runners"] = rollout.completed()
        answer["orphans"] = judge_orphans(runners, answer.pop("unlisted", []))
        if answer["orphans"]:
            answer["changed"] = True
            if not self._task.check_mode:
                remove_orphans(runners, answer["orphans"])
                on_host([], prepared=True, orphans=answer["orphans"])
        answer.pop("failed_instances", None)
        if rollout.failures:
            answer.update(
                failed=True,
                msg=" ".join(rollout.failures.values()),
                failed_instances=sorted(rollout.failures),
            )
        return answer
