"""The security report as one page of Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Optional

from ...host.clock import timestamp
from ..report.markdown import table, text
from ..report.needs import ATTENTION, CRITICAL
from ..report.words import count
from .facts import Account, Facts, Port
from .judge import Check

_STATES = {True: "passed", False: "**failed**", None: "not possible"}


def page(facts: Facts, checks: Sequence[Check]) -> str:
    """Return the whole page, with a newline at its end."""
    return "\n".join(_lines(facts, checks)) + "\n"


def passed(check: Check) -> Optional[bool]:
    """Return whether ``check`` passed; None if it was not possible."""
    return None if check.faults is None else not check.faults


def summary(checks: Sequence[Check]) -> str:
    """Return the numbers of checks as a sentence."""
    states = [passed(check) for check in checks]
    faults = sum(len(check.faults or ()) for check in checks)
    return (
        f"{count(len(states), 'check')}: {states.count(True)} passed, {states.count(False)} failed with "
        f"{count(faults, 'fault')}, {states.count(None)} not possible."
    )


def _lines(facts: Facts, checks: Sequence[Check]) -> Iterator[str]:
    yield f"# {text(facts.host)}: security report, {timestamp(facts.now)}"
    yield ""
    yield summary(checks)
    yield from table(
        "To do",
        ("Level", "Fault", "Remedy"),
        [
            (need.level, text(need.what), text(need.todo))
            for level in (CRITICAL, ATTENTION)
            for check in checks
            for need in check.faults or ()
            if need.level == level
        ],
    )
    yield from table(
        "Checks", ("Check", ""), [(text(check.name), _STATES[passed(check)]) for check in checks]
    )
    if facts.unknown:
        yield ""
        yield from (f"* {text(part)}: {text(reason)}" for part, reason in sorted(facts.unknown.items()))
    yield from table(
        f"Exposure of units (profile {text(facts.profile or 'none')})",
        ("Unit", "Exposure, of 10"),
        [(text(unit.name), f"{unit.exposure:.1f}") for unit in facts.units or ()],
    )
    yield from table(
        "Accounts that can log in or run jobs",
        ("Account", "Id", "Groups", "Login", "Jobs", "Password"),
        map(_account, facts.accounts),
    )
    yield from table("Listening ports", ("Address", "Program"), map(_port, facts.ports or ()))
    yield from table(
        "Rules of sudo",
        ("Who", "As", "Commands", "Password"),
        [
            (_words(rule.users), _words(rule.runs_as), _words(rule.commands), _yes(rule.asks_password))
            for rule in facts.sudo or ()
        ],
    )
    yield from table(
        "Directories in the PATH of jobs that the jobs can write to",
        ("Runner", "Directory", "Before the system's"),
        [
            (text(runner.name), text(place), _yes(place in runner.early_path))
            for runner in facts.runners or ()
            for place in runner.writable_path
        ],
    )
    if facts.setuid is not None:
        yield ""
        yield "## Files with the setuid or setgid bit"
        yield ""
        foreign = facts.foreign_setuid
        owners = "not known" if foreign is None else _words(foreign) or "none"
        yield f"{count(len(facts.setuid), 'file')}; of no package: {owners}."


def _account(account: Account) -> tuple[str, ...]:
    password = "not known" if account.has_password is None else _yes(account.has_password)
    return (
        text(account.name),
        str(account.uid),
        _words(account.groups),
        text(account.shell) if account.can_login else "no",
        _yes(account.runs_jobs),
        password,
    )


def _port(port: Port) -> tuple[str, str]:
    address = f"[{port.address}]" if ":" in port.address else port.address
    return text(f"{port.protocol} {address}:{port.port}"), text(port.program)


def _words(words: Iterable[str]) -> str:
    return text(", ".join(words))


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
