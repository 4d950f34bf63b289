"""The rules of healing: what they do, when, and what they must never do."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import rules
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.rules import (
    DEFAULTS,
    Action,
    Clocks,
    Decision,
    Done,
    Evidence,
    History,
    decide,
)
from hypothesis import given
from hypothesis import strategies as some

PASS_SECONDS = 60.0


class Machine:
    """A host whose timer calls every minute; its clocks go on as the test says."""

    def __init__(self) -> None:
        self.awake = self.boot = 1000.0
        self.boot_id = "b"
        self.history = History()
        self.acted: list[tuple[float, Action]] = []

    def look(self, *evidence: Evidence, minutes: float = 1, asleep: float = 0) -> Decision:
        """Let time go by, then one pass."""
        self.awake += minutes * PASS_SECONDS
        self.boot += minutes * PASS_SECONDS + asleep
        decision = decide(evidence, self.history, Clocks(self.boot, self.awake, self.boot_id))
        done = tuple(
            Done(decision.history.at, action.instance, action.action, action.reason, "done")
            for action in decision.actions
        )
        self.history = decision.history._replace(done=(*decision.history.done, *done))
        self.acted += [(self.boot, action) for action in decision.actions]
        return decision

    def passes(self, count: int, *evidence: Evidence) -> list[Optional[str]]:
        """Return the action of each of ``count`` passes over the same evidence."""
        decided = [self.look(*evidence).actions for _pass in range(count)]
        return [actions[0].action if actions else None for actions in decided]

    def condition(self, name: str = "one") -> str:
        return self.history.instances[name].condition


@pytest.fixture
def machine() -> Machine:
    return Machine()


def one(**changed: Any) -> Evidence:
    """A healthy instance, but for what is changed."""
    return Evidence(name="one", connections=1, log_mark="log:1", said="listening")._replace(**changed)


DEAD = one(active_state="inactive", sub_state="dead", listener=False, connections=None)
RESTARTING = DEAD._replace(active_state="activating", sub_state="auto-restart")
DEAF = one(connections=0)


@pytest.mark.parametrize(
    ("evidence", "condition", "first_action"),
    [
        (one(), rules.HEALTHY, None),
        (one(worker=True), rules.BUSY, None),
        (one(enabled=False, active_state="inactive", listener=False), rules.AT_REST, None),
        (one(enabled=False, worker=True), rules.BUSY, None),
        (DEAD, rules.DEAD, "start"),
        (DEAD._replace(active_state="failed", sub_state="failed"), rules.DEAD, "start"),
        (RESTARTING, rules.DEAD, "start"),
        (DEAD._replace(said=""), rules.DEAD, "start"),
        (DEAD._replace(pending=True), rules.STARTING, None),
        (DEAD._replace(registered=False), rules.UNREGISTERED, None),
        (DEAD._replace(said="deleted"), rules.UNREGISTERED, None),
        (DEAD._replace(said="deprecated"), rules.DEPRECATED, None),
        (DEAD._replace(said="conflict"), rules.DEAD, "start"),
        (RESTARTING._replace(said="conflict"), rules.CONFLICT, None),
        (one(said="conflict"), rules.CONFLICT, None),
        (one(said="offline", connections=0), rules.OFFLINE, None),
        (one(said="offline", connections=1), rules.HEALTHY, None),
        (one(listener=False, connections=None), rules.NO_LISTENER, None),
        (one(frozen=True), rules.FROZEN, None),
        (one(enabled=False, frozen=True), rules.FROZEN, None),
        (DEAF, rules.HEALTHY, None),
    ],
)
def test_what_one_pass_makes_of_an_instance(
    machine: Machine, evidence: Evidence, condition: str, first_action: Optional[str]
) -> None:
    assert machine.passes(1, evidence) == [first_action]
    assert machine.condition() == condition


@pytest.mark.parametrize(
    ("evidence", "action", "passes"),
    [
        (one(frozen=True), "thaw", 2),
        (one(enabled=False, frozen=True), "thaw", 2),
        (one(frozen=True, pending=True), "thaw", 2),
        (one(listener=False, connections=None), "restart", 3),
        (one(said="conflict"), "restart", 5),
        (RESTARTING._replace(said="conflict"), "start", 5),
        (DEAF, "restart", 7),
    ],
)
def test_patience_has_an_end_and_not_before(
    machine: Machine, evidence: Evidence, action: str, passes: int
) -> None:
    assert machine.passes(passes, evidence) == [None] * (passes - 1) + [action]


@pytest.mark.parametrize(
    "evidence",
    [
        DEAD._replace(registered=False),
        DEAD._replace(said="deleted"),
        DEAD._replace(said="deprecated"),
        one(said="offline", connections=0),
    ],
)
def test_what_a_restart_does_not_mend_is_left_to_a_person(machine: Machine, evidence: Evidence) -> None:
    assert machine.passes(120, evidence) == [None] * 120
    assert machine.condition() not in rules.GOOD


@pytest.mark.parametrize("sign_of_life", [{"connections": 1}, {"log_mark": "log:2"}, {"connections": None}])
def test_one_sign_of_life_is_enough_not_to_be_deaf(machine: Machine, sign_of_life: dict[str, Any]) -> None:
    machine.passes(5, DEAF)
    assert machine.passes(1, DEAF._replace(**sign_of_life)) == [None]
    assert machine.passes(5, DEAF._replace(log_mark=sign_of_life.get("log_mark", "log:1"))) == [None] * 5


def test_a_job_begins_the_count_anew(machine: Machine) -> None:
    machine.passes(5, DEAF)
    machine.look(DEAF._replace(worker=True))
    assert machine.passes(5, DEAF) == [None] * 5


def test_after_a_sleep_connections_get_time_to_come_back(machine: Machine) -> None:
    machine.passes(4, DEAF)
    assert machine.look(DEAF, asleep=8 * 3600).actions == ()
    assert machine.passes(5, DEAF) == [None] * 5, "deafness is counted from the grace's end"
    assert "restart" in machine.passes(3, DEAF)


def test_a_dead_unit_is_started_after_the_grace_too(machine: Machine) -> None:
    machine.look(one())
    assert machine.look(DEAD, asleep=3600).actions == ()
    assert machine.passes(2, DEAD) == [None, "start"]


def test_seconds_between_the_clocks_are_no_sleep(machine: Machine) -> None:
    machine.look(one())
    assert machine.look(DEAD, asleep=2).actions[0].action == "start"


def test_an_instance_rests_after_an_action_twice_as_long_each_time(machine: Machine) -> None:
    machine.passes(140, DEAD)
    times = [at for at, _action in machine.acted]
    pauses = [later - earlier for earlier, later in zip(times, times[1:])]
    assert pauses == [120, 240, 480, 960, 1920, 3600]


def test_former_attempts_are_forgotten_when_it_was_well_for_long(machine: Machine) -> None:
    machine.passes(20, DEAD)
    assert machine.history.instances["one"].attempts > 1
    machine.look(one())
    machine.look(one(), minutes=60)
    assert machine.look(DEAD).actions
    assert machine.history.instances["one"].attempts == 1


def test_one_instance_at_a_time_the_longest_suffering_first(machine: Machine) -> None:
    machine.look(RESTARTING._replace(name="b", said="conflict"), one(name="a"), one(name="c"))
    machine.look(*(DEAD._replace(name=name) for name in "abc"))
    machine.look(*(DEAD._replace(name=name) for name in "abc"))
    machine.look(*(DEAD._replace(name=name) for name in "abc"))
    assert [action.instance for _at, action in machine.acted] == ["a", "b", "c"]


def test_an_hour_has_only_so_many_actions(machine: Machine) -> None:
    many = [DEAD._replace(name=f"r{number}") for number in range(40)]
    machine.passes(60, *many)
    assert len(machine.acted) == DEFAULTS.actions_per_hour


def test_a_loop_is_left_to_systemd_and_told(machine: Machine) -> None:
    looping = RESTARTING._replace(said="")
    machine.look(one())
    machine.look(looping._replace(restarts=5))
    assert machine.condition() == rules.LOOPING
    # systemd's pauses grow to five minutes, so it gets slow and is still one.
    for minute in range(30):
        assert not machine.look(looping._replace(restarts=5 + minute // 5)).actions
        assert machine.condition() == rules.LOOPING
    machine.look(one(restarts=12))
    assert machine.condition() == rules.LOOPING, "up, but for how long?"
    machine.passes(3, one(restarts=12))
    assert machine.condition() == rules.HEALTHY


def test_restarts_of_many_days_are_no_loop(machine: Machine) -> None:
    for restarts in range(50):
        machine.look(one(restarts=restarts), minutes=30)
        assert machine.condition() == rules.HEALTHY


def test_a_new_boot_forgets_everything(machine: Machine) -> None:
    machine.passes(30, DEAD)
    machine.boot_id, machine.boot, machine.awake = "c", 100.0, 100.0
    assert machine.look(DEAD).actions
    assert machine.history.instances["one"].attempts == 1


@pytest.mark.parametrize(
    ("passes", "watched"),
    [
        ([one()], []),
        ([one(worker=True)], ["one"]),
        ([one(worker=True, watched=True)], []),
        ([one(spool_mark="1")], ["one"]),
        ([one(spool_mark="1"), one(spool_mark="1")], []),
        ([one(spool_mark="1"), one(spool_mark="2")], ["one"]),
        ([one(worker=True, watched=True), one()], ["one"]),
        ([one(worker=True, watched=True), one(watched=True)], []),
        ([one(worker=True, watched=True), one(), one()], []),
    ],
)
def test_a_job_has_a_watcher_and_what_it_left_too(
    machine: Machine, passes: list[Evidence], watched: list[str]
) -> None:
    for evidence in passes:
        decision = machine.look(evidence)
    assert list(decision.watch) == watched


evidences = some.builds(
    Evidence,
    name=some.sampled_from(["one", "two", "three"]),
    enabled=some.booleans(),
    active_state=some.sampled_from(["active", "inactive", "failed", "activating", "deactivating", ""]),
    sub_state=some.sampled_from(["running", "dead", "auto-restart", ""]),
    restarts=some.integers(0, 20),
    pending=some.booleans(),
    registered=some.booleans(),
    worker=some.booleans(),
    listener=some.booleans(),
    frozen=some.booleans(),
    connections=some.none() | some.integers(0, 2),
    log_mark=some.sampled_from(["", "a:1", "a:2"]),
    said=some.sampled_from(["", "listening", "conflict", "deleted", "deprecated", "offline"]),
)


@given(
    some.lists(
        some.tuples(
            some.lists(evidences, max_size=3, unique_by=lambda each: each.name),
            some.floats(0.1, 120),
            some.floats(0, 5000),
        ),
        max_size=40,
    )
)
def test_whatever_is_seen_no_job_is_disturbed(
    story: list[tuple[list[Evidence], float, float]],
) -> None:
    machine = Machine()
    for evidence, minutes, asleep in story:
        decision = machine.look(*evidence, minutes=minutes, asleep=asleep)
        by_name = {each.name: each for each in evidence}
        assert len(decision.actions) <= 1
        for action in decision.actions:
            assert not by_name[action.instance].worker
            seen = by_name[action.instance]
            assert action.action == rules.THAW or (seen.enabled and seen.registered)
        hour = [at for at, _action in machine.acted if machine.boot - at < 3600]
        assert len(hour) <= DEFAULTS.actions_per_hour
