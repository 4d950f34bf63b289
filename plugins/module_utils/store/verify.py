"""Verification of a whole store, and repair of damaged trees.

A repair fetches the tree again, or else removes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ..errors import CiError
from ..host.durable import read_text, storage_error
from . import trees
from .artifact import NAME, Artifact, url_problem
from .index import Index, Ref
from .layout import Layout
from .locks import Locks
from .members import Limits
from .receipt import Receipt, is_newer, single_file
from .trash import discard_tree, forget_names

if TYPE_CHECKING:
    from .install import Settings

FOUND, REPAIRED, REMOVED, KEPT = "found", "repaired", "removed", "kept"
DEFAULT_LIMITS = Limits(max_unpacked_bytes=34359738368, max_ratio=250, max_entries=500000)
# Called before each tree with its digest, its number and how many there are.
Report = Callable[[str, int, int], None]


class Corrupt(NamedTuple):
    """One damaged tree, its problem and its outcome.

    ``outcome`` is found (nothing was done), repaired, removed, or kept (it could not be removed); ``bytes``
    is its size before that; ``detail`` says why it was not repaired, or is empty.
    """

    sha256: str
    names: tuple[str, ...]
    problem: str
    outcome: str
    bytes: int = 0
    detail: str = ""
    bytes_downloaded: int = 0


class Sound(NamedTuple):
    """One tree that equals its receipt."""

    sha256: str
    names: tuple[str, ...]
    bytes: int


class Verified(NamedTuple):
    """The result of a verification.

    ``total_bytes`` are the trees that are there at the end.
    """

    changed: bool
    sound: tuple[Sound, ...]
    corrupt: tuple[Corrupt, ...]
    freed_bytes: int
    total_bytes: int
    warnings: tuple[str, ...]


def verify(
    store: str,
    *,
    full: bool = False,
    repair: bool = False,
    predict: bool = False,
    settings: Optional[Settings] = None,
    report: Optional[Report] = None,
) -> Verified:
    """Compare every tree of the store at the path ``store`` with its receipt.

    ``full`` reads every byte. With ``repair`` a damaged tree is removed and fetched again from its source;
    where that is not possible its names and links go too, so that no job gets half of it. With ``predict``
    writes nothing. Raises CiError.
    """
    layout = Layout(store)
    layout.check()
    if not layout.exists():
        return Verified(False, (), (), 0, 0, ())
    try:
        # Every user may look; only one who may write to the store can hold a tree meanwhile.
        if predict or not (repair or os.access(layout.locks, os.W_OK)):
            return _Verification(layout, None, full, settings).run(repair, report)
        layout.prepare()
        return _Verification(layout, Locks(layout), full, settings).run(repair, report)
    except OSError as error:
        raise storage_error(f"verifying the store {layout.root}", error) from error


class _Verification:
    """One pass over the store; without ``locks`` it changes nothing."""

    def __init__(
        self, layout: Layout, locks: Optional[Locks], full: bool, settings: Optional[Settings]
    ) -> None:
        self._layout = layout
        self._locks = locks
        self._full = full
        self._settings = settings
        self._index = Index(layout)
        self._freed = 0

    def run(self, repair: bool, report: Optional[Report]) -> Verified:
        by_digest = trees.names_by_digest(self._index.refs())
        everything = sorted({*trees.digests(self._layout), *by_digest})
        sound, corrupt = [], []
        for number, sha256 in enumerate(everything, start=1):
            if report:
                report(sha256, number, len(everything))
            refs = by_digest.get(sha256, [])
            names = tuple(ref.name for ref in refs)
            problem = self._problem(sha256, refs)
            if problem:
                size = trees.bytes_below(self._layout.tree(sha256))
                corrupt.append(self._repair(Corrupt(sha256, names, problem, FOUND, size), refs, repair))
            elif os.path.lexists(self._layout.tree(sha256)):
                size = trees.tree_bytes(self._layout, self._index, sha256)
                sound.append(Sound(sha256, names, size))
        changed = any(item.outcome in (REPAIRED, REMOVED) for item in corrupt)
        left = sum(
            trees.tree_bytes(self._layout, self._index, sha256) for sha256 in trees.digests(self._layout)
        )
        return Verified(changed, tuple(sound), tuple(corrupt), self._freed, left, tuple(_warnings(corrupt)))

    def _problem(self, sha256: str, refs: Sequence[Ref]) -> str:
        """Return what is wrong with the tree of ``sha256``, empty when nothing is."""
        if self._locks is None:
            return self._look(sha256, refs)
        with self._locks.reading(sha256):
            return self._look(sha256, refs)

    def _look(self, sha256: str, refs: Sequence[Ref]) -> str:
        condition = self._index.condition(sha256, self._full)
        if condition.damage or condition.receipt:
            return condition.damage
        # A tree that was removed since we listed it is no damage, unless a name is left.
        still = [ref for ref in refs if self._index.ref(ref.name) == ref]
        return "its directory is missing" if still else ""

    def _repair(self, item: Corrupt, refs: Sequence[Ref], repair: bool) -> Corrupt:
        """Fetch or remove ``item`` if asked to ``repair``; return its outcome."""
        if not repair:
            return item
        sha256 = item.sha256
        if is_newer(read_text(self._layout.receipt(sha256))):
            detail = "it was published by a newer version of this collection; verify it with that one"
            return item._replace(outcome=KEPT, detail=detail)
        artifacts, why_not = _requests(sha256, refs, self._index.receipt(sha256))
        if self._locks is None:
            return item._replace(outcome=REMOVED if why_not else REPAIRED, detail=why_not)
        if not why_not:
            try:
                return item._replace(outcome=REPAIRED, bytes_downloaded=self._fetch(artifacts))
            except CiError as error:
                why_not = str(error).rstrip(".")
        return self._remove(item, refs, why_not, self._locks)

    def _fetch(self, artifacts: Sequence[Artifact]) -> int:
        """Install the artifacts again; return the bytes downloaded. Raises CiError."""
        from .install import Settings, Store  # with urllib and ssl: only for a repair

        settings = (self._settings or Settings(DEFAULT_LIMITS))._replace(full=self._full, predict=False)
        done = Store(self._layout.root, settings).install(artifacts)
        return sum(result.bytes_downloaded for result in done.results)

    def _remove(self, item: Corrupt, refs: Sequence[Ref], why: str, locks: Locks) -> Corrupt:
        """Remove names, links and tree; a tree that a job is reading loses only its names."""
        with locks.changing_refs():
            current = [ref for ref in map(self._index.ref, [ref.name for ref in refs]) if ref]
            forget_names(self._layout, self._index, [r for r in current if r.sha256 == item.sha256])
        with locks.removing(item.sha256) as free:
            if not free:
                detail = f"{why}; a job is reading it, so only its names were removed"
                return item._replace(outcome=KEPT, detail=detail)
            discard_tree(self._layout, self._index, item.sha256)
        self._freed += item.bytes
        return item._replace(outcome=REMOVED, detail=why)


def _requests(
    sha256: str, refs: Sequence[Ref], receipt: Optional[Receipt]
) -> tuple[tuple[Artifact, ...], str]:
    """Return the artifacts that give ``refs`` their tree again, or why not.

    The receipt of the damaged tree says how the download was unpacked; refs do not.
    """
    if not refs:
        return (), "no name refers to it"
    if receipt is None:
        return (), "its receipt is unreadable, so it is not known how it was unpacked"
    urls = tuple(dict.fromkeys(ref.source_url for ref in refs if _is_usable(ref.source_url)))
    if not urls:
        return (), "its source is not known exactly (the part of a url that may be secret is not kept)"
    artifacts = tuple(
        Artifact(ref.name, urls, sha256, receipt.shape, (), ref.link, ref.pinned, ref.kind, ref.set_name)
        for ref in refs
        if NAME.fullmatch(ref.name)
    )
    file_name = single_file(receipt)
    if file_name and artifacts[0].file_name != file_name:
        return (), "its url does not give the name of its file"
    return artifacts, ""


def _is_usable(url: str) -> bool:
    """Tell whether ``url`` is complete.

    Refs leave out query and password, see ``public_url``.
    """
    return bool(url) and not url.endswith("?…") and "…@" not in url and not url_problem(url)


def _warnings(corrupt: Sequence[Corrupt]) -> list[str]:
    sentences = []
    for item in corrupt:
        if item.outcome == REPAIRED:
            continue
        who = ", ".join(item.names) or "A tree without a name"
        done = {FOUND: "", REMOVED: " and was removed", KEPT: " and could not be repaired"}[item.outcome]
        detail = f": {item.detail}" if item.detail else ""
        sentences.append(f"{who} ({item.sha256[:12]}) is damaged, {item.problem}{done}{detail}.")
    return sentences


def outline(corrupt: Sequence[Corrupt]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the diff before and after: every damaged name, and its outcome."""
    before = {name: item.problem for item in corrupt for name in item.names or (item.sha256,)}
    after = {
        name: {REPAIRED: "sound", REMOVED: None}.get(item.outcome, item.problem)
        for item in corrupt
        for name in item.names or (item.sha256,)
    }
    return before, after
