# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules and sentences about runners that the pool takes over. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import RegisteredRunner
from ansible_collections.coldvox.ci.plugins.module_utils.runner.takeover import RETIRE

#: A runner on the host, as the module reports it.
HostReport = Mapping[str, Any]
Registered = Mapping[str, RegisteredRunner]


def refusals(
    reports: Sequence[HostReport],
    unlisted: Sequence[HostReport],
    instances: Sequence[Mapping[str, Any]],
    registered: Registered,
) -> list[str]:
    """Return why the inventory cannot take over the runners of a host.

    ``reports`` have the name of one of ``instances``, ``unlisted`` none of these names. ``registered`` has
    GitHub's view by lower-case name.
    """
    wanted = {instance["name"].lower(): instance for instance in instances}
    problems = [_unlisted(runner, registered.get(runner["name"].lower())) for runner in unlisted]
    for runner in reports:
        instance = wanted[runner["name"].lower()]
        if instance["state"] != "absent" and runner["configured"]:
            problems += _differences(runner, instance, registered.get(runner["name"].lower()))
    return problems


def _unlisted(runner: HostReport, remote: Optional[RegisteredRunner]) -> str:
    labels = f" with 'labels: [{', '.join(remote.custom_labels)}]'" if remote and remote.custom_labels else ""
    return (
        f"Runner '{runner['name']}', installed by hand in '{runner['root']}', is not in "
        f"github_runner_instances; add '- name: {runner['name']}'{labels} there, or with 'state: absent' to "
        "remove the runner."
    )


def _differences(
    runner: HostReport, instance: Mapping[str, Any], remote: Optional[RegisteredRunner]
) -> Iterator[str]:
    has = {label.lower() for label in instance["labels"]}
    lost = [label for label in (remote.custom_labels if remote else ()) if label.lower() not in has]
    if lost:
        yield (
            f"Runner '{runner['name']}' has the labels {', '.join(lost)} at GitHub and its instance in the "
            "inventory has not, so jobs that ask for them would wait for ever; add them to its labels, or "
            "remove "
            "them from the runner at GitHub."
        )
    former, group = (text or "Default" for text in (runner["group"], instance["group"]))
    if former.lower() != group.lower():
        yield (
            f"Runner '{runner['name']}' is in the runner group '{former}' and its instance in the inventory "
            "in "
            f"'{group}'; give both the same group."
        )


def not_ready(
    report: HostReport, instance: Mapping[str, Any], remote: Optional[RegisteredRunner]
) -> Optional[str]:
    """Return why the old runner's key must stay, or None.

    The pool's instance must be registered and online, or gone if the inventory says so.
    """
    if RETIRE not in report["steps"]:
        return None
    name = report["name"]
    if instance["state"] == "absent":
        gone = remote is None or remote.id != report["id"]
        return None if gone else f"Runner '{name}' is still registered at GitHub; remove it there first."
    over = bool(instance["ephemeral"]) and remote is None
    ours = remote is not None and remote.id == report["pool_id"]
    works = ours and remote is not None and (remote.status == "online" or instance["state"] == "drained")
    if works or (over and report["pool_id"] is not None):
        return None
    return (
        f"Runner '{name}' of the pool is not online at GitHub, so the registration in '{report['root']}' "
        "stays; "
        f"see 'journalctl -u coldvox-runner@{name}' on the host, then run adopt.yml again."
    )


def not_free(report: HostReport) -> Optional[str]:
    """Return why the old runner cannot go back yet, or None."""
    if not report["steps"] or report["pool_id"] is None:
        return None
    return (
        f"The pool still has {report['name']}, so the old runner cannot go back; remove that instance with "
        "state: absent first, as adopt.yml does."
    )


def sentences(reports: Sequence[HostReport], instances: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a takeover of the runners does, for people."""
    wanted = {instance["name"].lower(): instance for instance in instances}
    return [_sentence(report, wanted[report["name"].lower()]) for report in reports if report["configured"]]


def _sentence(report: HostReport, instance: Mapping[str, Any]) -> str:
    name, unit = report["name"], report["unit"]
    way = unit or "no unit"
    now = "runs a job" if report["busy"] else "is idle" if report["running"] else "is stopped"
    wait = ", after its job" if report["busy"] else ""
    stop = f"stop it{wait}, " if report["running"] else ""
    labels = ", ".join(instance["labels"]) or "no own labels"
    if instance["state"] == "absent":
        then = "remove its registration at GitHub"
    else:
        then = f"register '{name}' for the pool with {labels}, and wait until it is online"
    disable = f"disable {unit} and " if unit else ""
    return (
        f"Runner '{name}' in '{report['root']}' ({way}, account {report['user']}) {now}. The takeover will "
        f"{stop}"
        f"{then}, then {disable}remove key and registration from '{report['root']}'. All other files there "
        "stay."
    )
