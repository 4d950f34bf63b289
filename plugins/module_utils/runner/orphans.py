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
from .instance_records import ORPHAN, REGISTRATION, forget_record, read_record, write_record
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


def unlisted(host: Host, base_dir: str, url: str, listed: Collection[str]) -> list[Unlisted]:
    """Return the registrations with ``url`` below ``base_dir`` not in ``listed``.

    Leave out instances with an active unit or a job.
    """
    orphans = []
    for name in sorted(set(_names(base_dir)) - set(listed)):
        layout = instance_layout(base_dir, name)
        record = read_record(layout, REGISTRATION)
        number = record.get("agent_id")
        if isinstance(number, int) and record.get("url") == url and _is_at_rest(host, name, layout):
            orphans.append(Unlisted(name, number, read_record(layout, ORPHAN).get("id") == number))
    return orphans


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


def _is_at_rest(host: Host, name: str, layout: Layout) -> bool:
    unit = instance_unit(name)
    active = systemd.show(host.run, [unit])[unit].active
    return not active and not has_worker(layout.root, unit, host.proc)


def _names(base_dir: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(base_dir) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
