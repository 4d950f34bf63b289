# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller does about a pool before and after the host's part: labels, removals, and waiting for
online.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import (
    JitRunner,
    RegisteredRunner,
    Runners,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import same_labels
from ansible_collections.coldvox.ci.plugins.module_utils.runner.plan import Step

#: One instance as the host's module describes it.
Answer = Mapping[str, Any]
# A runner needs a second or two; after that, asking more often would only cost requests.
_FIRST_POLL_SECONDS = 0.5
_POLL_SECONDS = 4.0


class Settlement:
    """Brings GitHub's side to what the host's side is; ``current`` is its view, by lower-case name.

    ``now`` is a monotonic clock.
    """

    def __init__(
        self,
        runners: Runners,
        found: Mapping[str, RegisteredRunner],
        online_timeout_seconds: float,
        sleep: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self.current = dict(found)
        self._runners = runners
        self._timeout_seconds = online_timeout_seconds
        self._sleep = sleep
        self._now = now
        self._withdrawn: dict[str, Sequence[str]] = {}

    def withdraw_labels(self, answers: Iterable[Answer]) -> None:
        """Take the custom labels off, so that nothing new comes while the host waits for the running job."""
        for answer in answers:
            key = answer["name"].lower()
            if Step.WITHDRAW_LABELS.value in answer["steps"] and key in self.current:
                self._withdrawn[key] = self.current[key].custom_labels
                self._relabel(key, [])

    def put_labels_back(self) -> None:
        """Give the labels back to all that are still without, because it did not come to what they were
        taken off for.
        """
        while self._withdrawn:
            key, labels = self._withdrawn.popitem()
            if key in self.current:
                self._relabel(key, labels)

    def make_jit(self, answer: Answer, group: str, work_dir: str) -> JitRunner:
        """Register a runner for one job in place of the one that had its name."""
        former = self.current.pop(answer["name"].lower(), None)
        labels = answer["controller"]["jit_labels"]
        return self._runners.register_for_one_job(answer["name"], group, labels, work_dir, former)

    def settle(self, answers: Sequence[Answer]) -> dict[str, str]:
        """Delete, wait and relabel as the host's ``answers`` ask for; return the trouble by name of a runner
        that was started and is not online in time.
        """
        for answer in answers:
            key = answer["name"].lower()
            if Step.DELETE_REGISTRATION.value in answer["steps"] and key in self.current:
                self._runners.delete(self.current.pop(key))
        troubles = self._wait_online([one for one in answers if Step.START.value in one["steps"]])
        for answer in answers:
            key = answer["name"].lower()
            if answer["name"] in troubles or not answer["steps"]:
                continue
            self._withdrawn.pop(key, None)
            if answer["state"] != "absent" and key in self.current:
                wanted = answer["controller"]["wanted_labels"] if answer["state"] == "present" else []
                self._relabel(key, wanted)
        return troubles

    def _relabel(self, key: str, wanted: Sequence[str]) -> None:
        runner = self.current[key]
        if not same_labels(wanted, runner.custom_labels):
            labels = self._runners.set_labels(runner, wanted)
            self.current[key] = dataclasses.replace(runner, labels=labels, custom_labels=tuple(wanted))

    def _wait_online(self, started: Sequence[Answer]) -> dict[str, str]:
        deadline, pause = self._now() + self._timeout_seconds, _FIRST_POLL_SECONDS
        late = list(started)
        while late:
            found = self._runners.find([one["name"] for one in late])
            for one in late:
                self.current.pop(one["name"].lower(), None)
            self.current.update(found)
            late = [one for one in late if not _at_work(one, found.get(one["name"].lower()))]
            if late and self._now() >= deadline:
                break
            if late:
                self._sleep(pause)
                pause = min(2 * pause, _POLL_SECONDS)
        return {one["name"]: self._late(one) for one in late}

    def _late(self, answer: Answer) -> str:
        version = answer["controller"]["program_version"]
        swapped = Step.LINK_TREE.value in answer["steps"] and version
        as_what = f" with version {version}" if swapped else ""
        return (
            f"Runner '{answer['name']}' was started but is not online at GitHub{as_what} after "
            f"{self._timeout_seconds:g} s; see 'journalctl -u {answer['unit']}' on the host."
        )


def _at_work(answer: Answer, runner: RegisteredRunner | None) -> bool:
    """Return whether a started runner is there, in the version that was put there; or has come and gone."""
    if runner is None:
        # GitHub forgets a runner for one job when that is done, which can be before the first look.
        return bool(answer["controller"]["ephemeral"])
    version = answer["controller"]["program_version"]
    swapped = Step.LINK_TREE.value in answer["steps"] and version and runner.version
    return runner.status == "online" and (not swapped or runner.version == version)
