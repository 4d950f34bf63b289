"""The test run itself: lanes, whole outputs, a table of seconds, Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


def start(tmp_path: Path, stages: str, *names: str) -> subprocess.Popen[str]:
    """Start a run of ``stages``, the source of a dictionary, in an empty directory."""
    program = f"""
        import sys
        from pathlib import Path
        from scripts import run_tests
        from scripts.run_tests import Check

        def shell(name, script, **more):
            return Check(name, ["sh", "-c", script], **more)

        run_tests.CHECKOUT = Path({str(tmp_path)!r})
        run_tests.STAGES = {stages}
        sys.exit(run_tests.main({list(names)!r}))
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(run: subprocess.Popen[str]) -> str:
    """Return everything that the run printed."""
    return run.communicate(timeout=60)[0]


def test_run_tests_runs_lanes_side_by_side(tmp_path: Path) -> None:
    # Each waits until the other has begun.
    wait = "touch {0}; until [ -e {1} ]; do sleep 0.01; done; echo {0} met {1}"
    run = start(
        tmp_path,
        f"""{{
            "lint": lambda: [shell("computes", "{wait.format("a", "b")}")],
            "roles": lambda: [shell("waits", "{wait.format("b", "a")}")],
        }}""",
    )
    output = finish(run)
    assert run.returncode == 0
    assert "== output of computes\na met b\n== computes: ok in 0 s\n" in output
    assert "== output of waits\nb met a\n== waits: ok in 0 s\n" in output
    assert output.endswith("\n2 passed, 0 failed\n")


def test_run_tests_lets_a_lane_without_hosts_help(tmp_path: Path) -> None:
    wait = 'shell("{0}", "touch {0}; until [ -e {1} ]; do sleep 0.01; done")'
    run = start(
        tmp_path,
        f"""{{
            "lint": lambda: [{wait.format("a", "b")}, {wait.format("b", "a")}],
            "roles": lambda: [shell("hosts", "true")],
        }}""",
    )
    assert finish(run).endswith("\n3 passed, 0 failed\n")


def test_run_tests_keeps_the_order_within_a_lane(tmp_path: Path) -> None:
    run = start(
        tmp_path,
        """{
            "lint": lambda: [shell("first", "sleep 0.1; touch first"), shell("second", "cat first")],
            "unit": lambda: [shell("third", "exit 4")],
        }""",
    )
    output = finish(run)
    assert run.returncode == 1
    assert re.findall(r"== (\w+): (\w+)", output) == [("first", "ok"), ("second", "ok"), ("third", "FAILED")]
    assert output.endswith("\nFAILED  third\n2 passed, 1 failed\n")


def test_run_tests_prints_the_seconds_of_each_check(tmp_path: Path) -> None:
    run = start(
        tmp_path,
        """{
            "lint": lambda: [shell("sleeps", "sleep 1.6")],
            "roles": lambda: [Check("computes", [sys.executable, "-c", "import itertools, time;"
                "any(time.process_time() > 1.6 for _ in itertools.count())"])],
        }""",
    )
    table = finish(run).partition("seconds")[2]
    figures = {
        name: (int(seconds), int(cpu)) for seconds, cpu, name in re.findall(r"(\d+) +(\d+)  +(\w+)", table)
    }
    assert set(figures) == {"lint", "sleeps", "roles", "computes", "together"}
    assert (figures["sleeps"][0] >= 2, figures["sleeps"][1]) == (True, 0)
    assert figures["computes"][1] == 2
    assert figures["together"][1] == figures["computes"][1]


@pytest.mark.parametrize(
    ("report", "counts"),
    [
        ("<s><testcase/><testcase><skipped/></testcase></s>", "1 passed, 0 failed, 1 skipped"),
        ("<s><testcase/><testcase><failure/></testcase></s>", "1 passed, 1 failed"),
        ("<s><testcase/><testcase><err", "0 passed, 1 failed"),
    ],
)
def test_run_tests_counts_the_cases_of_a_report(tmp_path: Path, report: str, counts: str) -> None:
    (tmp_path / "whole.xml").write_text(report)
    run = start(
        tmp_path, '{"unit": lambda: [shell("cases", "cp whole.xml report.xml", junit=Path("report.xml"))]}'
    )
    assert finish(run).endswith(f"\n{counts}\n")


def test_run_tests_ends_every_check_on_an_interrupt(tmp_path: Path) -> None:
    run = start(
        tmp_path,
        """{
            "lint": lambda: [
                shell("cleans", "trap 'touch cleaned; exit 9' INT; echo up; sleep 60 & wait"),
                shell("later", "touch later"),
            ],
            "roles": lambda: [shell("other", "echo up; exec sleep 60")],
        }""",
    )
    logs = [tmp_path / f".testbed/reports/{name}.log" for name in ("cleans", "other")]
    while not all(log.exists() and log.read_text() == "up\n" for log in logs):
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    output = finish(run)
    assert run.returncode == 130
    assert (tmp_path / "cleaned").exists()
    assert not (tmp_path / "later").exists()
    assert "INTERRUPTED; hosts may still run" in output
    assert output.endswith("\n0 passed, 2 failed\n")


def test_run_tests_kills_a_check_that_ignores_the_interrupt(tmp_path: Path) -> None:
    run = start(
        tmp_path, """{"lint": lambda: [shell("deaf", "trap '' INT; touch up; sleep 60; sleep 60")]}"""
    )
    while not (tmp_path / "up").exists():
        assert run.poll() is None
    run.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(timeout=0.5)
    run.send_signal(signal.SIGINT)
    assert "deaf: FAILED" in finish(run)
    assert run.returncode == 130
