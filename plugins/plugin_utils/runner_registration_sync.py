# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GitHub's registrations of a pool, updated before and after the work on the host.

The controller removes and restores labels, deletes registrations, and waits until runners are online.
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

#: One instance as the module on the host reports it.
HostReport = Mapping[str, Any]
# A runner needs 1 to 2 s to come online. More frequent requests after that time gain nothing.
_FIRST_POLL_SECONDS = 0.5
_POLL_SECONDS = 4.0


class RegistrationSync:
    """The updates that bring GitHub's registrations to the state of the host.

    ``current`` holds GitHub's registered runners by lower-case name. ``now`` is a monotonic clock.
    """

    def __init__(
        self,
        runners: Runners,
        registered: Mapping[str, RegisteredRunner],
        online_timeout_seconds: float,
        sleep: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self.current = dict(registered)
        self._runners = runners
        self._timeout_seconds = online_timeout_seconds
        self._sleep = sleep
        self._now = now
        self._withdrawn: dict[str, Sequence[str]] = {}

    def withdraw_labels(self, reports: Iterable[HostReport]) -> None:
        """Remove the custom labels, so that GitHub sends no new job while the host waits."""
        for report in reports:
            key = report["name"].lower()
            if Step.WITHDRAW_LABELS.value in report["steps"] and key in self.current:
                self._withdrawn[key] = self.current[key].custom_labels
                self._relabel(key, [])

    def restore_labels(self) -> None:
        """Restore the labels of every runner whose work failed after they were removed."""
        while self._withdrawn:
            key, labels = self._withdrawn.popitem()
            if key in self.current:
                self._relabel(key, labels)

    def make_jit(self, report: HostReport, group: str, work_dir: str) -> JitRunner:
        """Register a runner for one job, in place of the runner that had its name."""
        former = self.current.pop(report["name"].lower(), None)
        labels = report["controller"]["jit_labels"]
        return self._runners.enrol_once(report["name"], group, labels, work_dir, former)

    def update_github(self, reports: Sequence[HostReport]) -> dict[str, str]:
        """Delete registrations, wait for started runners and set labels.

        The host's ``reports`` decide which. Returns a failure text by name for each runner that was started
        and is not online in time.
        """
        for report in reports:
            key = report["name"].lower()
            if Step.DELETE_REGISTRATION.value in report["steps"] and key in self.current:
                self._runners.delete(self.current.pop(key))
        late = self._wait_online([report for report in reports if Step.START.value in report["steps"]])
        for report in reports:
            key = report["name"].lower()
            if report["name"] in late or not report["steps"]:
                continue
            self._withdrawn.pop(key, None)
            if report["state"] != "absent" and key in self.current:
                wanted = report["controller"]["wanted_labels"] if report["state"] == "present" else []
                self._relabel(key, wanted)
        return late

    def _relabel(self, key: str, wanted: Sequence[str]) -> None:
        runner = self.current[key]
        if not same_labels(wanted, runner.custom_labels):
            labels = self._runners.set_labels(runner, wanted)
            self.current[key] = dataclasses.replace(runner, labels=labels, custom_labels=tuple(wanted))

    def _wait_online(self, started: Sequence[HostReport]) -> dict[str, str]:
        deadline, pause = self._now() + self._timeout_seconds, _FIRST_POLL_SECONDS
        late = list(started)
        while late:
            registered = self._runners.find([report["name"] for report in late])
            for report in late:
                self.current.pop(report["name"].lower(), None)
            self.current.update(registered)
            late = [report for report in late if not _at_work(report, registered.get(report["name"].lower()))]
            if late and self._now() >= deadline:
                break
            if late:
                self._sleep(pause)
                pause = min(2 * pause, _POLL_SECONDS)
        return {report["name"]: self._late_reason(report) for report in late}

    def _late_reason(self, report: HostReport) -> str:
        version = report["controller"]["program_version"]
        swapped = Step.LINK_TREE.value in report["steps"] and version
        with_version = f" with version {version}" if swapped else ""
        return (
            f"Runner '{report['name']}' was started but is not online at GitHub{with_version} after "
            f"{self._timeout_seconds:g} s; see 'journalctl -u {report['unit']}' on the host."
        )


def _at_work(report: HostReport, runner: RegisteredRunner | None) -> bool:
    """Return whether a started runner is online in the installed version.

    A runner for one job may also have done its job already.
    """
    if runner is None:
        # GitHub deletes an ephemeral runner after its job, which can be before the first request here.
        return bool(report["controller"]["ephemeral"])
    version = report["controller"]["program_version"]
    swapped = Step.LINK_TREE.value in report["steps"] and version and runner.version
    return runner.status == "online" and (not swapped or runner.version == version)
