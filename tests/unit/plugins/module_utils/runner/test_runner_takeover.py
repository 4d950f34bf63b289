"""What is done with a runner that was installed by hand, as tables."""

from __future__ import annotations

import dataclasses
from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import RegisteredRunner
from ansible_collections.coldvox.ci.plugins.module_utils.runner.by_hand import ByHand
from ansible_collections.coldvox.ci.plugins.module_utils.runner.configure import Settings
from ansible_collections.coldvox.ci.plugins.module_utils.runner.plan import (
    Local,
    Remote,
    Wanted,
    check_by_hand,
    plan,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.takeover import (
    ABSENT,
    DRAINED,
    PRESENT,
    RECORD,
    REGISTER,
    RETIRE,
    START,
    STOP,
    Former,
    Seen,
    steps,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.runner_takeover import (
    not_ready,
    refusals,
    sentences,
)

RUNNER = ByHand(
    "/home/x/r", "a.service", "x", Settings(7, "Old", "https://g/o/r", "Default", "_work", False, False)
)
FORMER = Former(RUNNER, ["gpu"], enabled=True)
WORKS = Seen(RUNNER, None, configured=True, running=True, busy=False, enabled=True, pool_id=None)
DRAINED_NOW = WORKS._replace(former=FORMER, running=False)
OVER = DRAINED_NOW._replace(configured=False, enabled=False)


@pytest.mark.parametrize(
    ("state", "seen", "registered", "expected"),
    [
        (DRAINED, WORKS, 7, (RECORD, STOP)),
        (DRAINED, WORKS._replace(running=False), 7, (RECORD,)),
        (DRAINED, DRAINED_NOW, 7, ()),
        (DRAINED, OVER, 9, ()),
        (ABSENT, DRAINED_NOW, 9, (RETIRE,)),
        (ABSENT, OVER._replace(enabled=True), 9, (RETIRE,)),
        (ABSENT, OVER, 9, ()),
        (PRESENT, WORKS, 7, ()),  # it was never taken over
        (PRESENT, DRAINED_NOW, 7, (START,)),
        (PRESENT, DRAINED_NOW._replace(running=True), 7, ()),
        (PRESENT, DRAINED_NOW, None, (REGISTER, START)),
        (PRESENT, DRAINED_NOW, 9, (REGISTER, START)),
        (PRESENT, OVER, None, (REGISTER, START)),
    ],
)
def test_steps_lead_to_the_state(
    state: str, seen: Seen, registered: Optional[int], expected: tuple[str, ...]
) -> None:
    assert steps(state, seen, registered) == expected


WANTED = Wanted("old", "present", fingerprint="f", tree="t", start_digest="s", labels=(), by_hand_id=7)


@pytest.mark.parametrize("replace", ["never", "offline", "always"])
@pytest.mark.parametrize("remote", [Remote(7, online=True), Remote(7, online=False), None])
def test_converge_refuses_the_name_of_a_runner_on_this_host(replace: str, remote: Optional[Remote]) -> None:
    with pytest.raises(CiError, match=r"'old' was installed by hand on this very host, at HERE.*adopt\.yml"):
        check_by_hand(dataclasses.replace(WANTED, replace=replace), Local(), remote, "HERE")


def test_converge_refuses_to_remove_the_registration_of_a_runner_on_this_host() -> None:
    gone = dataclasses.replace(WANTED, state="absent", replace="offline")
    with pytest.raises(CiError, match=r"adopt\.yml"):
        check_by_hand(gone, Local(), Remote(7, online=False), "HERE")
    check_by_hand(dataclasses.replace(gone, replace="never"), Local(), Remote(7, online=False), "HERE")


def test_converge_accepts_leftovers_of_a_runner_that_was_taken_over() -> None:
    ours = Local(exists=True, agent_id=9, recorded_id=9, fingerprint="other")
    check_by_hand(WANTED, ours, Remote(9, online=True), "HERE")
    check_by_hand(WANTED, ours, None, "HERE")
    with pytest.raises(CiError, match="by hand"):
        check_by_hand(WANTED, ours, Remote(7, online=True), "HERE")


@pytest.mark.parametrize("online", [True, False])
def test_adopt_replaces_the_runner_of_this_host_and_no_other(online: bool) -> None:
    adopting = dataclasses.replace(WANTED, replace="adopt")
    check_by_hand(adopting, Local(), Remote(7, online=online), "HERE")
    assert plan(adopting, Local(), Remote(7, online=online)).outcome == "replaced"
    with pytest.raises(CiError, match="is taken by another registration"):
        plan(adopting, Local(), Remote(8, online=True))


REPORT: dict[str, Any] = {
    "name": "Old",
    "root": "/home/x/r",
    "unit": "a.service",
    "user": "x",
    "group": "Default",
    "id": 7,
    "pool_id": None,
    "configured": True,
    "running": True,
    "busy": True,
    "steps": [RECORD, STOP],
}
INSTANCE: dict[str, Any] = {
    "name": "old",
    "labels": ["GPU", "nobara"],
    "group": "",
    "state": "present",
    "ephemeral": False,
}


def at_github(*labels: str, number: int = 7, status: str = "online") -> RegisteredRunner:
    return RegisteredRunner(number, "Old", status, False, labels, labels, "2.336.0")


def refused(report: dict[str, Any], instance: dict[str, Any], *labels: str) -> list[str]:
    return refusals([report], [], [instance], {"old": at_github(*labels)})


def test_takeover_is_refused_for_a_label_that_the_inventory_lacks() -> None:
    assert refused(REPORT, INSTANCE, "gpu") == []
    (problem,) = refused(REPORT, INSTANCE, "gpu", "fast", "big")
    assert "'Old' has the labels fast, big at GitHub" in problem
    assert refused(REPORT, {**INSTANCE, "state": "absent"}, "fast") == []
    assert refused({**REPORT, "configured": False}, INSTANCE, "fast") == []


def test_takeover_is_refused_for_another_group() -> None:
    (problem,) = refused(REPORT, {**INSTANCE, "group": "heavy"})
    assert "in the runner group 'Default' and its instance in the inventory in 'heavy'" in problem
    assert refused({**REPORT, "group": "Heavy"}, {**INSTANCE, "group": "heavy"}) == []


def test_takeover_is_refused_for_a_runner_that_the_inventory_does_not_name() -> None:
    (problem,) = refusals([], [REPORT], [], {"old": at_github("gpu", "nobara")})
    assert "add '- name: Old' with 'labels: [gpu, nobara]' there, or with 'state: absent'" in problem
    (bare,) = refusals([], [REPORT], [], {})
    assert "labels" not in bare


@pytest.mark.parametrize(
    ("instance", "report", "remote", "ready"),
    [
        ({}, {"pool_id": 9}, at_github(number=9), True),
        ({}, {"pool_id": 9}, at_github(number=9, status="offline"), False),
        ({}, {"pool_id": None}, at_github(number=7), False),
        ({}, {"pool_id": 9}, at_github(number=7), False),
        ({}, {"pool_id": 9}, None, False),
        ({"ephemeral": True}, {"pool_id": 9}, None, True),
        ({"ephemeral": True}, {"pool_id": None}, None, False),
        ({"state": "drained"}, {"pool_id": 9}, at_github(number=9, status="offline"), True),
        ({"state": "absent"}, {}, None, True),
        ({"state": "absent"}, {}, at_github(number=7), False),
    ],
)
def test_key_of_the_old_runner_stays_until_the_new_one_works(
    instance: dict[str, Any], report: dict[str, Any], remote: Optional[RegisteredRunner], ready: bool
) -> None:
    reason = not_ready({**REPORT, "steps": [RETIRE], **report}, {**INSTANCE, **instance}, remote)
    assert (reason is None) is ready


def test_plan_is_a_sentence_for_people() -> None:
    (text,) = sentences([REPORT], [INSTANCE])
    assert text == (
        "Runner 'Old' in '/home/x/r' (a.service, account x) runs a job. The takeover will stop it, after its "
        "job, "
        "register 'Old' for the pool with GPU, nobara, and wait until it is online, then disable a.service "
        "and "
        "remove key and registration from '/home/x/r'. All other files there stay."
    )
    (gone,) = sentences(
        [{**REPORT, "running": False, "busy": False, "unit": ""}], [{**INSTANCE, "state": "absent"}]
    )
    assert "(no unit, account x) is stopped. The takeover will remove its registration at GitHub" in gone
