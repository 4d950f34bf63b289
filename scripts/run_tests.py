"""Runs the stages of ``make test`` and ends with one plain line: ``N passed, N failed``.

A stage is a list of checks; a check is a command, and counts as one unless it writes a JUnit file, whose
cases are then counted instead. What one check prints is shown as it comes, so that a person always sees that
it goes on.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
BIN = Path(".venv/bin")
OLDEST = Path(".venv-oldest/bin")
REPORTS = Path(".testbed/reports")
INTERRUPTED = 130
#: A file's tests stay together: they share what is dear to make.
BOTH_CORES = ("-n", "2", "--dist", "loadfile")
#: Molecule's frames around what a command prints only break its lines.
PLAIN = ("--no-command-borders",)
#: Dependency order, so that each role is first checked on a host that has not seen it.
SCENARIOS = (
    "hardening",
    "system_packages",
    "rust_toolchains",
    "libvosk",
    "vosk_models",
    "agent",
    "maintenance",
    "github_runner",
    "playbook_site",
)


@dataclasses.dataclass
class Check:
    """One command of a stage; ``junit`` counts its cases one by one."""

    name: str
    argv: list[str]
    junit: Path | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Tally:
    """What has been counted so far; ``notes`` are the names of failures and the reasons of skips."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    def add_check(self, name: str, *, ok: bool) -> None:
        """Count a command as one test."""
        self.passed += ok
        self.failed += not ok
        if not ok:
            self.notes.append(f"FAILED  {name}")

    def add_junit(self, name: str, report: Path, *, ok: bool) -> None:
        """Count the cases of a JUnit file; a command that failed without a failed case counts as one."""
        failed_before = self.failed
        try:
            cases = list(ET.parse(report).iter("testcase"))
        except ET.ParseError:  # whoever wrote it was killed
            cases, ok = [], False
        for case in cases:
            title = f"{name}: {case.get('classname')}.{case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
                self.notes.append(f"FAILED  {title}")
            elif skip is not None:
                self.skipped += 1
                self.notes.append(f"SKIPPED {title}: {skip.get('message')}")
            else:
                self.passed += 1
        if not ok and self.failed == failed_before:
            self.add_check(name, ok=False)


def pytest(name: str, *arguments: str, python: Path = BIN) -> Check:
    """Return a check that runs pytest with ``arguments`` and is counted case by case."""
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    argv = [str(python / "python"), "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    return Check(name, argv, junit=report)


def lint() -> list[Check]:
    """Return every static gate."""
    return [
        Check("ruff check", [f"{BIN}/ruff", "check"]),
        Check("ruff format", [f"{BIN}/ruff", "format", "--check"]),
        Check("mypy --strict", ["scripts/typecheck"]),
        Check("import-linter", [f"{BIN}/lint-imports", "pyproject.toml"]),
        Check("yamllint", [f"{BIN}/yamllint", "--strict", "."]),
        Check("ansible-lint", [f"{BIN}/ansible-lint", "--offline", "--strict"]),
        Check("antsibull-docs", ["scripts/docs-lint"]),
        # Without the programs shellcheck and pyflakes, which a machine has or has not.
        Check("actionlint", [f"{BIN}/actionlint", "-no-color", "-shellcheck=", "-pyflakes="]),
        Check("zizmor", [f"{BIN}/zizmor", "--offline", "--no-progress", "--quiet", ".github"]),
    ]


def sanity() -> list[Check]:
    """Return the checks that Ansible asks of every collection."""
    return [
        Check("ansible-test sanity", ["scripts/sanity"]),
        Check(
            "ansible-test sanity on the oldest core", ["scripts/sanity"], environment={"VENV": ".venv-oldest"}
        ),
    ]


def unit() -> list[Check]:
    """Return the unit tests, on both supported ends of ansible-core, and those of the page in a browser."""
    return [
        pytest("unit", *BOTH_CORES, "tests/unit", "tests/quality"),
        pytest("browser", "tests/browser"),
        pytest("unit on the oldest core", *BOTH_CORES, "tests/unit/plugins", python=OLDEST),
    ]


def faults() -> list[Check]:
    """Return the tests that kill, truncate, fill disks and lie."""
    return [pytest("faults", "tests/faults")]


def molecule() -> list[Check]:
    """Return one check per scenario, its testinfra cases, and the runs that need a converged world."""
    checks = [Check("testbed", [f"{BIN}/python", "-m", "testbed", "up", "--world", "test", "--fresh"])]
    for scenario in SCENARIOS:
        report = REPORTS / f"molecule-{scenario}.xml"
        checks.append(
            Check(
                f"molecule {scenario}",
                [f"{BIN}/molecule", "test", "--scenario-name", scenario, "--destroy=never", *PLAIN],
                junit=report,
                environment={"PYTEST_ADDOPTS": f"--junitxml={(CHECKOUT / report)}"},
            )
        )
    checks.append(pytest("converged world", "tests/world"))
    checks.append(Check("testbed stops", [f"{BIN}/python", "-m", "testbed", "down", "--world", "test"]))
    return checks


STAGES: dict[str, Callable[[], list[Check]]] = {
    "lint": lint,
    "unit": unit,
    "faults": faults,
    "sanity": sanity,
    "molecule": molecule,
}


def perform(check: Check, tally: Tally) -> None:
    """Run one check and count it."""
    print(f"\n== {check.name}", flush=True)
    if check.junit:
        check.junit.unlink(missing_ok=True)
    begun = time.monotonic()
    done = subprocess.run(check.argv, env={**os.environ, **check.environment}, check=False)
    ok = done.returncode == 0
    if check.junit and check.junit.exists():
        tally.add_junit(check.name, check.junit, ok=ok)
    else:
        tally.add_check(check.name, ok=ok)
    print(f"== {check.name}: {'ok' if ok else 'FAILED'} in {time.monotonic() - begun:.0f} s", flush=True)


def main(names: list[str]) -> int:
    """Run the named stages, or all, and say what came out."""
    # What a shell starts in the background ignores SIGINT, and so would everything that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(CHECKOUT)
    REPORTS.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    interrupted = False
    try:
        for name in names or STAGES:
            for check in STAGES[name]():
                perform(check, tally)
    except KeyboardInterrupt:
        interrupted = True
        tally.notes.append(
            "INTERRUPTED; hosts may still run, '.venv/bin/python -m testbed down --world test' ends them"
        )
    print()
    for note in tally.notes:
        print(note)
    print(
        f"{tally.passed} passed, {tally.failed} failed"
        + (f", {tally.skipped} skipped" if tally.skipped else "")
    )
    return INTERRUPTED if interrupted else int(tally.failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
