"""Reads what package managers say when they refuse, or only plan, a transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# As Ansible's dnf (DNF 4 and 5) and apt modules word it.
_UNKNOWN = (
    re.compile(r"No (?:package|group) (\S+) available"),
    re.compile(r"No package matching '([^']+)' is available"),
    re.compile(r"^(\S+) no group or environment\b|^(@\S+) .*\bnot available\b"),
)
_SHORT = 400


def missing_packages(failure: Mapping[str, Any], names: Sequence[str], policy: str = "") -> list[str]:
    """Return those of ``names`` that the repositories do not have, in their order.

    ``failure`` is the failed result of Ansible's dnf or apt module. ``policy`` is the output of
    ``apt-cache policy`` for ``names``; when given it decides alone, since apt's module stops at the first.
    """
    if policy:
        known = _known_to_apt(policy)
        return [name for name in names if re.split(r"[=:/]", name)[0] not in known]
    said = [str(failure.get("msg") or ""), *map(str, failure.get("failures") or [])]
    unknown = {name for line in said for pattern in _UNKNOWN for name in _groups(pattern, line)}
    return [name for name in names if name in unknown or name.lstrip("@") in unknown]


def _groups(pattern: re.Pattern[str], line: str) -> list[str]:
    return [name for match in pattern.finditer(line) for name in match.groups() if name]


def _known_to_apt(policy: str) -> set[str]:
    """Return the names with a candidate: a stanza alone may only mean that another package mentions it."""
    known = set()
    name = ""
    for line in policy.splitlines():
        if line and not line.startswith(" "):
            name = line.rstrip(":").split(":")[0]
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            known.add(name)
    return known


def package_refusal(failure: Mapping[str, Any], host: str, manager: str, missing: Sequence[str]) -> str:
    """Return one sentence for a refused transaction: which host, which packages, what to do."""
    if missing:
        noun = "package" if len(missing) == 1 else "packages"
        return (
            f"The repositories of {host} have no {noun} {', '.join(missing)}; correct the name in "
            "system_packages_extra or the role's package data, add the repository to the host, or set "
            "system_packages_skip_unavailable to go on without."
        )
    said = [str(failure.get("msg") or "").strip(), *map(str, failure.get("failures") or [])]
    reason = " ".join(" ".join(part for part in said if part).split())
    if len(reason) > _SHORT:
        reason = reason[:_SHORT].rstrip() + " ..."
    return (
        f"{manager} on {host} refused to install the packages ({reason or 'it gave no reason'}); "
        "mend that on the host and converge again."
    )


def package_plan(result: Mapping[str, Any]) -> list[str]:
    """Return what a transaction in check mode would install, by name, from dnf's or apt's result."""
    planned = [
        entry.split("Installed: ", 1)[1]
        for entry in map(str, result.get("results") or [])
        if entry.startswith("Installed: ")
    ]
    planned += re.findall(r"^Inst (\S+)", str(result.get("stdout") or ""), flags=re.MULTILINE)
    return sorted(set(planned))
