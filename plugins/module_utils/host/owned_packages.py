"""The packages that Ansible installed on a host, and their removal without what depends on them.

DNF and apt remove a package together with all packages that depend on it. rpm and dpkg refuse that, and they
have a rehearsal. So the rehearsal decides what may go, and the same program removes it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..errors import CiError
from .durable import make_directory, read_text, replace_file
from .process import Run

RECORD = "packages.json"
_RECORD_KEY = "installed"
_LONGEST_REASON = 400


class Database(NamedTuple):
    """The program of a package database.

    ``need`` matches a line about an installed package that would be broken, and its group is that package.
    """

    list_installed: tuple[str, ...]
    rehearse: tuple[str, ...]
    remove: tuple[str, ...]
    need: re.Pattern[str]


DATABASES = {
    "apt": Database(
        ("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n"),
        ("dpkg", "--dry-run", "--remove"),
        ("dpkg", "--remove"),
        re.compile(r"^ (\S+) (?:pre-)?depends on \S+", re.MULTILINE),
    ),
    "dnf": Database(
        ("rpm", "--query", "--all", "--queryformat", "installed %{NAME}\n"),
        ("rpm", "--erase", "--test"),
        ("rpm", "--erase"),
        re.compile(r"^\s+\S.* is needed by \(installed\) (\S+)$", re.MULTILINE),
    ),
}


class Plan(NamedTuple):
    """The packages to remove, and for each one that stays the packages that need it."""

    remove: list[str]
    keep: dict[str, list[str]]


def read_record(state_dir: str) -> list[str]:
    """Return the names of the packages that Ansible installed; none without a record.

    Raises CiError for a damaged record.
    """
    path = os.path.join(state_dir, RECORD)
    text = read_text(path)
    if text is None:
        return []
    try:
        names = json.loads(text)[_RECORD_KEY]
    except (ValueError, KeyError, TypeError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CiError(
            f"The record of installed packages in '{path}' is damaged, so no package counts as installed by "
            "Ansible; remove the file, then run again."
        )
    return names


def write_record(state_dir: str, names: Iterable[str]) -> None:
    """Keep ``names`` as the packages that Ansible installed; raises OSError."""
    make_directory(state_dir)
    text = json.dumps({_RECORD_KEY: sorted(set(names))}, indent=2) + "\n"
    replace_file(os.path.join(state_dir, RECORD), text)


def installed(manager: str, run: Run) -> set[str]:
    """Return the names of all installed packages; raises CiError."""
    lines = _checked(DATABASES[manager].list_installed, run).splitlines()
    return {name for status, _space, name in (line.partition(" ") for line in lines) if status == "installed"}


def plan_removal(names: Sequence[str], manager: str, run: Run) -> Plan:
    """Return which of the installed packages ``names`` may go; raises CiError."""
    return choose(names, lambda some: _broken(some, DATABASES[manager], run))


def remove(names: Sequence[str], manager: str, run: Run) -> None:
    """Remove ``names`` and nothing else; raises CiError if the database refuses."""
    _checked((*DATABASES[manager].remove, *names), run)


def choose(names: Sequence[str], broken_by: Callable[[Sequence[str]], Mapping[str, str]]) -> Plan:
    """Return the largest part of ``names`` that can be removed without breaking a package.

    ``broken_by`` returns what the removal of some names would break: a package by the line about its need.
    A name stays if its removal alone breaks something that the removal of all breaks too. If there is no such
    name, for example because a package needs one of two, all of them stay.
    """
    alone = {name: broken_by([name]) for name in names}
    going, keep = list(names), dict[str, list[str]]()
    while going:
        broken = broken_by(going)
        if not broken:
            break
        guilty = [name for name in going if alone[name].keys() & broken.keys()] or going
        for name in guilty:
            keep[name] = sorted({broken[need] for need in alone[name].keys() & broken.keys() or broken})
        going = [name for name in going if name not in keep]
    return Plan(going, keep)


def _broken(names: Sequence[str], database: Database, run: Run) -> dict[str, str]:
    argv = (*database.rehearse, *names)
    done = run(argv)
    if done.status == 0:
        return {}
    needs = {match[0].strip(): match[1] for match in database.need.finditer(done.stderr)}
    if not needs:
        raise _refused(argv, done.stderr or done.stdout)
    return needs


def _checked(argv: Sequence[str], run: Run) -> str:
    done = run(argv)
    if done.status != 0:
        raise _refused(argv, done.stderr or done.stdout)
    return done.stdout


def _refused(argv: Sequence[str], output: str) -> CiError:
    reason = " ".join(output.split())[:_LONGEST_REASON] or "it gave no reason"
    return CiError(f"'{' '.join(argv[:3])} ...' failed ({reason}); correct that on the host, then run again.")
