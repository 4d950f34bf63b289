"""What the listener's lines in the journal say about the ends of jobs, and whose lines they are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.endings import (
    Line,
    endings,
    line_of,
    own_listeners,
    said_by,
    wait_for_endings,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.endings import Ending
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Host
from hypothesis import given
from hypothesis import strategies as st

from tests._support.heal_instance import Instance

UNIT = "coldvox-runner@one.service"
LISTENER = 70
STAMP = "2026-11-21 15:48:51Z: "
WORDS = {
    "Succeeded": "success",
    "SucceededWithIssues": "success",
    "Failed": "failure",
    "Canceled": "cancelled",
    "Skipped": "skipped",
    "Abandoned": "",
    "Great": "",
}


def job(name: str, word: str, began: float = 100.0, ended: float = 160.0) -> list[Line]:
    """What a listener says about one job, as the journal splits it."""
    said = ((began, f"Running job: {name}"), (ended, f"Job {name} completed with result: {word}"))
    return [Line(at, LISTENER, text) for at, whole in said for text in (STAMP + whole).split("\n")]


def entry(line: Line, **fields: object) -> str:
    """The line as journalctl prints it."""
    stamp = str(int(line.at * 1e6))
    return json.dumps({"__REALTIME_TIMESTAMP": stamp, "_PID": str(line.pid), "MESSAGE": line.text, **fields})


def journal(lines: Iterable[Line]) -> str:
    return "".join(f"{entry(line)}\n" for line in lines)


@pytest.mark.parametrize(("word", "result"), WORDS.items())
def test_the_runners_words_in_githubs(word: str, result: str) -> None:
    assert endings("one", job("build", word)) == [Ending("one", 100.0, 160.0, result)]


@pytest.mark.parametrize(
    "text",
    [
        "Job build completed with result: Failed",
        f"  {STAMP}Job build completed with result: Failed",
        f"{STAMP}Job build completed with result: ",
        f"{STAMP}Job build completed with result: Failed or so",
        f"{STAMP}Listening for Jobs",
        "",
    ],
)
def test_other_lines_end_no_job(text: str) -> None:
    begun = job("build", "Failed")[0]
    assert endings("one", [begun, Line(160.0, LISTENER, text)]) == []


def test_an_end_without_a_beginning_is_nobodys() -> None:
    assert endings("one", job("build", "Failed")[1:]) == []


def test_one_job_after_the_other() -> None:
    lines = [*job("a", "Failed"), *job("b", "Succeeded", 170, 190), *job("c", "Canceled", 200, 210)[:1]]
    assert endings("one", lines) == [Ending("one", 100, 160, "failure"), Ending("one", 170, 190, "success")]


def test_what_ended_before_the_clock_went_back_is_nobodys() -> None:
    """By its time it would be the end of a job that began after it."""
    lines = [*job("a", "Succeeded", 1000, 1060), *job("b", "Failed", 500, 560)]
    assert endings("one", lines[:2]) == [Ending("one", 1000, 1060, "success")]
    assert endings("one", lines[:3]) == []
    assert endings("one", lines) == [Ending("one", 500, 560, "failure")]


NAMES = [
    "x completed with result: Succeeded",
    f"x completed with result: Succeeded\n{STAMP}Running job: y",
    f"a\n{STAMP}Job a completed with result: Succeeded",
    f"a\n{STAMP}Job x completed with result: Succeeded\n{STAMP}Running job: x",
    f"x completed with result: Succeeded\n{STAMP}Job q\n{STAMP}Running job: x",
    f"x completed with result: Succeeded\n{STAMP}Job q completed with result: Failed\n{STAMP}Running job: x",
    "\r",
    "a\x85b\u2028c",
]
hostile = st.one_of(
    st.text(max_size=40),
    st.sampled_from(NAMES),
    st.lists(
        st.sampled_from(
            ["\n", STAMP, "Job ", "Running job: ", " completed with result: ", *WORDS, "a", "\r", " "]
        ),
        max_size=14,
    ).map("".join),
)


def result_at(moment: float, found: Iterable[Ending]) -> str:
    """What the history would know of a job that its hook recorded at ``moment``."""
    return next((one.result for one in found if one.since <= moment <= one.at and one.result), "")


@given(hostile, st.sampled_from(sorted(WORDS)))
def test_a_name_of_one_line_changes_nothing(name: str, word: str) -> None:
    found = endings("one", job(name.replace("\n", " "), word))
    assert found == [Ending("one", 100.0, 160.0, WORDS[word])]


@given(hostile, st.sampled_from(sorted(WORDS)))
def test_a_name_of_many_lines_hides_the_result_at_most(name: str, word: str) -> None:
    assert result_at(101.0, endings("one", job(name, word))) in ("", WORDS[word])


@given(hostile, hostile, hostile)
def test_names_change_nothing_about_the_jobs_around_theirs(before: str, name: str, after: str) -> None:
    lines = [
        *job(before, "Succeeded", 10, 20),
        *job(name.replace("\n", " "), "Failed"),
        *job(after, "Succeeded", 170, 180),
    ]
    assert result_at(101.0, endings("one", lines)) == "failure"


@given(st.lists(st.tuples(st.floats(), hostile)))
def test_no_line_raises(lines: list[tuple[float, str]]) -> None:
    endings("one", [Line(at, LISTENER, text) for at, text in lines])


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        ([74, 255, 10], "J\ufffd\n"),
        (None, ""),
        (7, ""),
    ],
)
def test_how_journalctl_prints_a_line(message: object, text: str) -> None:
    assert line_of(entry(Line(1.5, 70, ""), MESSAGE=message)) == Line(1.5, 70, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{}",
        "[" * 100_000,
        entry(Line(1, 70, ""), _PID="me"),
        entry(Line(1, 70, ""), __REALTIME_TIMESTAMP=None),
        entry(Line(1, 70, ""), __REALTIME_TIMESTAMP="9" * 400),
        entry(Line(1, 70, ""), __REALTIME_TIMESTAMP="9" * 9000),
        entry(Line(1, 70, ""), MESSAGE=[-1, "x"]),
    ],
)
def test_what_is_no_line_of_the_journal_is_left_out(text: str) -> None:
    assert line_of(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    line_of(text)


def machine(instance: Instance) -> Host:
    return Host(instance.run, time.sleep, time.monotonic)


def test_what_another_process_of_the_unit_wrote_is_no_word_of_the_listeners(instance: Instance) -> None:
    """Whatever is asked of journalctl: the lines themselves say whose they are."""
    honest = job("build", "Failed")
    forged = honest[-1]._replace(
        pid=LISTENER + 1, at=130.0, text=f"{STAMP}Job build completed with result: Succeeded"
    )
    instance.journal = journal([honest[0], forged, *honest[1:]])
    lines = said_by(machine(instance), UNIT, {LISTENER}, 0.0)
    assert lines == honest
    assert {f"_SYSTEMD_UNIT={UNIT}", f"_PID={LISTENER}"} <= set(instance.calls[-1])


def test_the_journal_is_asked_for_no_more_than_a_job_may_last(instance: Instance) -> None:
    """A process id of an earlier boot, or of years ago, is another process's."""
    now = time.time()
    days = 86400.0
    lines = [*job("older", "Failed", now - 9 * days, now - 8 * days), *job("long", "?", now - 4.9 * days)[:1]]
    instance.journal = journal([*lines, *job("", "Failed", 0, now - 5)[1:]])
    waiting = Waiting(instance)
    assert waiting.found(now - 9) == ["failure"]
    assert waiting.found(None) == ["failure"]
    assert all("--boot" in call for call in instance.calls)
    assert said_by(machine(instance), UNIT, {LISTENER}, now - 5 * days)[0].at == pytest.approx(
        now - 4.9 * days
    )


def test_the_listener_is_the_one_that_systemd_started(instance: Instance) -> None:
    """Below the main process with no program of the runner between: what a job calls so is below its
    worker, or below nobody.
    """
    listener = instance.start("Runner.Listener")
    assert own_listeners(machine(instance), instance.layout, UNIT) == {listener.pid}
    instance.units[UNIT]["MainPID"] = str(listener.pid)
    assert own_listeners(machine(instance), instance.layout, UNIT) == {listener.pid}
    for main in ("0", "", "1" * 9):
        instance.units[UNIT]["MainPID"] = main
        assert own_listeners(machine(instance), instance.layout, UNIT) == set()


@pytest.mark.parametrize("above", ["Runner.Worker", "Runner.Listener"])
def test_what_a_job_calls_a_listener_is_none(instance: Instance, above: str) -> None:
    fake = instance.root / "bin" / "Runner.Listener.d" / "Runner.Listener"
    fake.parent.mkdir(parents=True)
    fake.write_text("import sys; sys.stdin.read()\n")
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, {str(fake)!r}]); print(flush=True)\n"
    top = instance.start(above, f"{start}sys.stdin.read()\n")
    found = own_listeners(machine(instance), instance.layout, UNIT)
    assert found == ({top.pid} if above == "Runner.Listener" else set())


def test_systemd_away_is_told(instance: Instance) -> None:
    instance.refusal = "no bus"
    with pytest.raises(CiError, match="no bus"):
        own_listeners(machine(instance), instance.layout, UNIT)


class Waiting:
    """Somebody who waits for an ending, with a clock and a journal that go on only while he sleeps."""

    def __init__(self, instance: Instance, *later: Iterable[Line]) -> None:
        self.instance, self.later, self.passed = instance, list(later), 0.0

    def sleep(self, seconds: float) -> None:
        self.passed += seconds
        if self.later:
            self.instance.journal += journal(self.later.pop(0))

    def found(self, since: float | None) -> list[str]:
        host = Host(self.instance.run, self.sleep, lambda: self.passed)
        return [one.result for one in wait_for_endings(host, "one", UNIT, {LISTENER}, since)]


def test_it_waits_for_the_line_that_comes_a_moment_later(instance: Instance) -> None:
    now = time.time()
    begun, ended = job("build", "Failed", now - 30, now - 5)
    waiting = Waiting(instance, [begun], [], [ended])
    assert waiting.found(now - 9) == ["failure"]
    assert waiting.later == []


def test_it_does_not_take_the_end_of_the_job_before_for_this_ones(instance: Instance) -> None:
    now = time.time()
    instance.journal = journal([*job("a", "Succeeded", now - 50, now - 40), *job("b", "?", now - 30)[:1]])
    waiting = Waiting(instance, [], [job("b", "Failed", now - 30, now - 5)[1]])
    assert waiting.found(now - 9) == ["success", "failure"]


def test_it_does_not_wait_for_ever(instance: Instance) -> None:
    waiting = Waiting(instance)
    assert waiting.found(time.time()) == []
    assert 10 < waiting.passed < 11


def test_a_line_that_has_just_come_may_have_more_to_it(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    first, *rest = job("x completed with result: Succeeded\n", "Failed", now - 30, now)[2:]
    instance.journal = journal([job("x", "", now - 30)[0], first])
    assert Waiting(instance, [], rest).found(now - 9) == [""]


def test_an_end_that_has_not_come_yet_is_none_of_this_clock(instance: Instance) -> None:
    now = time.time()
    instance.journal = journal(job("a", "Succeeded", now - 50, now + 3600))
    assert Waiting(instance).found(None) == []


def test_where_nobody_saw_a_job_it_takes_what_is_there(instance: Instance) -> None:
    now = time.time()
    instance.journal = journal(
        [*job("old", "Failed", now - 90, now - 70), *job("new", "Skipped", now - 9, now - 5)]
    )
    waiting = Waiting(instance)
    assert waiting.found(None) == ["skipped"]
    assert waiting.passed == 0


def test_a_journal_that_cannot_be_read_says_nothing(instance: Instance) -> None:
    instance.refusal = "no permission"
    assert Waiting(instance).found(None) == []
