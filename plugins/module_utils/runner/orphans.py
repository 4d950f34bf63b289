"""Registrations that this host made for instances the inventory does not name any more.

They go in two passes: seen offline in one run, which is noted, and removed by the next one that sees the
same. The record of the registration on the host is what makes them ours; one whose unit or job lives is left
alone.
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
    """A registration by name and id; ``noted`` when the run before saw it offline."""

    name: str
    id: int
    noted: bool


class Verdict(str, enum.Enum):
    """What becomes of an unlisted registration."""

    KEEP = "keep"
    CLEAR = "clear"  # it was offline once, and came back
    NOTE = "note"
    REMOVE = "remove"
    FORGET = "forget"  # GitHub does not have it any more


def judge(one: Unlisted, registered_id: Optional[int], *, online: bool) -> Verdict:
    """Return what becomes of ``one``, when GitHub knows its name by ``registered_id`` (None: not at all)."""
    if registered_id != one.id:
        return Verdict.FORGET
    if online:
        return Verdict.CLEAR if one.noted else Verdict.KEEP
    return Verdict.REMOVE if one.noted else Verdict.NOTE


def unlisted(host: Host, base_dir: str, url: str, listed: Collection[str]) -> list[Unlisted]:
    """Return the resting registrations with ``url`` below ``base_dir`` whose name is not ``listed``."""
    found = []
    for name in sorted(set(_names(base_dir)) - set(listed)):
        layout = instance_layout(base_dir, name)
        record = read_record(layout, REGISTRATION)
        number = record.get("agent_id")
        if isinstance(number, int) and record.get("url") == url and _rests(host, name, layout):
            found.append(Unlisted(name, number, read_record(layout, ORPHAN).get("id") == number))
    return found


def record_verdicts(base_dir: str, verdicts: Iterable[tuple[Unlisted, Verdict]]) -> None:
    """Write down ``verdicts`` that GitHub's side has followed already."""
    for one, verdict in verdicts:
        layout = instance_layout(base_dir, one.name)
        if verdict is Verdict.NOTE:
            write_record(layout, ORPHAN, {"id": one.id})
        elif verdict is not Verdict.KEEP:
            forget_record(layout, ORPHAN)
            if verdict is not Verdict.CLEAR:
                forget_record(layout, REGISTRATION)


def verdicts_of(given: Iterable[dict[str, Any]]) -> list[tuple[Unlisted, Verdict]]:
    """Return verdicts from the module's option."""
    return [(Unlisted(one["name"], one["id"], noted=False), Verdict(one["verdict"])) for one in given]


def _rests(host: Host, name: str, layout: Layout) -> bool:
    unit = instance_unit(name)
    active = systemd.show(host.run, [unit])[unit].active
    return not active and not has_worker(layout.root, unit, host.proc)


def _names(base_dir: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(base_dir) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
