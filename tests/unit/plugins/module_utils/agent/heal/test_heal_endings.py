"""The results of jobs from the lines of the listener in the journal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.endings import (
    endings,
    journal_lines,
    own_listeners,
    past_endings,
    wait_for_endings,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.journal import Line, line_of
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
    """The lines of a listener about one job, as the journal splits them."""
    messages = ((began, f"Running job: {name}"), (ended, f"Job {name} completed with result: {word}"))
    return [Line(at, LISTENER, text) for at, whole in messages for text in (STAMP + whole).split("\n")]


def entry(line: Line, **fields: object) -> str:
    """The line as journalctl prints it."""
    stamp = str(int(line.at * 1e6))
    return json.dumps({"__REALTIME_TIMESTAMP": stamp, "_PID": str(line.pid), "MESSAGE": line.text, **fields})


def journal(lines: Iterable[Line]) -> str:
    return "".join(f"{entry(line)}\n" for line in lines)


@pytest.mark.parametrize(("word", "result"), WORDS.items())
def test_endings_translates_the_runners_results(word: str, result: str) -> None:
    assert endings("one", job("build", word)) == [Ending("one", 100.0, 160.0, result, "build")]


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
def test_endings_ignores_other_lines(text: str) -> None:
    begun = job("build", "Failed")[0]
    assert endings("one", [begun, Line(160.0, LISTENER, text)]) == []


def test_endings_drops_a_result_without_a_start() -> None:
    assert endings("one", job("build", "Failed")[1:]) == []


def test_endings_of_several_jobs() -> None:
    lines = [*job("a", "Failed"), *job("b", "Succeeded", 170, 190), *job("c", "Canceled", 200, 210)[:1]]
    assert endings("one", lines) == [
        Ending("one", 100, 160, "failure", "a"),
        Ending("one", 170, 190, "success", "b"),
    ]


def test_endings_drops_results_from_before_a_clock_change() -> None:
    """By its time it would be the end of a job that began after it."""
    lines = [*job("a", "Succeeded", 1000, 1060), *job("b", "Failed", 500, 560)]
    assert endings("one", lines[:2]) == [Ending("one", 1000, 1060, "success", "a")]
    assert endings("one", lines[:3]) == []
    assert endings("one", lines) == [Ending("one", 500, 560, "failure", "b")]


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


def result_at(moment: float, known: Iterable[Ending]) -> str:
    """What the history would know of a job that its hook recorded at ``moment``."""
    return next((each.result for each in known if each.since <= moment <= each.at and each.result), "")


@given(hostile, st.sampled_from(sorted(WORDS)))
def test_endings_ignores_a_name_of_one_line(name: str, word: str) -> None:
    known = endings("one", job(name.replace("\n", " "), word))
    assert [each._replace(job="") for each in known] == [Ending("one", 100.0, 160.0, WORDS[word])]


@given(hostile, st.sampled_from(sorted(WORDS)))
def test_endings_with_a_name_of_many_lines_is_at_most_unknown(name: str, word: str) -> None:
    assert result_at(101.0, endings("one", job(name, word))) in ("", WORDS[word])


@given(hostile, hostile, hostile)
def test_endings_of_a_job_ignore_names_of_its_neighbours(before: str, name: str, after: str) -> None:
    lines = [
        *job(before, "Succeeded", 10, 20),
        *job(name.replace("\n", " "), "Failed"),
        *job(after, "Succeeded", 170, 180),
    ]
    assert result_at(101.0, endings("one", lines)) == "failure"


@given(st.lists(st.tuples(st.floats(), hostile)))
def test_endings_raises_for_no_line(lines: list[tuple[float, str]]) -> None:
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
def test_line_of_reads_the_output_of_journalctl(message: object, text: str) -> None:
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
def test_line_of_rejects_other_text(text: str) -> None:
    assert line_of(text) is None


@given(st.text())
def test_line_of_raises_for_no_text(text: str) -> None:
    line_of(text)


def machine(instance: Instance) -> Host:
    return Host(instance.run, time.sleep, time.monotonic)


def test_journal_lines_drops_lines_of_other_processes(instance: Instance) -> None:
    """The lines name their process, so the arguments of journalctl alone do not count."""
    honest = job("build", "Failed")
    forged = honest[-1]._replace(
        pid=LISTENER + 1, at=130.0, text=f"{STAMP}Job build completed with result: Succeeded"
    )
    instance.journal = journal([honest[0], forged, *honest[1:]])
    lines = journal_lines(machine(instance), UNIT, {LISTENER}, 0.0)
    assert lines == honest
    assert {f"_SYSTEMD_UNIT={UNIT}", f"_PID={LISTENER}"} <= set(instance.calls[-1])


def test_journal_lines_reads_at_most_the_longest_job(instance: Instance) -> None:
    """A process id of an earlier boot, or of years ago, is another process's."""
    now = time.time()
    days = 86400.0
    lines = [*job("older", "Failed", now - 9 * days, now - 8 * days), *job("long", "?", now - 4.9 * days)[:1]]
    instance.journal = journal([*lines, *job("", "Failed", 0, now - 5)[1:]])
    waiting = Waiting(instance)
    assert waiting.results(now - 9) == ["failure"]
    assert waiting.results(None) == ["failure"]
    assert all("--boot" in call for call in instance.calls)
    assert journal_lines(machine(instance), UNIT, {LISTENER}, now - 5 * days)[0].at == pytest.approx(
        now - 4.9 * days
    )


def test_own_listeners_is_the_listener_of_systemd(instance: Instance) -> None:
    """It descends from the main process without a program of the runner in between."""
    listener = instance.start("Runner.Listener")
    assert own_listeners(machine(instance), instance.layout, UNIT) == {listener.pid}
    instance.units[UNIT]["MainPID"] = str(listener.pid)
    assert own_listeners(machine(instance), instance.layout, UNIT) == {listener.pid}
    for main in ("0", "", "1" * 9):
        instance.units[UNIT]["MainPID"] = main
        assert own_listeners(machine(instance), instance.layout, UNIT) == set()


@pytest.mark.parametrize("above", ["Runner.Worker", "Runner.Listener"])
def test_own_listeners_excludes_programs_of_a_job(instance: Instance, above: str) -> None:
    fake = instance.root / "bin" / "Runner.Listener.d" / "Runner.Listener"
    fake.parent.mkdir(parents=True)
    fake.write_text("import sys; sys.stdin.read()\n")
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, {str(fake)!r}]); print(flush=True)\n"
    top = instance.start(above, f"{start}sys.stdin.read()\n")
    pids = own_listeners(machine(instance), instance.layout, UNIT)
    assert pids == ({top.pid} if above == "Runner.Listener" else set())


def test_own_listeners_raises_without_systemd(instance: Instance) -> None:
    instance.refusal = "no bus"
    with pytest.raises(CiError, match="no bus"):
        own_listeners(machine(instance), instance.layout, UNIT)


class Waiting:
    """A caller of wait_for_endings, with a clock and a journal that sleep moves on."""

    def __init__(self, instance: Instance, *later: Iterable[Line]) -> None:
        self.instance, self.later, self.passed = instance, list(later), 0.0

    def sleep(self, seconds: float) -> None:
        self.passed += seconds
        if self.later:
            self.instance.journal += journal(self.later.pop(0))

    def results(self, since: float | None) -> list[str]:
        host = Host(self.instance.run, self.sleep, lambda: self.passed)
        return [each.result for each in wait_for_endings(host, "one", UNIT, {LISTENER}, since)]


def test_wait_for_endings_waits_for_a_late_line(instance: Instance) -> None:
    now = time.time()
    begun, ended = job("build", "Failed", now - 30, now - 5)
    waiting = Waiting(instance, [begun], [], [ended])
    assert waiting.results(now - 9) == ["failure"]
    assert waiting.later == []


def test_wait_for_endings_does_not_stop_at_the_previous_job(instance: Instance) -> None:
    now = time.time()
    instance.journal = journal([*job("a", "Succeeded", now - 50, now - 40), *job("b", "?", now - 30)[:1]])
    waiting = Waiting(instance, [], [job("b", "Failed", now - 30, now - 5)[1]])
    assert waiting.results(now - 9) == ["success", "failure"]


def test_wait_for_endings_has_a_limit(instance: Instance) -> None:
    waiting = Waiting(instance)
    assert waiting.results(time.time()) == []
    assert 10 < waiting.passed < 11


def test_wait_for_endings_waits_for_the_rest_of_a_message(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    first, *rest = job("x completed with result: Succeeded\n", "Failed", now - 30, now)[2:]
    instance.journal = journal([job("x", "", now - 30)[0], first])
    assert Waiting(instance, [], rest).results(now - 9) == [""]


def test_wait_for_endings_ignores_times_in_the_future(instance: Instance) -> None:
    now = time.time()
    instance.journal = journal(job("a", "Succeeded", now - 50, now + 3600))
    assert Waiting(instance).results(None) == []


def test_wait_for_endings_without_a_start_does_not_wait(instance: Instance) -> None:
    now = time.time()
    instance.journal = journal(
        [*job("old", "Failed", now - 290, now - 270), *job("new", "Skipped", now - 9, now - 5)]
    )
    waiting = Waiting(instance)
    assert waiting.results(None) == ["skipped"]
    assert waiting.passed == 0


def test_wait_for_endings_without_a_journal_is_empty(instance: Instance) -> None:
    instance.refusal = "no permission"
    assert Waiting(instance).results(None) == []


def life(invocation: str, at: float, *lines: Line) -> str:
    """The journal of a start of the unit at ``at``."""
    start = Line(at, 1, "Starting")
    marks = {"UNIT": UNIT, "INVOCATION_ID": invocation, "_UID": "0", "_TRANSPORT": "journal"}
    began = entry(start, MESSAGE_ID="7d4958e842da4a758f6c1cdc7b36dcc5", **marks)
    own = {"_SYSTEMD_INVOCATION_ID": invocation, "_TRANSPORT": "stdout", "_UID": "990"}
    return "".join(f"{text}\n" for text in (began, *(entry(line, **own) for line in lines)))


def past(instance: Instance) -> list[tuple[str, str]]:
    host = Host(instance.run, time.sleep, time.monotonic)
    return [(each.job, each.result) for each in past_endings(host, "one", UNIT)]


def test_past_endings_are_those_of_listeners_that_have_ended(instance: Instance) -> None:
    """nomadkaraoke/karaoke-gen issue 103: each job fails within a second, before its first hook."""
    now = time.time()
    lives = [
        life(f"i{number}", at, Line(at, LISTENER + number, "Listening for Jobs"), *changed)
        for number, at in enumerate((now - 60, now - 40, now - 20))
        for changed in [
            [line._replace(pid=LISTENER + number) for line in job("build", "Failed", at + 1, at + 2)]
        ]
    ]
    instance.journal = "".join(lives) + life("idle", now - 5, Line(now - 4, 99, "Listening for Jobs"))
    assert past(instance) == [("build", "failure")] * 3


def test_past_endings_ignore_lines_of_jobs(instance: Instance) -> None:
    """A process of the job writes the same lines, also before the listener does."""
    at = time.time() - 30
    forged = job("invented", "Succeeded", at + 2, at + 3)
    instance.journal = life(
        "a",
        at,
        Line(at, LISTENER, "Listening for Jobs"),
        job("build", "Failed", at + 1)[0],
        *(line._replace(pid=LISTENER + 20) for line in forged),
        job("build", "Failed", at + 1, at + 4)[1],
    )
    assert past(instance) == [("build", "failure")]


def test_past_endings_are_of_the_last_minutes(instance: Instance) -> None:
    now = time.time()
    old, long = now - 4000, now - 3600
    instance.journal = life("old", old, *job("old", "Failed", old + 1, old + 2))
    instance.journal += life("long", long, *job("long", "Failed", long + 1, now - 9))
    assert past(instance) == [("long", "failure")]
