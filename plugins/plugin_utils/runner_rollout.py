# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which the instances of a pool change.

Idle and new instances change together. Instances that work change one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional, Protocol

from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import RegisteredRunner, Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.plan import Step

from .runner_registration_sync import HostReport, RegistrationSync

Instance = Mapping[str, Any]
_REGISTERING = frozenset([Step.CONFIGURE.value, Step.ENROL_JIT.value])


class OnHost(Protocol):
    """A function that runs the module on the host.

    ``more`` are further arguments.
    """

    def __call__(self, instances: Sequence[Instance], **more: Any) -> dict[str, Any]: ...


class Rollout:
    """The rounds that change one pool.

    ``reports`` and ``failures`` hold the latest report and failure of each instance by name.
    """

    def __init__(self, on_host: OnHost, runners: Runners, sync: RegistrationSync, *, check: bool) -> None:
        self._on_host = on_host
        self._runners = runners
        self._sync = sync
        self._check = check
        self._token = ""
        self._failed_upgrade = ""
        self.reports: dict[str, HostReport] = {}
        self.failures: dict[str, str] = {}

    def perform(self, instances: Sequence[Instance]) -> dict[str, Any]:
        """Bring ``instances`` to their state and return the module's first result.

        This result lists the changes. A failure of one instance does not stop the others. Every runner gets
        its labels back, also after a failure.
        """
        first = self._on_host(instances)
        self._record(first)
        if self._check:
            return first
        done = [report for report in first["runners"] if not report["controller"]["deferred"]]
        self._update_github(done)
        deferred = [report for report in first["runners"] if report["controller"]["deferred"]]
        by_name = {instance["name"]: instance for instance in instances}
        resting = [report for report in deferred if report["state"] != "present"]
        working = [report for report in deferred if report["state"] == "present"]
        new = [report for report in working if _is_new(report)]
        for group in (resting, new):
            self._round([by_name[report["name"]] for report in group], group)
        for report in working:
            if not _is_new(report):
                self._change(by_name[report["name"]], report)
        return first

    def _change(self, instance: Instance, report: HostReport) -> None:
        """Change one instance that works.

        If it does not come online in a new version, it gets the old version back, and the remaining instances
        keep the old version.
        """
        name, upgraded = report["name"], Step.LINK_TREE.value in report["steps"]
        if upgraded and self._failed_upgrade:
            self.failures[name] = (
                f"Runner '{name}' was left as it is, because the upgrade of '{self._failed_upgrade}' failed; "
                "correct that one, then run again."
            )
            return
        if self._is_running_jit(report) and not self._end_jit(instance, report):
            return
        self._round([instance], [report])
        failure, former = self.failures.get(name), self.reports[name]["controller"]["former_archive"]
        if failure and upgraded and former:
            self._failed_upgrade = name
            self.failures.pop(name)
            self._round([instance], [report], archive=former)
            version = self.reports[name]["controller"]["program_version"]
            back = self.failures.get(name) or f"It has version {version} again and works."
            self.failures[name] = f"{failure} {back}"

    def _round(self, instances: Sequence[Instance], reports: Sequence[HostReport], **more: Any) -> None:
        """Remove labels, run the module on the host, and update GitHub."""
        if not instances:
            return
        sync = self._sync
        try:
            sync.withdraw_labels(reports)
            given = self._registration_arguments(instances, reports)
            self._record(self._on_host(instances, prepared=True, **given, **more))
            self._update_github([self.reports[instance["name"]] for instance in instances])
        except CiError as error:
            for instance in instances:
                self.failures.setdefault(instance["name"], str(error))
        finally:
            sync.restore_labels()

    def _registration_arguments(
        self, instances: Sequence[Instance], reports: Sequence[HostReport]
    ) -> dict[str, Any]:
        """Return the module's arguments for registrations.

        They are one token for all instances, and a configuration for each JIT runner.
        """
        given: dict[str, Any] = {}
        if any(Step.CONFIGURE.value in report["steps"] for report in reports):
            self._token = self._token or self._runners.registration_token()
            given["registration_token"] = self._token
        made = [
            self._sync.make_jit(report, instance["group"], instance["work_dir"])
            for instance, report in zip(instances, reports)
            if Step.ENROL_JIT.value in report["steps"]
        ]
        if made:
            given["jit_configs"] = [
                {"name": jit.runner.name, "id": jit.runner.id, "config": jit.encoded} for jit in made
            ]
        return given

    @staticmethod
    def _is_running_jit(report: HostReport) -> bool:
        return {Step.STOP.value, Step.ENROL_JIT.value} <= set(report["steps"])

    def _end_jit(self, instance: Instance, report: HostReport) -> bool:
        """Stop a JIT runner, because GitHub must free its name; return whether it stopped."""
        name = report["name"]
        quiet = {**report, "steps": [Step.WITHDRAW_LABELS.value, Step.STOP.value]}
        self._round([{**instance, "state": "drained"}], [quiet])
        return name not in self.failures

    def _record(self, result: Mapping[str, Any]) -> None:
        """Record the module's result.

        Raises CiError if it has no ``runners``.
        """
        if "runners" not in result:
            details = {key: value for key, value in result.items() if key not in ("msg", "failed")}
            raise CiError(
                str(result.get("msg", "The module gave no result; run again with -vvv.")), **details
            )
        failed = result.get("failed_instances") or []
        for report in result["runners"]:
            self.reports[report["name"]] = report
            if report["name"] in failed:
                self.failures[report["name"]] = report["reason"]

    def _update_github(self, reports: Sequence[HostReport]) -> None:
        self.failures.update(
            self._sync.update_github([report for report in reports if report["name"] not in self.failures])
        )

    def completed(self) -> list[dict[str, Any]]:
        """Return the host's report and GitHub's view of each instance together."""
        return [
            _completed(report, self._sync.current.get(name.lower()), self.failures.get(name, ""))
            for name, report in self.reports.items()
        ]


def _is_new(report: HostReport) -> bool:
    return Step.STOP.value not in report["steps"] and not _REGISTERING.isdisjoint(report["steps"])


def _completed(report: HostReport, runner: Optional[RegisteredRunner], failure: str) -> dict[str, Any]:
    own = {key: value for key, value in report.items() if key != "controller"}
    if failure:
        own.update(outcome="failed", reason=failure)
    if runner is None:
        return {**own, "id": None, "status": "offline", "busy": False, "labels": [], "version": ""}
    view = {"id": runner.id, "status": runner.status, "busy": runner.busy, "version": runner.version}
    return {**own, **view, "labels": list(runner.labels)}
