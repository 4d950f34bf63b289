"""Plans for an instance, as a table."""

from __future__ import annotations

import dataclasses
from typing import Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.plan import Local, Remote, Step, Wanted, plan

WANTED = Wanted(
    "a", "present", fingerprint="f", tree="t", start_digest="s", labels=("x", "Y"), replace="offline"
)
LOCAL = Local(
    exists=True,
    agent_id=7,
    fingerprint="f",
    tree="t",
    start_digest="s",
    files_current=True,
    active=True,
    enabled=True,
)
REMOTE = Remote(7, online=True, labels=("y", "X"))
STOP = (Step.WITHDRAW_LABELS, Step.STOP)
RESTART = (Step.WRITE_FILES, Step.START, Step.SET_LABELS)
FRESH = (Step.LINK_TREE, Step.CONFIGURE, Step.WRITE_FILES, Step.START)


def changed(local: Local = LOCAL, **changes: object) -> Local:
    return dataclasses.replace(local, **changes)  # type: ignore[arg-type]


def test_plan_is_empty_without_a_difference() -> None:
    assert plan(WANTED, LOCAL, REMOTE).steps == ()
    assert plan(WANTED, LOCAL, REMOTE).outcome == "unchanged"


def test_plan_ignores_offline_at_github() -> None:
    assert plan(WANTED, LOCAL, dataclasses.replace(REMOTE, online=False)).steps == ()


@pytest.mark.parametrize(
    ("local", "remote", "outcome", "steps"),
    [
        (Local(), None, "registered", FRESH),
        (Local(), Remote(3, online=False), "replaced", FRESH),
        (LOCAL, None, "registered", (Step.STOP, *FRESH[1:])),
        (LOCAL, Remote(8, online=False), "replaced", (Step.STOP, *FRESH[1:])),
        (changed(fingerprint="g"), REMOTE, "replaced", (*STOP, *FRESH[1:])),
        (changed(fingerprint="", active=False), REMOTE, "replaced", FRESH[1:]),
        (changed(tree=""), REMOTE, "updated", (*STOP, Step.LINK_TREE, *RESTART)),
        (changed(files_current=False), REMOTE, "updated", (*STOP, *RESTART)),
        (changed(files_current=False), Remote(7, online=True), "updated", (Step.STOP, *RESTART)),
        (changed(start_digest="r"), REMOTE, "updated", (*STOP, *RESTART)),
        (changed(start_digest="r", active=False), REMOTE, "updated", (Step.WRITE_FILES, Step.START)),
        (changed(active=False), REMOTE, "updated", (Step.START,)),
        (changed(failing=True), REMOTE, "updated", (Step.START,)),
        (changed(enabled=False), REMOTE, "updated", (Step.START,)),
        (LOCAL, Remote(7, online=True, labels=("x",)), "relabelled", (Step.SET_LABELS,)),
        (changed(active=False), Remote(7, online=False), "updated", (Step.START, Step.SET_LABELS)),
    ],
)
def test_plan_present(local: Local, remote: Optional[Remote], outcome: str, steps: tuple[Step, ...]) -> None:
    planned = plan(WANTED, local, remote)
    assert (planned.outcome, planned.steps) == (outcome, steps)
    assert planned.reason


@pytest.mark.parametrize(
    ("replace", "online", "allowed"),
    [
        ("never", False, False),
        ("never", True, False),
        ("offline", False, True),
        ("offline", True, False),
        ("always", True, True),
    ],
)
def test_plan_replaces_foreign_registration_as_allowed(replace: str, online: bool, allowed: bool) -> None:
    wanted = dataclasses.replace(WANTED, replace=replace)
    remote = Remote(99, online=online)
    if allowed:
        planned = plan(wanted, Local(), remote)
        assert planned.outcome == "replaced"
        assert "id 99, which this host did not make" in planned.warning, "never silently"
    else:
        with pytest.raises(CiError, match=r"'a' is taken.*99"):
            plan(wanted, Local(), remote)


def test_plan_by_default_replaces_no_registration_of_others() -> None:
    with pytest.raises(CiError, match="github_runner_replace=offline"):
        plan(dataclasses.replace(WANTED, replace=Wanted.replace), Local(), Remote(99, online=False))


def test_plan_knows_an_unrecorded_registration_of_an_interrupted_run() -> None:
    wanted = dataclasses.replace(WANTED, replace="never")
    planned = plan(wanted, Local(announced=True), Remote(99, online=False))
    assert (planned.outcome, planned.warning) == ("replaced", "")
    with pytest.raises(CiError, match="is taken"):
        plan(wanted, Local(announced=True), Remote(99, online=True))


def test_plan_always_replaces_our_own_registration() -> None:
    wanted = dataclasses.replace(WANTED, replace="never", fingerprint="g")
    assert plan(wanted, LOCAL, REMOTE).outcome == "replaced"


@pytest.mark.parametrize(
    ("local", "remote", "steps"),
    [
        (LOCAL, REMOTE, (*STOP, Step.REMOVE_FILES, Step.DELETE_REGISTRATION)),
        (LOCAL, Remote(8, online=True, labels=("x",)), (Step.STOP, Step.REMOVE_FILES)),
        (LOCAL, None, (Step.STOP, Step.REMOVE_FILES)),
        (changed(active=False), REMOTE, (Step.REMOVE_FILES, Step.DELETE_REGISTRATION)),
        (Local(), Remote(7, online=False), (Step.DELETE_REGISTRATION,)),
        (Local(), Remote(7, online=True), ()),
        (Local(), None, ()),
    ],
)
def test_plan_absent(local: Local, remote: Optional[Remote], steps: tuple[Step, ...]) -> None:
    planned = plan(dataclasses.replace(WANTED, state="absent"), local, remote)
    assert planned.steps == steps
    assert planned.outcome == ("removed" if steps else "unchanged")


@pytest.mark.parametrize("spoilt", [None, 99])
def test_plan_recognizes_our_registration_after_a_job_spoilt_the_file(spoilt: Optional[int]) -> None:
    local = dataclasses.replace(LOCAL, agent_id=spoilt, recorded_id=REMOTE.id)
    assert REMOTE.online
    assert plan(WANTED, local, REMOTE).outcome == "replaced"
    assert Step.DELETE_REGISTRATION in plan(dataclasses.replace(WANTED, state="absent"), local, REMOTE).steps


def test_plan_absent_keeps_a_registration_that_must_not_be_replaced() -> None:
    wanted = dataclasses.replace(WANTED, state="absent", replace="never")
    assert plan(wanted, Local(), Remote(7, online=False)).steps == ()
    assert Step.DELETE_REGISTRATION in plan(wanted, LOCAL, REMOTE).steps


@pytest.mark.parametrize(
    ("local", "remote", "steps"),
    [
        (LOCAL, REMOTE, (*STOP, Step.DISABLE)),
        (LOCAL, Remote(8, online=True, labels=("x",)), (Step.STOP, Step.DISABLE)),
        (LOCAL, Remote(7, online=True), (Step.STOP, Step.DISABLE)),
        (changed(active=False, enabled=False), Remote(7, online=False), ()),
        (Local(), None, ()),
    ],
)
def test_plan_drained(local: Local, remote: Optional[Remote], steps: tuple[Step, ...]) -> None:
    planned = plan(dataclasses.replace(WANTED, state="drained"), local, remote)
    assert planned.steps == steps
    assert planned.outcome == ("drained" if steps else "unchanged")


@pytest.mark.parametrize(("jit", "register"), [(False, Step.CONFIGURE), (True, Step.ENROL_JIT)])
def test_plan_wipes_before_the_next_job_of_an_ephemeral_runner(jit: bool, register: Step) -> None:
    wanted = dataclasses.replace(WANTED, ephemeral=True, jit=jit)
    first = plan(wanted, Local(exists=True), None)
    assert first.steps == (Step.LINK_TREE, register, Step.WRITE_FILES, Step.START)
    after_its_job = changed(agent_id=None, recorded_id=7, active=False)
    again = plan(wanted, after_its_job, None)
    assert again.steps == (Step.WIPE, register, Step.WRITE_FILES, Step.START)
    assert plan(wanted, LOCAL, REMOTE).steps == ()


@pytest.mark.parametrize(
    ("local", "deferred"),
    [
        (LOCAL, False),
        (changed(active=False), False),
        (changed(files_current=False), True),
        (changed(tree="", active=False), True),
        (changed(agent_id=None, recorded_id=7, active=False), True),
    ],
)
def test_plan_deferred_when_the_controller_has_a_part(local: Local, deferred: bool) -> None:
    assert plan(WANTED, local, REMOTE).deferred is deferred
