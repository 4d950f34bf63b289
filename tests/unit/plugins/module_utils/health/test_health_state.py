"""The published state, which moves only when several checks in a row agree."""

from __future__ import annotations

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.health.policy import merged_policy
from ansible_collections.coldvox.ci.plugins.module_utils.health.state import (
    State,
    decode,
    encode,
    health_document,
    step,
)
from hypothesis import given
from hypothesis import strategies as st

POLICY = merged_policy({})
LETTERS = {"h": "healthy", "d": "degraded", "u": "unhealthy"}
RANKS = "hdu"


def walk(verdicts: str, state: State | None = None, seconds: float = 60.0) -> list[State]:
    """Return the states after checks a minute apart; a letter is a verdict."""
    states = [State() if state is None else state]
    for letter in verdicts:
        before = states[-1]
        states.append(step(before, LETTERS[letter], POLICY, before.at + seconds))
    return states[1:]


def published(verdicts: str) -> str:
    return "".join(state.verdict[0] for state in walk(verdicts))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("h", "h"),
        ("u", "u"),
        ("huu", "hhh"),
        ("huuu", "hhhu"),
        ("huhuhuhu", "hhhhhhhh"),
        ("uhh", "uuu"),
        ("uhhh", "uuuh"),
        ("hddd", "hhhd"),
        ("hudu", "hhhd"),  # all three say degraded or worse, only two say unhealthy
        ("huuud", "hhhuu"),
        ("uddhd", "uuudd"),
        ("huuuhhuhhh", "hhhuuuuuuh"),
    ],
)
def test_step_moves_after_three_checks_that_agree(verdicts: str, expected: str) -> None:
    assert published(verdicts) == expected


def test_step_counts_failures_by_the_worst_verdict() -> None:
    assert [state.failures for state in walk("huuduh")] == [0, 1, 2, 0, 1, 0]


@pytest.mark.parametrize("seconds", [301.0, -1.0])
def test_step_does_not_count_checks_far_apart_as_a_row(seconds: float) -> None:
    before = walk("huu")[-1]
    after = step(before, "unhealthy", POLICY, before.at + seconds)
    assert (after.verdict, after.failures, after.recent) == ("healthy", 1, ("unhealthy",))


def test_step_starts_again_with_other_verdicts() -> None:
    state = State("excellent", ("excellent",) * 3, 0, 100.0)
    assert step(state, "degraded", POLICY, 160.0).verdict == "degraded"


def test_step_takes_the_number_of_checks_from_the_policy() -> None:
    quick = merged_policy({"hysteresis": {"fall_after": 1, "rise_after": 2}})
    state = step(State("healthy", ("healthy",), 0, 0.0), "unhealthy", quick, 1.0)
    assert state.verdict == "unhealthy"
    state = step(state, "healthy", quick, 2.0)
    assert state.verdict == "unhealthy"
    assert step(state, "healthy", quick, 3.0).verdict == "healthy"


def plain(verdicts: str) -> str:
    """Return the verdicts by the same rule over the whole row at once."""
    said = ""
    for count in range(1, len(verdicts) + 1):
        now = RANKS.index(said[-1]) if said else RANKS.index(verdicts[0])
        last = [RANKS.index(letter) for letter in verdicts[:count][-3:]]
        if len(last) == 3 and min(last) > now:
            now = min(last)
        elif len(last) == 3 and max(last) < now:
            now = max(last)
        said += RANKS[now]
    return said


@given(st.text(RANKS, min_size=1, max_size=40))
def test_step_agrees_with_the_rule_over_the_whole_row(verdicts: str) -> None:
    assert published(verdicts) == plain(verdicts)


@given(st.text(RANKS, min_size=1, max_size=20), st.sampled_from(RANKS))
def test_step_always_follows_three_checks_that_agree(before: str, verdict: str) -> None:
    assert published(before + verdict * 3)[-1] == verdict


@given(st.lists(st.booleans(), min_size=1, max_size=60).filter(lambda row: not _three(row)))
def test_step_never_moves_by_noise_around_a_threshold(noise: list[bool]) -> None:
    assert set(published("hhh" + "".join("u" if bad else "h" for bad in noise))) == {"h"}


def _three(row: list[bool]) -> bool:
    return any(all(row[at : at + 3]) for at in range(len(row) - 2))


@given(st.text(RANKS, min_size=1, max_size=10))
def test_decode_returns_the_encoded_state(verdicts: str) -> None:
    state = walk(verdicts)[-1]
    assert decode(encode(state)) == state


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        {},
        {"verdict": "healthy"},
        {"verdict": "h", "recent": 3, "failures": 0, "at": 0},
        {"verdict": [], "at": "x"},
    ],
)
def test_decode_of_a_damaged_state_is_a_first_state(damaged: dict[str, object] | None) -> None:
    assert decode(damaged) == State()


@pytest.mark.parametrize(
    ("verdict", "allowed", "runs_on"),
    [
        ("healthy", True, ["self-hosted"]),
        ("degraded", True, ["self-hosted"]),
        ("unhealthy", True, ["ubuntu-latest"]),
        ("unhealthy", False, ["self-hosted"]),
    ],
)
def test_health_document_names_the_labels_for_a_workflow(
    verdict: str, allowed: bool, runs_on: list[str]
) -> None:
    policy = merged_policy({"fallback_allowed": allowed})
    said = health_document(
        State(verdict, (verdict,), 2, 0.0), 61, policy, 0.0, "laptop", ["self-hosted"], ["ubuntu-latest"]
    )
    assert said["runs_on"] == runs_on
    assert said["score"] == 61
    assert said["consecutive_failures"] == 2
    assert (said["observed_at"], said["expires_at"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:05:00Z")
