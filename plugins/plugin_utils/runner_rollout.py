# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool brought to its state in rounds: what is idle or new at once, what works one instance at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional, Protocol

from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import RegisteredRunner, Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.plan import Step

from .runner_settlement import Answer, Settlement

Instance = Mapping[str, Any]
_REGISTERING = frozenset([Step.CONFIGURE.value, Step.ENROL_JIT.value])


class OnHost(Protocol):
    """Executes the module on the host for ``instances``; ``more`` are further arguments."""

    def __call__(self, instances: Sequence[Instance], **more: Any) -> dict[str, Any]: ...


class Rollout:
    """Works on one pool. ``answers`` and ``troubles`` are by name, the latest word on each instance."""

    def __init__(self, on_host: OnHost, runners: Runners, settlement: Settlement, *, check: bool) -> None:
        self._on_host = on_host
        self._runners = runners
        self._settlement = settlement
        self._check = check
        self._token = ""
        self._failed_upgrade = ""
        self.answers: dict[str, Answer] = {}
        self.troubles: dict[str, str] = {}

    def perform(self, instances: Sequence[Instance]) -> dict[str, Any]:
        """Bring ``instances`` to their state and return the host's first answer, which tells what changes.

        Trouble with one instance does not stop the others. Whatever happens, no runner stays without the
        labels that were taken off for a wait.
        """
        first = self._on_host(instances)
        self._hear(first)
        if self._check:
            return first
        done = [one for one in first["runners"] if not one["controller"]["deferred"]]
        self._see_through(done)
        deferred = [one for one in first["runners"] if one["controller"]["deferred"]]
        by_name = {one["name"]: one for one in instances}
        resting = [one for one in deferred if one["state"] != "present"]
        working = [one for one in deferred if one["state"] == "present"]
        new = [one for one in working if _is_new(one)]
        for group in (resting, new):
            self._round([by_name[one["name"]] for one in group], group)
        for one in working:
            if not _is_new(one):
                self._change(by_name[one["name"]], one)
        return first

    def _change(self, instance: Instance, answer: Answer) -> None:
        """Change one instance that works; one that does not come online in a new version gets the old one
        back, and no other one gets the new one then.
        """
        name, upgraded = answer["name"], Step.LINK_TREE.value in answer["steps"]
        if upgraded and self._failed_upgrade:
            self.troubles[name] = (
                f"Runner '{name}' was left as it is, because the upgrade of '{self._failed_upgrade}' failed."
            )
            return
        if self._is_running_jit(answer) and not self._end_jit(instance, answer):
            return
        self._round([instance], [answer])
        trouble, former = self.troubles.get(name), self.answers[name]["controller"]["former_archive"]
        if trouble and upgraded and former:
            self._failed_upgrade = name
            self.troubles.pop(name)
            self._round([instance], [answer], archive=former)
            version = self.answers[name]["controller"]["program_version"]
            back = self.troubles.get(name) or f"It has version {version} again and works."
            self.troubles[name] = f"{trouble} {back}"

    def _round(self, instances: Sequence[Instance], answers: Sequence[Answer], **more: Any) -> None:
        """Take labels off, let the host do its part, and bring GitHub's side to it."""
        if not instances:
            return
        settlement = self._settlement
        try:
            settlement.withdraw_labels(answers)
            given = self._given(instances, answers)
            self._hear(self._on_host(instances, prepared=True, **given, **more))
            self._see_through([self.answers[one["name"]] for one in instances])
        except CiError as error:
            for one in instances:
                self.troubles.setdefault(one["name"], str(error))
        finally:
            settlement.put_labels_back()

    def _given(self, instances: Sequence[Instance], answers: Sequence[Answer]) -> dict[str, Any]:
        """Return what the host needs for registrations: one token for all, a configuration for each JIT
        runner.
        """
        given: dict[str, Any] = {}
        if any(Step.CONFIGURE.value in one["steps"] for one in answers):
            self._token = self._token or self._runners.registration_token()
            given["registration_token"] = self._token
        made = [
            self._settlement.make_jit(answer, instance["group"], instance["work_dir"])
            for instance, answer in zip(instances, answers)
            if Step.ENROL_JIT.value in answer["steps"]
        ]
        if made:
            given["jit_configs"] = [
                {"name": one.runner.name, "id": one.runner.id, "config": one.encoded} for one in made
            ]
        return given

    @staticmethod
    def _is_running_jit(answer: Answer) -> bool:
        return {Step.STOP.value, Step.ENROL_JIT.value} <= set(answer["steps"])

    def _end_jit(self, instance: Instance, answer: Answer) -> bool:
        """Stop a runner whose name GitHub has to free for another registration; return whether it rests."""
        name = answer["name"]
        quiet = {**answer, "steps": [Step.WITHDRAW_LABELS.value, Step.STOP.value]}
        self._round([{**instance, "state": "drained"}], [quiet])
        return name not in self.troubles

    def _hear(self, answer: Mapping[str, Any]) -> None:
        """Take in what the host said; trouble that is about nothing in particular is an error."""
        if "runners" not in answer:
            details = {key: value for key, value in answer.items() if key not in ("msg", "failed")}
            raise CiError(str(answer.get("msg", "The host gave no answer; run again with -vvv.")), **details)
        failed = answer.get("failed_instances") or []
        for one in answer["runners"]:
            self.answers[one["name"]] = one
            if one["name"] in failed:
                self.troubles[one["name"]] = one["reason"]

    def _see_through(self, answers: Sequence[Answer]) -> None:
        self.troubles.update(
            self._settlement.settle([one for one in answers if one["name"] not in self.troubles])
        )

    def completed(self) -> list[dict[str, Any]]:
        """Return the result for each instance, the host's and GitHub's view of it together."""
        return [
            _completed(answer, self._settlement.current.get(name.lower()), self.troubles.get(name, ""))
            for name, answer in self.answers.items()
        ]


def _is_new(answer: Answer) -> bool:
    return Step.STOP.value not in answer["steps"] and not _REGISTERING.isdisjoint(answer["steps"])


def _completed(answer: Answer, runner: Optional[RegisteredRunner], trouble: str) -> dict[str, Any]:
    own = {key: value for key, value in answer.items() if key != "controller"}
    if trouble:
        own.update(outcome="failed", reason=trouble)
    if runner is None:
        return {**own, "id": None, "status": "offline", "busy": False, "labels": [], "version": ""}
    view = {"id": runner.id, "status": runner.status, "busy": runner.busy, "version": runner.version}
    return {**own, **view, "labels": list(runner.labels)}
