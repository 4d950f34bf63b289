"""Read the results of dnf and apt: missing packages, refusals, plans. Pure."""

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
# As they word a success. apt simulates with "Inst", and an upgrade has the old version in brackets.
_INSTALLED, _REMOVED = "Installed: ", "Removed: "
_GROUP = re.compile(r"Group (\S+) installed\.")
_NEW_TO_APT = re.compile(
    r"^(?:Inst|Selecting previously unselected package) ([a-z0-9][a-z0-9.+-]*?)(?::\w+)?(?: \(|\.$)",
    re.MULTILINE,
)
_SHORT = 400


def missing_packages(failure: Mapping[str, Any], names: Sequence[str], policy: str = "") -> list[str]:
    """Return the ``names`` that the repositories do not have, in their order.

    ``failure`` is the failed result of Ansible's dnf or apt module. ``policy`` is the output of
    ``apt-cache policy`` for ``names``; when it is given it decides alone, because
    Ansible's apt module stops at the first missing package.
    """
    if policy:
        known = _known_to_apt(policy)
        return [name for name in names if re.split(r"[=:/]", name)[0] not in known]
    messages = [str(failure.get("msg") or ""), *map(str, failure.get("failures") or [])]
    unknown = {name for line in messages for pattern in _UNKNOWN for name in _groups(pattern, line)}
    return [name for name in names if name in unknown or name.lstrip("@") in unknown]


def _groups(pattern: re.Pattern[str], line: str) -> list[str]:
    return [name for match in pattern.finditer(line) for name in match.groups() if name]


def _known_to_apt(policy: str) -> set[str]:
    """Return the names with a candidate.

    A stanza without one only means that another package mentions the name.
    """
    known = set()
    name = ""
    for line in policy.splitlines():
        if line and not line.startswith(" "):
            name = line.rstrip(":").split(":")[0]
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            known.add(name)
    return known


def package_refusal(failure: Mapping[str, Any], host: str, manager: str, missing: Sequence[str]) -> str:
    """Return one sentence about a refused transaction: host, packages, and what to do."""
    if missing:
        noun = "package" if len(missing) == 1 else "packages"
        return (
            f"The repositories of {host} have no {noun} {', '.join(missing)}; correct the name in "
            "system_packages_extra or the role's package data, add the repository to the host, or set "
            "system_packages_skip_unavailable to go on without."
        )
    messages = [str(failure.get("msg") or "").strip(), *map(str, failure.get("failures") or [])]
    reason = " ".join(" ".join(part for part in messages if part).split())
    if len(reason) > _SHORT:
        reason = reason[:_SHORT].rstrip() + " ..."
    return (
        f"{manager} on {host} refused to install the packages ({reason or 'it gave no reason'}); "
        "fix that on the host and converge again."
    )


def package_plan(result: Mapping[str, Any]) -> list[str]:
    """Return the packages and groups that a transaction of dnf or apt adds to the host.

    ``result`` is that of a real transaction or of check mode. The list has no package that only replaces
    another version of itself.
    """
    lines = [str(entry) for entry in result.get("results") or []]
    added = {line[len(_INSTALLED) :].rsplit("-", 2)[0] for line in lines if line.startswith(_INSTALLED)}
    replaced = {line[len(_REMOVED) :].rsplit("-", 2)[0] for line in lines if line.startswith(_REMOVED)}
    groups = {f"@{match[1]}" for match in map(_GROUP.match, lines) if match}
    return sorted((added - replaced) | groups | set(_NEW_TO_APT.findall(str(result.get("stdout") or ""))))
