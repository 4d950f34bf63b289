"""The index of a store: receipts, refs, and the files generated from them.

A ref is an installed name.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ..errors import CiError
from ..host.durable import read_text, remove_file, replace_file
from .layout import Layout
from .receipt import (
    Condition,
    Receipt,
    checksum_lines,
    content_difference,
    decode,
    encode,
    missing_paths,
    quick_difference,
)

if TYPE_CHECKING:
    from .artifact import Artifact

SCHEMA = 1
_TOUCH_EVERY_SECONDS = 300


class Ref(NamedTuple):
    """One installed name.

    ``bytes`` and ``files`` are of the unpacked tree; ``link`` is empty for none. ``set_name`` is the list of
    the inventory that wants it. It is ``released`` when that list no longer has it.
    """

    name: str
    sha256: str
    kind: str
    bytes: int
    files: int
    source_url: str
    installed_at: str
    pinned: bool
    link: str
    set_name: str = ""
    released: bool = False

    @property
    def wanted(self) -> bool:
        """Whether a list of the inventory has it, so that no collection removes it."""
        return bool(self.set_name) and not self.released


def encode_ref(ref: Ref) -> str:
    """Return ``ref`` as the text of its file."""
    return json.dumps({"schema": SCHEMA, **ref._asdict()}, indent=2) + "\n"


def decode_ref(text: Optional[str]) -> Optional[Ref]:
    """Return the ref in ``text``; None for no text or a damaged one.

    A damaged ref counts as not installed.
    """
    try:
        whole = json.loads(text or "null")
        if whole is None or whole["schema"] != SCHEMA:
            return None
        return Ref(
            name=str(whole["name"]),
            sha256=str(whole["sha256"]),
            kind=str(whole["kind"]),
            bytes=int(whole["bytes"]),
            files=int(whole["files"]),
            source_url=str(whole["source_url"]),
            installed_at=str(whole["installed_at"]),
            pinned=bool(whole["pinned"]),
            link=str(whole["link"]),
            # Older versions of this collection did not write these.
            set_name=str(whole.get("set_name", "")),
            released=bool(whole.get("released", False)),
        )
    except (ValueError, KeyError, TypeError):
        return None


def wanted(artifact: Artifact, receipt: Receipt, current: Optional[Ref], source_url: str, now: str) -> Ref:
    """Return the ref that ``artifact`` should have.

    While the digest stays, its source and the time of its installation stay too.
    """
    same = current is not None and current.sha256 == artifact.sha256
    return Ref(
        name=artifact.name,
        sha256=artifact.sha256,
        kind=artifact.kind,
        bytes=receipt.unpacked_bytes,
        files=receipt.file_count,
        source_url=source_url or (current.source_url if same and current else artifact.urls[0]),
        installed_at=current.installed_at if same and current else now,
        pinned=artifact.pinned,
        link=artifact.link,
        set_name=artifact.set_name,
    )


def released(ref: Ref) -> Ref:
    """Return ``ref`` as it is when no list has it any more."""
    return ref._replace(pinned=False, released=True)


def manifest(refs: Iterable[Ref]) -> str:
    """Return the text of ``version-manifest.json``: every ref, by name.

    Equal refs give equal text.
    """
    listed = {ref.name: {k: v for k, v in ref._asdict().items() if k != "name"} for ref in refs}
    return json.dumps({"schema": SCHEMA, "artifacts": listed}, indent=2, sort_keys=True) + "\n"


def checksums(refs: Iterable[Ref], receipts: Mapping[str, Receipt]) -> str:
    """Return the text of ``checksums.txt``.

    It has every file of every tree that a ref names, once.
    """
    digests = sorted({ref.sha256 for ref in refs if ref.sha256 in receipts})
    lines = [line for digest in digests for line in checksum_lines(receipts[digest])]
    return "".join(f"{line}\n" for line in lines)


def shown(ref: Optional[Ref]) -> Optional[dict[str, Any]]:
    """Return the part of ``ref`` that a diff shows: what the user chose."""
    if ref is None:
        return None
    choice = {"sha256": ref.sha256, "kind": ref.kind, "pinned": ref.pinned, "link": ref.link or None}
    return {**choice, "set_name": ref.set_name, **({"released": True} if ref.released else {})}


def desired(artifact: Artifact) -> dict[str, Any]:
    """Return what ``shown`` gives once ``artifact`` is installed."""
    return {
        "sha256": artifact.sha256,
        "kind": artifact.kind,
        "pinned": artifact.pinned,
        "link": artifact.link or None,
        "set_name": artifact.set_name,
    }


def check_expected(artifact: Artifact, receipt: Receipt) -> None:
    """Raise CiError when a path that ``artifact`` expects is not in its tree."""
    missing = missing_paths(receipt, artifact.expect)
    if missing:
        raise CiError(
            f"Artifact {artifact.name}: {', '.join(missing)} is expected and not in what was unpacked; "
            "correct expect or strip_components, or take the right archive.",
            artifact=artifact.name,
        )


class Index:
    """Reads and writes the index of the store ``layout``.

    The caller holds the refs lock when it writes refs.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def receipt(self, sha256: str) -> Optional[Receipt]:
        """Return the receipt of ``sha256``.

        None is for a missing or damaged one, and for that of another digest.
        """
        text = read_text(self._layout.receipt(sha256))
        receipt = decode(text) if text else None
        return receipt if receipt and receipt.sha256 == sha256 else None

    def write_receipt(self, receipt: Receipt) -> None:
        replace_file(self._layout.receipt(receipt.sha256), encode(receipt))

    def drop_receipt(self, sha256: str) -> None:
        remove_file(self._layout.receipt(sha256))
        remove_file(self._layout.last_used(sha256))

    def condition(self, sha256: str, full: bool) -> Condition:
        """Compare the tree of ``sha256`` with its receipt.

        It does so by lstat, and reads every byte when ``full``.
        """
        tree = self._layout.tree(sha256)
        if not os.path.lexists(tree):
            return Condition()
        receipt = self.receipt(sha256)
        if receipt is None:
            return Condition(damage="its receipt is missing or unreadable")
        damage = quick_difference(tree, receipt, os.stat(self._layout.root).st_uid)
        if not damage and full:
            damage = content_difference(tree, receipt)
        return Condition(damage=damage) if damage else Condition(receipt)

    def ref(self, name: str) -> Optional[Ref]:
        return decode_ref(read_text(self._layout.ref(name)))

    def refs(self) -> dict[str, Ref]:
        """Return all refs by name."""
        try:
            names = sorted(os.listdir(self._layout.area("refs")))
        except FileNotFoundError:
            return {}
        listed = (
            self.ref(name[: -len(".json")]) for name in names if name.endswith(".json") and name[0] != "."
        )
        return {ref.name: ref for ref in listed if ref}

    def write_ref(self, ref: Ref) -> None:
        replace_file(self._layout.ref(ref.name), encode_ref(ref))

    def drop_ref(self, name: str) -> None:
        remove_file(self._layout.ref(name))

    def generated_current(self) -> bool:
        """Tell whether the generated files match the refs.

        The manifest is written last, so its text decides for both.
        """
        refs = self.refs()
        text = read_text(self._layout.manifest)
        if text is None:
            return not refs
        return text == manifest(refs.values()) and os.path.exists(self._layout.checksums)

    def regenerate(self) -> None:
        """Write the generated files from the refs."""
        refs = self.refs()
        receipts = {sha256: self.receipt(sha256) for sha256 in {ref.sha256 for ref in refs.values()}}
        known = {sha256: receipt for sha256, receipt in receipts.items() if receipt}
        replace_file(self._layout.checksums, checksums(refs.values(), known))
        replace_file(self._layout.manifest, manifest(refs.values()))

    def touch(self, sha256: str) -> None:
        """Record a use of ``sha256``, at most every five minutes.

        So readers cost no disk writes. Every user can write the file, so that jobs can record their use. Only
        its owner can set another time than now (utime(2)), and its content is never read.
        """
        path = self._layout.last_used(sha256)
        # A store that is read-only at the moment can be used all the same.
        with contextlib.suppress(OSError):
            if not os.path.exists(path):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
                os.fchmod(fd, 0o666)  # independent of the umask
                os.close(fd)
            elif time.time() - os.stat(path).st_mtime >= _TOUCH_EVERY_SECONDS:
                os.utime(path)
