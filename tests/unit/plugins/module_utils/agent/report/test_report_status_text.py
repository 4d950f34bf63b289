"""The status as text: a single screen, in every width and with every name."""

from __future__ import annotations

import re

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import Job
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.facts import Cache, Disk, Facts
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.status_text import render
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.status_view import view
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.words import (
    clean,
    clip,
    columns,
    duration,
    wrap,
)
from hypothesis import given
from hypothesis import strategies as st

from tests._support.report_jobs import A_JOB, HOSTILE, NOW
from tests.unit.plugins.module_utils.agent.report.test_report_status_view import (
    DISK,
    FIT,
    FLIGHT,
    HEAVY,
    MIDNIGHT,
    RUNNING,
)

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
WIDE = "模型-" * 20
UNTOLD = A_JOB._replace(result="")
BUSY = HEAVY._replace(name=HOSTILE, busy=True)
STRANGE = FIT._replace(
    host=WIDE,
    instances=[BUSY, *(HEAVY._replace(name=f"{WIDE}{number}", state="failed") for number in range(9))],
    jobs=[RUNNING._replace(instance=HOSTILE, job=HOSTILE * 9, workflow=WIDE)],
    caches=[Cache(WIDE, "model", 10**9)] * 12,
    downloads=[FLIGHT._replace(name=WIDE, alive=False)] * 8,
    disks=[Disk(f"/{WIDE}", 1, 0, 100.0)],
    unknown={"jobs": HOSTILE},
)


def test_render_shows_a_fit_host_on_one_screen() -> None:
    shown = render(view(FIT._replace(instances=[HEAVY._replace(busy=True)], jobs=[RUNNING])), False, 80)
    assert shown == (
        "laptop-extra: nothing needs you                             2026-11-18 11:06 UTC\n"
        "\n"
        "RUNNERS   heavy-1  busy    1 min 30 s  build (CI, Coldaine/ColdVox)\n"
        "TODAY     no job ended here yet\n"
        "HEALTH    90 of 100, healthy, use-self-hosted\n"
        "           -10  running jobs: 2, above 1\n"
        "          load 1.5, memory 40 % used\n"
        "CACHES    2.7 kB in 2 artifacts, 90 % hits in 24 hours\n"
        "          big                                                             2.7 kB\n"
        "          small                                                             40 B\n"
        "DOWNLOADS big: download 450 B of 1.8 kB (25 %), 50 B/s, 27 s to go\n"
        "          next: small, tiny and 3 more\n"
        "DISK      /var/lib/actions-runner: 60 % used, 80.0 GB free\n"
        "NEXT      soon in 1 min\n"
        "          late in 2 h 30 min\n"
        "          nightly by cron: 15 3 * * *\n"
        "HEALED    1 h ago: light-1: restart, because it was deaf"
    )


@pytest.mark.parametrize(
    ("jobs", "text"),
    [
        ([UNTOLD, UNTOLD], "TODAY     2 jobs ended with an unknown result\n"),
        ([A_JOB, UNTOLD], "on average\n          1 more with an unknown result\n"),
    ],
)
def test_render_counts_jobs_of_unknown_result(jobs: list[Job], text: str) -> None:
    assert text in render(view(FIT._replace(jobs=jobs)), False, 80)


@pytest.mark.parametrize("width", [80, 40, 120, 1])
@pytest.mark.parametrize("facts", [FIT, STRANGE, Facts(WIDE, NOW, MIDNIGHT)], ids=["fit", "strange", "fresh"])
def test_render_fits_every_line_to_the_terminal(facts: Facts, width: int) -> None:
    for colour in (False, True):
        for line in render(view(facts), colour, width).split("\n"):
            assert columns(ESCAPE.sub("", line)) <= max(width, 40), line


def test_render_shows_host_verdict_and_names_in_a_narrow_terminal() -> None:
    facts = FIT._replace(instances=[HEAVY._replace(name="laptop-extra-integration-tests")])
    wide = render(view(facts), False, 60).splitlines()
    assert "RUNNERS   laptop-extra-integration-tests  idle" in wide
    unknown = Facts("laptop-extra", NOW, MIDNIGHT, unknown={"jobs": "x"})
    narrow = render(view(unknown), False, 44).splitlines()
    assert narrow[:2] == ["laptop-extra:", "nothing needs you, as far as is known"]


def test_render_of_many_parts_stays_one_screen() -> None:
    lines = render(view(STRANGE), False, 80).splitlines()
    assert len(lines) < 65
    assert "   and 12 more things; see: runnerctl status --json" in lines
    assert "          and 6 more runners" in lines


def test_render_puts_needs_first_and_in_full() -> None:
    facts = FIT._replace(disks=[DISK._replace(path="/var/a-rather-long-path-of-a-disk", used_percent=99.0)])
    lines = render(view(facts), False, 60).splitlines()
    assert lines[0].startswith("laptop-extra: 1 critical")
    assert " ".join(line.strip() for line in lines[2:5]).startswith(
        "!! the disk of /var/a-rather-long-path-of-a-disk is 99 % full see what can go: sudo runnerctl cache"
    )


def test_render_adds_colours_on_request_and_keeps_the_text() -> None:
    facts = FIT._replace(disks=[DISK._replace(used_percent=99.0)])
    plain, coloured = (render(view(facts), colour, 80) for colour in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[31;1m!!" in coloured
    stripped = [ESCAPE.sub("", line).rstrip() for line in coloured.splitlines()]
    assert stripped == plain.splitlines()


def test_render_passes_no_control_characters_of_names() -> None:
    shown = render(view(STRANGE), False, 120)
    assert all(letter.isprintable() for letter in shown.replace("\n", ""))
    assert "\u202e" not in shown


def test_render_explains_unknown_parts() -> None:
    facts = Facts("fresh", NOW, MIDNIGHT, unknown={"runners": "no systemd", "jobs": "no history"})
    lines = render(view(facts), False, 80).splitlines()
    assert lines[0].startswith("fresh: nothing needs you, as far as is known")
    assert "RUNNERS   unknown: no systemd" in lines
    assert "TODAY     unknown: no history" in lines
    assert "HEALTH    unknown: not checked" in lines


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (252, "4 min 12 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86400, "1 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_duration_has_at_most_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_clip_and_wrap_fit_any_text_to_any_width(text: str, width: int) -> None:
    cut = clip(clean(text), width)
    assert columns(cut) <= width
    assert all(columns(line) <= width for line in wrap(clean(text), width))


@given(st.text(alphabet=st.characters(categories=["L", "N"]), max_size=9), st.integers(10, 30))
def test_wrap_loses_no_word_that_fits(word: str, width: int) -> None:
    text = " ".join([word] * 7)
    if columns(word) <= width:
        assert " ".join(wrap(text, width)).split() == text.split()
