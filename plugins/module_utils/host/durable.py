"""Writes that survive a power cut: the old file or the new one, never half of one."""

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
    errno.EACCES: "run with the permissions of the owner (sudo, in a playbook become: true)",
    errno.EPERM: "run with the permissions of the owner (sudo, in a playbook become: true)",
    errno.EXDEV: "keep all of the store on one file system, because publishing is one rename",
    errno.EIO: "check the disk, its cable and the kernel log",
    errno.EMFILE: "raise the limit of open files or lower the concurrency",
    errno.EFBIG: "raise the file-size limit of the process",
}
# The answers of a file system without the operation.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class StorageError(CiError):
    """The store's disk refused an operation; another url would not help."""


def storage_error(doing: str, error: OSError) -> StorageError:
    """Return the sentence for ``error`` that came while ``doing`` something.

    ``doing`` is a phrase ("unpacking model-x").
    """
    where = f" at {error.filename}" if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0, "correct that and run again")
    return StorageError(f"{doing[:1].upper()}{doing[1:]} failed{where}: {error.strerror or error}; {remedy}.")


def make_directory(path: str, mode: int = 0o755) -> None:
    """Create ``path`` with exactly ``mode``; leave an existing one.

    The umask does not matter.
    """
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directory(os.path.dirname(path), 0o755)
        os.mkdir(path, mode)
    os.chmod(path, mode)


def sync_descriptor(fd: int) -> None:
    """Force ``fd`` to the disk.

    Raises StorageError for a file system without fsync, OSError for another error.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        raise _sync_error(error, os.readlink(f"/proc/self/fd/{fd}")) from error


def _sync_error(error: OSError, path: str) -> Exception:
    if error.errno not in _CANNOT_SYNC:
        return error
    return StorageError(
        f"The file system of {path} has no fsync ({error.strerror}), so a power cut could damage what is "
        "written there; use a local file system, such as ext4, XFS or Btrfs."
    )


def sync_path(path: str) -> None:
    """Force the directory (or file) ``path`` to the disk.

    Raises as ``sync_descriptor`` does.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_descriptor(fd)
    finally:
        os.close(fd)


def start_writing_back(fd: int, offset: int, count: int) -> None:
    """Let the disk begin with what was just written to ``fd``.

    It does not wait and promises nothing. Linux starts writing dirty pages out when it is advised that they
    are not needed, and drops only clean ones (posix_fadvise(2), POSIX_FADV_DONTNEED), so the new file stays
    in memory for its first reader.
    """
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, offset, count, os.POSIX_FADV_DONTNEED)


def sync_file_system(path: str) -> None:
    """Force the whole file system of ``path`` to the disk.

    This is cheaper than thousands of fsyncs. Raises as ``sync_descriptor`` does.
    """
    import ctypes  # rarely needed, and a few milliseconds to import

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if syncfs is None:
            os.sync()
        elif syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise _sync_error(OSError(number, os.strerror(number), path), path)
    finally:
        os.close(fd)


def write_all(fd: int, data: memoryview) -> None:
    """Write all of ``data``: one write(2) may take less than it is given."""
    while data:
        data = data[os.write(fd, data) :]


def replace_file(path: str, text: str, mode: int = 0o644, durable: bool = True) -> None:
    """Put ``text`` at ``path`` by rename: a reader sees the old file or the new one.

    Surrogate escapes in ``text`` become the bytes they stand for. With ``durable`` the file is on the disk
    when this returns; raises as ``sync_descriptor`` does.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name[:100]}.{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(temporary, flags, 0o600)
    except OSError as error:
        error.filename = path  # a person knows only this name
        raise
    try:
        try:
            write_all(fd, memoryview(text.encode("utf-8", "surrogateescape")))
            os.fchmod(fd, mode)
            if durable:
                sync_descriptor(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if durable:
        sync_path(directory)


def read_text(path: str) -> Optional[str]:
    """Return the text of ``path``, None when it does not exist.

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
