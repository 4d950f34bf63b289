"""Write files so that a power cut leaves the old or the new content; explain why a write failed."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Optional

from ..errors import CiError

_REMEDIES = {
    errno.ENOSPC: "free space there, or put the store on a larger file system",
    errno.EDQUOT: "raise the quota, or put the store on another file system",
    errno.EROFS: "mount the file system writable",
    errno.EACCES: "run with the permissions of the store's owner (become: true)",
    errno.EPERM: "run with the permissions of the store's owner (become: true)",
    errno.EXDEV: "keep all of the store on one file system, because publishing is one rename",
    errno.EIO: "check the disk, its cable and the kernel log",
    errno.EMFILE: "raise the limit of open files or lower the concurrency",
    errno.EFBIG: "raise the file-size limit of the process",
}
# The answers of a file system without fsync.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class StorageError(CiError):
    """The store's disk refused an operation; another url would not help."""


def storage_error(doing: str, error: OSError) -> StorageError:
    """Return the error for ``error`` while ``doing`` ("unpacking model-x")."""
    where = f" at {error.filename}" if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0, "fix that and run again")
    return StorageError(f"{doing} failed{where}: {error.strerror or error}; {remedy}.")


def make_directory(path: str, mode: int = 0o755) -> None:
    """Create ``path`` with exactly ``mode``, without the umask; leave an existing directory as it is."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directory(os.path.dirname(path), 0o755)
        os.mkdir(path, mode)
    os.chmod(path, mode)


def sync_descriptor(fd: int) -> bool:
    """Force ``fd`` to the disk; return whether the file system can. Raises OSError (EIO and others)."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno in _CANNOT_SYNC:
            return False
        raise
    return True


def sync_path(path: str) -> bool:
    """Force the directory (or file) ``path`` to the disk, as ``sync_descriptor`` does."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return sync_descriptor(fd)
    finally:
        os.close(fd)


def start_writing_back(fd: int, offset: int, count: int) -> None:
    """Let the disk begin to write the new part of ``fd``, without waiting for it.

    Linux starts to write dirty pages when it is advised that they are not needed. It drops only clean pages
    (posix_fadvise(2), POSIX_FADV_DONTNEED), so the new file stays in memory for its first reader.
    """
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, offset, count, os.POSIX_FADV_DONTNEED)


def sync_file_system(path: str) -> bool:
    """Force the whole file system of ``path`` to the disk: cheaper than thousands of fsync calls."""
    import ctypes  # here, because the import takes milliseconds

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if syncfs is None:
            os.sync()
            return True
        if syncfs(fd) == 0:
            return True
        number = ctypes.get_errno()
        if number in _CANNOT_SYNC:
            return False
        raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)


def write_all(fd: int, data: memoryview) -> None:
    """Write all of ``data``: a single write(2) may take only a part."""
    while data:
        data = data[os.write(fd, data) :]


def replace_file(path: str, text: str, mode: int = 0o644, durable: bool = True) -> bool:
    """Put ``text`` at ``path`` by rename; return whether it is safe against a power cut.

    A reader sees the old or the new file. Surrogate escapes in ``text`` become their bytes.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name[:100]}.{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(temporary, flags, 0o600)
    try:
        try:
            write_all(fd, memoryview(text.encode("utf-8", "surrogateescape")))
            os.fchmod(fd, mode)
            safe = durable and sync_descriptor(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return safe and sync_path(directory)


def read_text(path: str) -> Optional[str]:
    """Return the text of ``path``, or None if it does not exist.

    Bytes that are not UTF-8 become surrogate escapes.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def remove_file(path: str) -> None:
    """Remove ``path`` if it exists."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
