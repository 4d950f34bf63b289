"""The receipt of a published tree, and the comparison of the tree on disk with it.

The quick comparison is one pass of lstat; the full one reads every byte.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Optional

SCHEMA = 1
CHUNK_BYTES = 256 * 1024


class Shape(NamedTuple):
    """How the bytes become a tree.

    Two names of one digest must agree on it, because they share the tree.
    """

    format: str
    strip_components: int = 0
    executable: tuple[str, ...] = ()


class Entry(NamedTuple):
    """One file, directory or symlink of a tree.

    ``mode`` is ``st_mode`` with its type bits, ``mtime`` whole seconds since the epoch (files only, else 0),
    ``sha256`` is of a file's bytes and ``target`` of a symlink.
    """

    path: str
    mode: int
    size: int = 0
    mtime: int = 0
    sha256: str = ""
    target: str = ""

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


class Seen(NamedTuple):
    """The result of ``lstat`` (and ``readlink``) for one entry on disk."""

    mode: int
    size: int
    mtime_ns: int
    uid: int
    target: str = ""


class Receipt(NamedTuple):
    """What was published.

    It is written after every byte of the tree is on disk, so its presence vouches for the tree. ``bytes`` is
    the size of the download.
    """

    sha256: str
    bytes: int
    shape: Shape
    entries: tuple[Entry, ...]

    @property
    def unpacked_bytes(self) -> int:
        return sum(entry.size for entry in self.entries if entry.is_file)

    @property
    def file_count(self) -> int:
        return sum(1 for entry in self.entries if not stat.S_ISDIR(entry.mode))


class Condition(NamedTuple):
    """The state of one digest's tree.

    ``receipt`` is set when the tree can be used, ``damage`` when it must go.
    """

    receipt: Optional[Receipt] = None
    damage: str = ""


def encode(receipt: Receipt) -> str:
    """Return ``receipt`` as JSON; equal receipts give equal text."""
    entries = []
    for entry in sorted(receipt.entries):
        item: dict[str, Any] = {"path": entry.path, "mode": format(entry.mode, "06o")}
        if entry.is_file:
            item.update(size=entry.size, mtime=entry.mtime, sha256=entry.sha256)
        elif entry.target:
            item.update(target=entry.target)
        entries.append(item)
    whole = {
        "schema": SCHEMA,
        "sha256": receipt.sha256,
        "bytes": receipt.bytes,
        "shape": receipt.shape._asdict(),
        "entries": entries,
    }
    return json.dumps(whole, separators=(",", ":")) + "\n"


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(
        path=str(item["path"]),
        mode=int(item["mode"], 8),
        size=int(item.get("size", 0)),
        mtime=int(item.get("mtime", 0)),
        sha256=str(item.get("sha256", "")),
        target=str(item.get("target", "")),
    )


def decode(text: str) -> Optional[Receipt]:
    """Return the receipt in ``text``.

    None is for a damaged receipt, and for a schema that this version does not know. The reader then treats
    the tree as unverified. So it treats the tree of a receipt with ``durable: false``, which an earlier
    version wrote where the file system has no fsync.
    """
    try:
        whole = json.loads(text)
        if whole["schema"] != SCHEMA or not whole.get("durable", True):
            return None
        shape = whole["shape"]
        return Receipt(
            sha256=str(whole["sha256"]),
            bytes=int(whole["bytes"]),
            shape=Shape(str(shape["format"]), int(shape["strip_components"]), tuple(shape["executable"])),
            entries=tuple(_entry(item) for item in whole["entries"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def is_newer(text: Optional[str]) -> bool:
    """Tell whether ``text`` is a receipt of a later schema.

    This version must not remove it.
    """
    try:
        return int(json.loads(text or "null")["schema"]) > SCHEMA
    except (ValueError, KeyError, TypeError):
        return False


def difference(receipt: Receipt, seen: Mapping[str, Seen], owner_uid: int) -> str:
    """Return the first difference between tree and receipt, empty for none."""
    for entry in receipt.entries:
        actual = seen.get(entry.path)
        if actual is None:
            return f"{entry.path} is missing"
        if actual.mode != entry.mode:
            return f"{entry.path} has mode {actual.mode:06o} instead of {entry.mode:06o}"
        if actual.uid != owner_uid:
            return f"{entry.path} belongs to user id {actual.uid} instead of {owner_uid}"
        if actual.target != entry.target:
            return f"{entry.path} points to {actual.target} instead of {entry.target}"
        if entry.is_file and actual.size != entry.size:
            return f"{entry.path} has {actual.size} bytes instead of {entry.size}"
        if entry.is_file and actual.mtime_ns != entry.mtime * 1_000_000_000:
            return f"{entry.path} was modified after it was published"
    if len(seen) > len(receipt.entries):
        extra = min(set(seen) - {entry.path for entry in receipt.entries})
        return f"{extra} was added after it was published"
    return ""


def missing_paths(receipt: Receipt, wanted: Iterable[str]) -> list[str]:
    """Return those of ``wanted`` that the tree does not have.

    Each is a relative path, or several with ``|`` between them, of which one is enough.
    """
    present = {entry.path for entry in receipt.entries}
    return [paths for paths in wanted if present.isdisjoint(paths.split("|"))]


def single_file(receipt: Receipt) -> str:
    """Return the name of the one file of a ``format: file`` tree.

    It is empty for the tree of an archive.
    """
    if receipt.shape.format != "file":
        return ""
    return next((entry.path for entry in receipt.entries if entry.is_file), "")


def checksum_lines(receipt: Receipt) -> list[str]:
    """Return the lines for ``sha256sum -c`` run in the store.

    Paths never need its escapes: see ``member_path``.
    """
    prefix = f"trees/{receipt.sha256}/"
    return [f"{entry.sha256}  {prefix}{entry.path}" for entry in sorted(receipt.entries) if entry.is_file]


def scan(root: str) -> dict[str, Seen]:
    """Return everything below ``root`` by relative path; does not follow symlinks.

    Raises OSError when ``root`` or something below it cannot be read.
    """
    return dict(_walk(root, ""))


def _walk(directory: str, prefix: str) -> Iterator[tuple[str, Seen]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            target = os.readlink(entry.path) if stat.S_ISLNK(status.st_mode) else ""
            path = prefix + entry.name
            yield path, Seen(status.st_mode, status.st_size, status.st_mtime_ns, status.st_uid, target)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(entry.path, path + "/")


def file_sha256(path: str) -> str:
    """Return the sha256 of the file ``path`` in hexadecimal."""
    import hashlib  # takes longer to import than a quick check

    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(fd, "rb", buffering=0) as stream:
        while True:
            count = stream.readinto(buffer)
            if not count:
                return digest.hexdigest()
            digest.update(buffer[:count])


def quick_difference(root: str, receipt: Receipt, owner_uid: int) -> str:
    """Return the first difference that lstat shows, empty for none.

    It compares ``root`` with ``receipt``.
    """
    try:
        return difference(receipt, scan(root), owner_uid)
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"


def content_difference(root: str, receipt: Receipt, workers: Optional[int] = None) -> str:
    """Return the first file whose bytes differ from ``receipt``, empty for none.

    hashlib lets other threads run, so ``workers`` (default: the processors) hash in parallel, biggest file
    first.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes longer to import than a quick check of 20 trees

    files = sorted((entry for entry in receipt.entries if entry.is_file), key=lambda entry: -entry.size)

    def check(entry: Entry) -> str:
        try:
            actual = file_sha256(os.path.join(root, entry.path))
        except OSError as error:
            return f"{entry.path} cannot be read ({error.strerror})"
        return "" if actual == entry.sha256 else f"{entry.path} has other bytes than were published"

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        return next((problem for problem in pool.map(check, files) if problem), "")
