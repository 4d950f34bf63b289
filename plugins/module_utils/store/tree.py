"""Looking at trees on disk: one pass of lstat for the quick check, every byte for the full one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Optional

from .receipt import Entry, Receipt, Seen, difference

CHUNK_BYTES = 256 * 1024


def scan(root: str) -> dict[str, Seen]:
    """Return everything below ``root`` by relative path; symlinks are not followed.

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
    """Return how ``root`` differs from ``receipt`` by lstat alone, empty when it does not."""
    try:
        return difference(receipt, scan(root), owner_uid)
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"


def content_difference(root: str, receipt: Receipt, workers: Optional[int] = None) -> str:
    """Return the first file below ``root`` whose bytes differ from ``receipt``, empty when none does.

    hashlib lets other threads run, so ``workers`` (default: the processors) hash side by side, biggest first.
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
