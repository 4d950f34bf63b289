# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of ``coldvox.ci.github_manual_runner``.

The first execution of the module only looks. The second one changes, after the controller has checked the
inventory against GitHub and removed labels or requested a token.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Callable, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import RegisteredRunner, Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import BY_HAND_SPEC, normal_instances
from ansible_collections.coldvox.ci.plugins.module_utils.runner.takeover import (
    ABSENT,
    DRAINED,
    PRESENT,
    REGISTER,
    START,
    STOP,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import CREDENTIAL_OPTIONS, connect
from ansible_collections.coldvox.ci.plugins.plugin_utils.runner_takeover import (
    not_free,
    not_ready,
    refusals,
    sentences,
)

MODULE = "coldvox.ci.github_manual_runner"
_ACTION_ONLY = CREDENTIAL_OPTIONS | {"registered", "prepared", "registration_token"}
_POLL_SECONDS = 1.0
Report = Mapping[str, Any]
Registered = Mapping[str, RegisteredRunner]


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The action that looks, checks, and then lets the module act."""

    _supports_check_mode = True
    _supports_async = False
    #: What the host reported before any change; a failure returns it too.
    _seen: Mapping[str, Any] = MappingProxyType({})

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the module's last result, or a failure with the text of a CiError."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self.validate_argument_spec(argument_spec=BY_HAND_SPEC)[1]
        try:
            result.update(self._perform(options, task_vars or {}))
        except CiError as error:
            result.update(self._seen)
            result.update(error.details)
            result.update(failed=True, msg=str(error))
        return result

    def _perform(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        state = options["state"]
        instances = normal_instances({**options, "state": "present"})
        client = connect(options)
        runners = Runners(client)
        arguments = {key: value for key, value in self._task.args.items() if key not in _ACTION_ONLY}
        arguments["url"] = client.scope.url

        def on_host(**more: Any) -> dict[str, Any]:
            """Run the module on the host, without the credential."""
            done: dict[str, Any] = self._execute_module(
                module_name=MODULE, module_args={**arguments, **more}, task_vars=variables
            )
            return _checked(done)

        seen = self._seen = on_host()
        unlisted = seen.pop("unlisted")
        names = [runner["name"] for runner in (*seen["runners"], *unlisted)]
        registered = runners.find(names) if names else {}
        view = [asdict(runner) for runner in registered.values()]
        if state == DRAINED:
            problems = refusals(seen["runners"], unlisted, instances, registered)
            if problems:
                raise CiError(" ".join(problems))
            seen["plan"] = sentences(seen["runners"], instances)
        elif state == PRESENT and registered:
            seen = on_host(registered=view)
        if not seen["changed"] or self._task.check_mode:
            return seen
        _check_ready(state, seen["runners"], instances, registered)
        done = _act(runners, on_host, seen["runners"], registered, view)
        if state == PRESENT:
            self._restore(runners, done["runners"], options["online_timeout_seconds"])
        return {**done, "plan": seen.get("plan", [])}

    def _restore(self, runners: Runners, reports: Sequence[Report], timeout_seconds: int) -> None:
        """Wait until the started runners are online, and give them their labels back."""
        for report in reports:
            if START not in report["steps"] or not report["unit"]:
                continue
            deadline = time.monotonic() + timeout_seconds
            while True:
                runner = runners.find([report["name"]]).get(report["name"].lower())
                if runner and runner.status == "online":
                    break
                if time.monotonic() >= deadline:
                    raise CiError(
                        f"Runner '{report['name']}' was started again but is not online at GitHub after "
                        f"{timeout_seconds} s; see 'journalctl -u {report['unit']}' on the host."
                    )
                time.sleep(_POLL_SECONDS)
            runners.set_labels(runner, report["former_labels"])


def _checked(done: dict[str, Any]) -> dict[str, Any]:
    """Return the module's result; raises CiError if it has no ``runners``."""
    if "runners" not in done:
        details = {key: value for key, value in done.items() if key not in ("msg", "failed")}
        raise CiError(str(done.get("msg", "The module gave no result; run again with -vvv.")), **details)
    return done


def _check_ready(
    state: str, reports: Sequence[Report], instances: Sequence[Mapping[str, Any]], registered: Registered
) -> None:
    """Raise CiError if the pool's instance does not work yet, or is still there."""
    wanted = {instance["name"].lower(): instance for instance in instances}
    for report in reports:
        key = report["name"].lower()
        reason = None
        if state == ABSENT:
            reason = not_ready(report, wanted[key], registered.get(key))
        elif state == PRESENT:
            reason = not_free(report)
        if reason:
            raise CiError(reason)


def _act(
    runners: Runners,
    on_host: Callable[..., dict[str, Any]],
    reports: Sequence[Report],
    registered: Registered,
    view: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Let the host do its steps, without labels meanwhile; a failure restores them."""
    steps = {step for report in reports for step in report["steps"]}
    more = {"registration_token": runners.registration_token()} if REGISTER in steps else {}
    withdrawn = _withdraw(runners, reports, registered)
    try:
        return on_host(prepared=True, registered=view, **more)
    except CiError:
        for runner in withdrawn:
            runners.set_labels(runner, runner.custom_labels)
        raise


def _withdraw(runners: Runners, reports: Sequence[Report], registered: Registered) -> list[RegisteredRunner]:
    """Remove the labels of runners that will stop; return these runners as they were."""
    stopping = [registered.get(report["name"].lower()) for report in reports if STOP in report["steps"]]
    labelled = [runner for runner in stopping if runner and runner.custom_labels]
    for runner in labelled:
        runners.set_labels(runner, [])
    return labelled
