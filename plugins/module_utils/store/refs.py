"""Refs: which name means which digest; and the two files generated from them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .receipt import Receipt, checksum_lines

if TYPE_CHECKING:
    from .artifact import Artifact

SCHEMA = 1


class Ref(NamedTuple):
    """One installed name. ``bytes`` and ``files`` are of the unpacked tree; ``link`` is empty for none."""

    name: str
    sha256: str
    kind: str
    bytes: int
    files: int
    source_url: str
    installed_at: str
    pinned: bool
    link: str


def encode(ref: Ref) -> str:
    """Return ``ref`` as the text of its file."""
    return json.dumps({"schema": SCHEMA, **ref._asdict()}, indent=2) + "\n"


def decode(text: Optional[str]) -> Optional[Ref]:
    """Return the ref in ``text``; None when there is none or it is damaged, which then counts as not
    installed.
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
        )
    except (ValueError, KeyError, TypeError):
        return None


def wanted(artifact: Artifact, receipt: Receipt, current: Optional[Ref], source_url: str, now: str) -> Ref:
    """Return the ref that ``artifact`` should have; where it came from and since when is kept while it
    stays.
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
    )


def manifest(refs: Iterable[Ref]) -> str:
    """Return the text of ``version-manifest.json``: every ref, by name. Equal refs give equal text."""
    listed = {ref.name: {k: v for k, v in ref._asdict().items() if k != "name"} for ref in refs}
    return json.dumps({"schema": SCHEMA, "artifacts": listed}, indent=2, sort_keys=True) + "\n"


def checksums(refs: Iterable[Ref], receipts: Mapping[str, Receipt]) -> str:
    """Return the text of ``checksums.txt``: every file of every tree that a ref names, once."""
    digests = sorted({ref.sha256 for ref in refs if ref.sha256 in receipts})
    lines = [line for digest in digests for line in checksum_lines(receipts[digest])]
    return "".join(f"{line}\n" for line in lines)


def shown(ref: Optional[Ref]) -> Optional[dict[str, Any]]:
    """Return what a diff shows of ``ref``: what the user decides, not when and where it was fetched."""
    if ref is None:
        return None
    return {"sha256": ref.sha256, "kind": ref.kind, "pinned": ref.pinned, "link": ref.link or None}


def desired(artifact: Artifact) -> dict[str, Any]:
    """Return what ``shown`` gives once ``artifact`` is installed."""
    return {
        "sha256": artifact.sha256,
        "kind": artifact.kind,
        "pinned": artifact.pinned,
        "link": artifact.link or None,
    }
