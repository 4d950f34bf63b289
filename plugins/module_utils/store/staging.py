"""A tree that is built where no reader looks.

It has fixed modes, and is synced before it is published.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterable

from ..host.durable import (
    make_directory,
    start_writing_back,
    sync_descriptor,
    sync_file_system,
    sync_path,
    write_all,
)
from .members import parent_of
from .receipt import Entry

_EXECUTABLE = 0o755
DIRECTORY_MODE = stat.S_IFDIR | 0o755
# An archive without a usable time stamp gets the zip format's own zero, so that equal bytes give equal trees.
DEFAULT_MTIME = 315532800
_LATEST_MTIME = 2**33
# Up to here each file is synced as it is written, in parallel; beyond, one syncfs at the end is much cheaper.
_SYNC_EACH_BELOW_FILES = 256
# The disk begins after so many bytes, while we go on inflating; then little is left to sync at the end.
_WRITE_BACK_BYTES = 8 * 1024 * 1024


def plain_mtime(seconds: float) -> int:
    """Return the time stamp of an archive as whole seconds.

    Every file system can hold the result.
    """
    whole = int(seconds)
    return whole if 0 < whole < _LATEST_MTIME else DEFAULT_MTIME


class Staging:
    """A tree being built at ``root``.

    Several threads may call ``file`` and ``adopt``. The caller has checked the paths.
    """

    def __init__(self, root: str, expected_files: int = 0) -> None:
        self.root = root
        self._entries: dict[str, Entry] = {}
        self._guard = threading.Lock()
        self._sync_each = expected_files < _SYNC_EACH_BELOW_FILES
        # Path of a hard link -> the file it is another name of: they share one mode.
        self._same_file: dict[str, str] = {}
        make_directory(root, 0o755)

    def directory(self, path: str) -> None:
        """Create the directory ``path`` and those above it."""
        with self._guard:
            self._directory(path)

    def _directory(self, path: str) -> None:
        if path and path not in self._entries:
            self._directory(parent_of(path))
            make_directory(os.path.join(self.root, path), 0o755)
            self._entries[path] = Entry(path, DIRECTORY_MODE)

    def file(self, path: str, chunks: Iterable[bytes], *, executable: bool, mtime: int) -> Entry:
        """Write the file ``path`` from ``chunks`` and return what was written."""
        self.directory(parent_of(path))
        mode = _EXECUTABLE if executable else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        digest = hashlib.sha256()
        size = begun = 0
        fd = os.open(os.path.join(self.root, path), flags, 0o600)
        try:
            for chunk in chunks:
                digest.update(chunk)
                write_all(fd, memoryview(chunk))
                size += len(chunk)
                if size - begun >= _WRITE_BACK_BYTES:
                    start_writing_back(fd, begun, size - begun)
                    begun = size
            os.fchmod(fd, mode)
            os.utime(fd, (mtime, mtime))
            if self._sync_each:
                sync_descriptor(fd)
        finally:
            os.close(fd)
        return self._note(Entry(path, stat.S_IFREG | mode, size, mtime, digest.hexdigest()))

    def adopt(
        self, path: str, source: str, sha256: str, *, executable: bool, mtime: int = DEFAULT_MTIME
    ) -> Entry:
        """Move the finished file ``source`` to the file ``path`` by rename."""
        self.directory(parent_of(path))
        target = os.path.join(self.root, path)
        os.rename(source, target)
        mode = _EXECUTABLE if executable else 0o644
        fd = os.open(target, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fchmod(fd, mode)
            os.utime(fd, (mtime, mtime))
            if self._sync_each:
                sync_descriptor(fd)
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        return self._note(Entry(path, stat.S_IFREG | mode, size, mtime, sha256))

    def symlink(self, path: str, target: str) -> None:
        self.directory(parent_of(path))
        os.symlink(target, os.path.join(self.root, path))
        self._note(Entry(path, stat.S_IFLNK | 0o777, target=target))

    def hardlink(self, path: str, target: str) -> None:
        """Make ``path`` another name of the file ``target`` of this tree."""
        self.directory(parent_of(path))
        os.link(os.path.join(self.root, target), os.path.join(self.root, path), follow_symlinks=False)
        self._same_file[path] = self._same_file.get(target, target)
        self._note(self._entries[target]._replace(path=path))

    def make_executable(self, paths: Iterable[str]) -> list[str]:
        """Give the files ``paths`` mode 0755; return those that are no files of this tree."""
        missing = []
        for path in paths:
            entry = self._entries.get(path)
            if entry is None or not entry.is_file:
                missing.append(path)
                continue
            os.chmod(os.path.join(self.root, path), _EXECUTABLE)
            first = self._same_file.get(path, path)
            for name in [first, *(name for name, file in self._same_file.items() if file == first)]:
                self._note(self._entries[name]._replace(mode=stat.S_IFREG | _EXECUTABLE))
        return missing

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries.values())

    def sync(self) -> None:
        """Force the whole tree to the disk."""
        if not self._sync_each:
            sync_file_system(self.root)
            return
        directories = [path for path, entry in self._entries.items() if stat.S_ISDIR(entry.mode)]
        for path in [*sorted(directories, reverse=True), ""]:
            sync_path(os.path.join(self.root, path))

    def _note(self, entry: Entry) -> Entry:
        with self._guard:
            self._entries[entry.path] = entry
        return entry
