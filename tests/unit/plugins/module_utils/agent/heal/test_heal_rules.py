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


def instance(**changed: Any) -> Evidence:
    """A healthy instance with the given changes."""
    return Evidence(name="one", connections=1, log_mark="log:1", message="listening")._replace(**changed)


DEAD = instance(active_state="inactive", sub_state="dead", listener=False, connections=None)
RESTARTING = DEAD._replace(active_state="activating", sub_state="auto-restart")
DEAF = instance(connections=0)


@pytest.mark.parametrize(
    ("evidence", "condition", "first_action"),
    [
        (instance(), rules.HEALTHY, None),
        (instance(worker=True), rules.BUSY, None),
        (instance(enabled=False, active_state="inactive", listener=False), rules.AT_REST, None),
        (instance(enabled=False, worker=True), rules.BUSY, None),
        (DEAD, rules.DEAD, "start"),
        (DEAD._replace(active_state="failed", sub_state="failed"), rules.DEAD, "start"),
        (RESTARTING, rules.DEAD, None),
        (RESTARTING._replace(sub_state="start-pre"), rules.STARTING, None),
        (DEAD._replace(message=""), rules.DEAD, "start"),
        (DEAD._replace(pending=True), rules.STARTING, None),
        (DEAD._replace(registered=False), rules.UNREGISTERED, None),
        (DEAD._replace(registered=False, ephemeral=True), rules.SPENT, None),
        (DEAD._replace(message="deleted"), rules.UNREGISTERED, None),
        (DEAD._replace(message="deprecated"), rules.DEPRECATED, None),
        (DEAD._replace(message="conflict"), rules.DEAD, "start"),
        (RESTARTING._replace(message="conflict"), rules.CONFLICT, None),
        (instance(message="conflict"), rules.CONFLICT, None),
        (instance(message="offline", connections=0), rules.OFFLINE, None),
        (instance(message="offline", connections=1), rules.HEALTHY, None),
        (instance(listener=False, connections=None), rules.NO_LISTENER, None),
        (instance(frozen=True), rules.FROZEN, None),
        (instance(enabled=False, frozen=True), rules.FROZEN, None),
        (DEAF, rules.HEALTHY, None),
    ],
)
def test_decide_sets_the_condition_in_one_pass(
    machine: Machine, evidence: Evidence, condition: str, first_action: Optional[str]
) -> None:
    assert machine.passes(1, evidence) == [first_action]
    assert machine.condition() == condition


@pytest.mark.parametrize(
    ("evidence", "action", "passes"),
    [
        (instance(frozen=True), "thaw", 2),
        (instance(enabled=False, frozen=True), "thaw", 2),
        (instance(frozen=True, pending=True), "thaw", 2),
        (instance(listener=False, connections=None), "restart", 3),
        (RESTARTING, "start", 2),
        (instance(message="conflict"), "restart", 5),
        (RESTARTING._replace(message="conflict"), "start", 5),
        (DEAF, "restart", 7),
    ],
)
def test_decide_acts_when_patience_ends(
    machine: Machine, evidence: Evidence, action: str, passes: int
) -> None:
    assert machine.passes(passes, evidence) == [None] * (passes - 1) + [action]


@pytest.mark.parametrize(
    "evidence",
    [
        DEAD._replace(registered=False),
        DEAD._replace(message="deleted"),
        DEAD._replace(message="deprecated"),
        instance(message="offline", connections=0),
    ],
)
def test_decide_leaves_hopeless_instances_to_a_person(machine: Machine, evidence: Evidence) -> None:
    assert machine.passes(120, evidence) == [None] * 120
    assert machine.condition() not in rules.GOOD


@pytest.mark.parametrize("sign_of_life", [{"connections": 1}, {"log_mark": "log:2"}, {"connections": None}])
def test_decide_accepts_any_sign_of_life(machine: Machine, sign_of_life: dict[str, Any]) -> None:
    machine.passes(5, DEAF)
    assert machine.passes(1, DEAF._replace(**sign_of_life)) == [None]
    assert machine.passes(5, DEAF._replace(log_mark=sign_of_life.get("log_mark", "log:1"))) == [None] * 5


def test_decide_restarts_its_count_after_a_job(machine: Machine) -> None:
    machine.passes(5, DEAF)
    machine.look(DEAF._replace(worker=True))
    assert machine.passes(5, DEAF) == [None] * 5


def test_decide_waits_for_connections_after_sleep(machine: Machine) -> None:
    machine.passes(4, DEAF)
    assert machine.look(DEAF, asleep=8 * 3600).actions == ()
    assert machine.passes(5, DEAF) == [None] * 5, "deafness is counted from the grace's end"
    assert "restart" in machine.passes(3, DEAF)


def test_decide_starts_a_dead_unit_after_the_grace(machine: Machine) -> None:
    machine.look(instance())
    assert machine.look(DEAD, asleep=3600).actions == ()
    assert machine.passes(2, DEAD) == [None, "start"]


def test_decide_ignores_seconds_of_sleep(machine: Machine) -> None:
    machine.look(instance())
    assert machine.look(DEAD, asleep=2).actions[0].action == "start"


def test_decide_doubles_the_pause_after_each_action(machine: Machine) -> None:
    machine.passes(140, DEAD)
    times = [at for at, _action in machine.acted]
    pauses = [later - earlier for earlier, later in zip(times, times[1:])]
    assert pauses == [120, 240, 480, 960, 1920, 3600]


def test_decide_resets_attempts_of_a_healthy_instance(machine: Machine) -> None:
    machine.passes(20, DEAD)
    assert machine.history.instances["one"].attempts > 1
    machine.look(instance())
    machine.look(instance(), minutes=60)
    assert machine.look(DEAD).actions
    assert machine.history.instances["one"].attempts == 1


def test_conflict_that_outlasts_restarts_is_reported_as_a_possible_theft(machine: Machine) -> None:
    machine.passes(5, instance(message="conflict"))
    assert rules.needs_person(machine.history) == (), "the first restart may end it"
    machine.passes(8, instance(message="conflict"))
    (sentence,) = rules.needs_person(machine.history)
    assert "its key may be stolen" in sentence
    assert "ansible-playbook site.yml --tags github_runner" in sentence
    machine.passes(1, instance())
    assert rules.needs_person(machine.history) == ()


def test_decide_acts_on_one_instance_at_a_time(machine: Machine) -> None:
    machine.look(RESTARTING._replace(name="b", message="conflict"), instance(name="a"), instance(name="c"))
    machine.look(*(DEAD._replace(name=name) for name in "abc"))
    machine.look(*(DEAD._replace(name=name) for name in "abc"))
    machine.look(*(DEAD._replace(name=name) for name in "abc"))
    assert [action.instance for _at, action in machine.acted] == ["a", "b", "c"]


def test_decide_limits_actions_per_hour(machine: Machine) -> None:
    many = [DEAD._replace(name=f"r{number}") for number in range(40)]
    machine.passes(60, *many)
    assert len(machine.acted) == DEFAULTS.actions_per_hour


def test_decide_leaves_a_crash_loop_to_systemd(machine: Machine) -> None:
    looping = RESTARTING._replace(message="")
    machine.look(instance())
    machine.look(looping._replace(restarts=5))
    assert machine.condition() == rules.LOOPING
    # systemd's pauses grow to five minutes, so the loop slows down and is still a loop.
    for minute in range(30):
        assert not machine.look(looping._replace(restarts=5 + minute // 5)).actions
        assert machine.condition() == rules.LOOPING
    machine.look(instance(restarts=12))
    assert machine.condition() == rules.LOOPING, "up, but for how long?"
    machine.passes(3, instance(restarts=12))
    assert machine.condition() == rules.HEALTHY


def test_decide_ignores_restarts_over_many_days(machine: Machine) -> None:
    for restarts in range(50):
        machine.look(instance(restarts=restarts), minutes=30)
        assert machine.condition() == rules.HEALTHY


def test_decide_forgets_everything_after_a_boot(machine: Machine) -> None:
    machine.passes(30, DEAD)
    machine.boot_id, machine.boot, machine.awake = "c", 100.0, 100.0
    assert machine.look(DEAD).actions
    assert machine.history.instances["one"].attempts == 1


@pytest.mark.parametrize(
    ("passes", "watched"),
    [
        ([instance()], []),
        ([instance(worker=True)], ["one"]),
        ([instance(worker=True, watched=True)], []),
        ([instance(spool_mark="1")], ["one"]),
        ([instance(spool_mark="1"), instance(spool_mark="1")], []),
        ([instance(spool_mark="1"), instance(spool_mark="2")], ["one"]),
        ([instance(worker=True, watched=True), instance()], ["one"]),
        ([instance(worker=True, watched=True), instance(watched=True)], []),
        ([instance(worker=True, watched=True), instance(), instance()], []),
    ],
)
def test_decide_starts_a_watcher_for_a_job(
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
    message=some.sampled_from(["", "listening", "conflict", "deleted", "deprecated", "offline"]),
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
def test_decide_never_disturbs_a_job(
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
