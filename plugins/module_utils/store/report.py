"""A store told to people and programs: what is in it, what was used when, and what is under way."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from . import survey
from .clock import boot_id, timestamp
from .collection import Disk, Tree
from .durable import read_text, storage_error
from .layout import Layout
from .records import Records


class Description(NamedTuple):
    """What a store holds, fit for JSON.

    ``artifacts`` are the refs with path, last use and protection; ``unreferenced`` the trees that no name
    refers to; ``downloads`` what is being fetched, as far as it tells of itself.
    """

    store: str
    exists: bool
    artifacts: tuple[dict[str, Any], ...]
    unreferenced: tuple[dict[str, Any], ...]
    downloads: tuple[dict[str, Any], ...]
    total_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int


def describe(store: str) -> Description:
    """Return what is in the store at the path ``store``; writes nothing. Raises CiError in one sentence."""
    layout = Layout(store)
    if not layout.exists():
        return Description(layout.root, False, (), (), (), 0, 0, 0)
    try:
        records = Records(layout, boot_id())
        trees = {tree.sha256: tree for tree in survey.trees(layout, records)}
        uses = survey.Uses(layout)
        disk: Disk = survey.disk(layout)
        artifacts = []
        for ref in records.refs().values():
            tree = trees.get(ref.sha256)
            artifacts.append(
                {
                    **ref._asdict(),
                    "link": ref.link or None,
                    "path": layout.tree(ref.sha256) if tree else None,
                    "last_used": timestamp(tree.last_used) if tree else None,
                    "in_use": uses.of(ref.sha256).text or None,
                }
            )
        return Description(
            store=layout.root,
            exists=True,
            artifacts=tuple(artifacts),
            unreferenced=tuple(_shown(layout, tree) for tree in trees.values() if not tree.names),
            downloads=tuple(downloads(layout)),
            total_bytes=sum(tree.bytes for tree in trees.values()),
            disk_total_bytes=disk.total_bytes,
            disk_free_bytes=disk.free_bytes,
        )
    except OSError as error:
        raise storage_error(f"looking at the store {layout.root}", error) from error


def downloads(layout: Layout) -> list[dict[str, Any]]:
    """Return what is being fetched now: what its progress file says, for digests that a process has."""
    uses = survey.Uses(layout)
    found = []
    for name in survey.names_in(layout.area("progress")):
        sha256, _dot, ending = name.partition(".")
        if ending != "json" or not uses.of(sha256).fetching:
            continue
        try:
            progress = json.loads(read_text(layout.progress(sha256)) or "null")
        except ValueError:
            continue
        if isinstance(progress, dict):
            found.append({"sha256": sha256, **progress})
    return found


def _shown(layout: Layout, tree: Tree) -> dict[str, Any]:
    return {
        "sha256": tree.sha256,
        "bytes": tree.bytes,
        "path": layout.tree(tree.sha256),
        "last_used": timestamp(tree.last_used),
        "in_use": tree.held or None,
    }
