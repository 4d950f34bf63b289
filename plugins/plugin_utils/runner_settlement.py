"""What the controller does about a pool before and after the host's part: labels, removals, and waiting for
online.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.github.views import RegisteredRunner
from ansible_collections.coldvox.ci.plugins.module_utils.runner.labels import same_labels
from ansible_collections.coldvox.ci.plugins.module_utils.runner.plan import Step

Found = Mapping[str, RegisteredRunner]
# A runner needs a second or two; after that, asking more often would only cost requests.
_FIRST_POLL_SECONDS = 0.5
_POLL_SECONDS = 4.0


class Settlement:
    """Brings GitHub's side to what the host's side is; ``now`` is a monotonic clock."""

    def __init__(
        self,
        runners: Runners,
        online_timeout_seconds: float,
        sleep: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self._runners = runners
        self._timeout_seconds = online_timeout_seconds
        self._sleep = sleep
        self._now = now

    def withdraw_labels(self, instances: Sequence[Mapping[str, Any]], found: Found) -> Found:
        """Take the custom labels off instances that are to rest, before the host waits for their jobs.

        Returns GitHub's view afterwards.
        """
        current = dict(found)
        for instance in instances:
            key = instance["name"].lower()
            if instance["state"] == "drained" and key in current:
                current[key] = self._relabelled(current[key], [])
        return current

    def settle(self, answers: Sequence[Mapping[str, Any]], found: Found) -> Found:
        """Delete, relabel and wait as the host's ``answers`` ask for; return GitHub's view afterwards.

        Raises CiError when a runner that was started is not online in time.
        """
        current = dict(found)
        for answer in answers:
            key = answer["name"].lower()
            if Step.DELETE_REGISTRATION.value in answer["steps"] and key in current:
                self._runners.delete(current.pop(key))
        started = [answer["name"] for answer in answers if Step.START.value in answer["steps"]]
        if started:
            current.update(self._wait_online(started))
        for answer in answers:
            key = answer["name"].lower()
            if answer["state"] != "absent" and answer["steps"] and key in current:
                wanted = answer["wanted_labels"] if answer["state"] == "present" else []
                current[key] = self._relabelled(current[key], wanted)
        return current

    def _relabelled(self, runner: RegisteredRunner, wanted: Sequence[str]) -> RegisteredRunner:
        if same_labels(wanted, runner.custom_labels):
            return runner
        labels = self._runners.set_labels(runner, wanted)
        return dataclasses.replace(runner, labels=labels, custom_labels=tuple(wanted))

    def _wait_online(self, names: Sequence[str]) -> Found:
        deadline, pause = self._now() + self._timeout_seconds, _FIRST_POLL_SECONDS
        while True:
            found = self._runners.find(names)
            late = [
                name for name in names if name.lower() not in found or found[name.lower()].status != "online"
            ]
            if not late:
                return found
            if self._now() >= deadline:
                raise CiError(
                    f"Runner '{late[0]}' was started but is not online at GitHub after "
                    f"{self._timeout_seconds:g} s; see 'journalctl -u coldvox-runner@{late[0]}' on the host.",
                    failed_instances=late,
                )
            self._sleep(pause)
            pause = min(2 * pause, _POLL_SECONDS)
