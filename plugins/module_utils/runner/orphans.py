"""Orphans: registrations by this host for instances no longer in the inventory.

A run that sees an orphan offline notes it. The next run that sees the same removes it. A registration is ours
if the host has its record. One with an active unit or a job stays.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, Optional

from ..host import systemd
from .account import Host
from .configure import read_agent
from .instance_records import (
    ORPHAN,
    REGISTRATION,
    forget_record,
    is_announced,
    read_record,
    write_record,
)
from .layout import Layout, instance_layout, instance_unit
from .worker import has_worker


class Unlisted(NamedTuple):
    """A registration by name and id; ``noted`` if an earlier run saw it offline."""

    name: str
    id: int
    noted: bool


class Verdict(str, enum.Enum):
    """The decision about an unlisted registration."""

    KEEP = "keep"
    CLEAR = "clear"  # noted, but online again
    NOTE = "note"
    REMOVE = "remove"
    FORGET = "forget"  # GitHub no longer has it


def judge(orphan: Unlisted, registered_id: Optional[int], *, online: bool) -> Verdict:
    """Return the verdict about ``orphan``.

    ``registered_id`` is the id that GitHub has for its name; None if GitHub does not know the name.
    """
    if registered_id != orphan.id:
        return Verdict.FORGET
    if online:
        return Verdict.CLEAR if orphan.noted else Verdict.KEEP
    return Verdict.REMOVE if orphan.noted else Verdict.NOTE


def unlisted(
    host: Host, base_dir: str, url: str, listed: Collection[str]
) -> tuple[list[Unlisted], list[str]]:
    """Return the registrations not in ``listed``: those at rest, and names at work.

    One at work has an active unit or a job. Those at rest are only those of ``url``.
    """
    at_rest, working = [], []
    for name in sorted(set(_names(base_dir)) - set(listed)):
        layout = instance_layout(base_dir, name)
        record = read_record(layout, REGISTRATION)
        number = record.get("agent_id")
        if not isinstance(number, int):
            continue
        if not _is_at_rest(host, name, layout):
            working.append(name)
        elif record.get("url") == url:
            at_rest.append(Unlisted(name, number, read_record(layout, ORPHAN).get("id") == number))
    return at_rest, working


def working_warning(names: Iterable[str]) -> str:
    """Return a warning about instances that work and are not in the inventory."""
    quoted = ", ".join(f"'{name}'" for name in names)
    return quoted and (
        f"This host also runs {quoted}, not in the inventory, and GitHub still gives it jobs. To remove it, "
        "list it in github_runner_instances with state: absent and converge; to keep it, list it without."
    )


def record_verdicts(base_dir: str, verdicts: Iterable[tuple[Unlisted, Verdict]]) -> None:
    """Record ``verdicts`` on the host.

    The controller has already changed GitHub's side.
    """
    for orphan, verdict in verdicts:
        layout = instance_layout(base_dir, orphan.name)
        if verdict is Verdict.NOTE:
            write_record(layout, ORPHAN, {"id": orphan.id})
        elif verdict is not Verdict.KEEP:
            forget_record(layout, ORPHAN)
            if verdict is not Verdict.CLEAR:
                forget_record(layout, REGISTRATION)


def verdicts_of(given: Iterable[dict[str, Any]]) -> list[tuple[Unlisted, Verdict]]:
    """Return the verdicts in the module's option ``orphans``."""
    return [(Unlisted(item["name"], item["id"], noted=False), Verdict(item["verdict"])) for item in given]


class OwnRegistration(NamedTuple):
    """What this host knows about the registration of an instance, as ``plan.Local``."""

    name: str
    agent_id: Optional[int]
    recorded_id: Optional[int]
    announced: bool


def own_registrations(base_dir: str) -> list[OwnRegistration]:
    """Return what the instances below ``base_dir`` know about their registrations."""
    owned = []
    for name in sorted(_names(base_dir)):
        layout = instance_layout(base_dir, name)
        recorded = read_record(layout, REGISTRATION).get("agent_id")
        number = recorded if isinstance(recorded, int) else None
        owned.append(OwnRegistration(name, read_agent(layout)[0], number, is_announced(layout)))
    return owned


def _is_at_rest(host: Host, name: str, layout: Layout) -> bool:
    unit = instance_unit(name)
    active = systemd.show(host.run, [unit])[unit].active
    return not active and not has_worker(layout.root, unit, host.proc)


def _names(base_dir: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(base_dir) if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
