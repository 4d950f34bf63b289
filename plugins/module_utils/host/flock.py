"""Kernel locks on whole files, exclusive or shared.

They are open file description locks (fcntl_locking(2)). The kernel grants an exclusive one only on a writable
descriptor, so a user who may only read a lock file can share the lock but never hold it against others.
flock(2) grants both on any descriptor.

A wait for a lock has a limit. The kernel releases a lock when the last process that holds it ends. A lock
file is empty: kernel_locks.py names the holder. A user of a lock file never unlinks it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from types import TracebackType
from typing import Callable, Optional

from ..errors import CiError
from .kernel_locks import describe_holders

_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
_PULSE_SECONDS = 0.5
_STRUCT = "hhqqi4x"  # struct flock of fcntl(2): type, whence, start, length (0 is to the end), pid


def _request(kind: int) -> bytes:
    return struct.pack(_STRUCT, kind, os.SEEK_SET, 0, 0, 0)


_SHARED, _EXCLUSIVE = _request(fcntl.F_RDLCK), _request(fcntl.F_WRLCK)


class LockTimeoutError(CiError):
    """The lock was not free in time.

    The message names the holder as far as it is known.
    """


class LockUnsupportedError(CiError):
    """The file system has no file locks, or grants every lock."""


class Flock:
    """One lock on one file, for ``with`` or for ``acquire`` and ``release``.

    ``mode`` are the permission bits of a new lock file. A user without write permission can take a shared
    lock only.
    """

    def __init__(self, path: str, *, shared: bool = False, mode: int = 0o644) -> None:
        self.path = path
        self._request = _SHARED if shared else _EXCLUSIVE
        self._mode = mode
        self._fd = -1

    @property
    def held(self) -> bool:
        return self._fd >= 0

    def fileno(self) -> int:
        """Return the descriptor that holds the lock, -1 when it is not held."""
        return self._fd

    def try_acquire(self) -> bool:
        """Take the lock if it is free now; return whether it is held."""
        fd = self._open()
        while self._lock(fd):
            if self._is_current(fd):
                self._fd = fd
                return True
            os.close(fd)
            fd = self._open()
        os.close(fd)
        return False

    def acquire(
        self,
        timeout_seconds: Optional[float] = None,
        pulse: Optional[Callable[[], object]] = None,
    ) -> float:
        """Wait for the lock, take it, and return the seconds waited.

        ``timeout_seconds`` None waits without a limit. With ``pulse`` the time starts again each time its
        value changes: a caller waits for a holder that makes progress, and gives up on one that is stuck.
        Raises LockTimeoutError.
        """
        began = time.monotonic()
        while not self.try_acquire():
            fd = self._open()
            if not wait_until(fd, self._block, timeout_seconds, pulse):
                holders = describe_holders(self.path)
                raise LockTimeoutError(
                    f"No lock on {self.path} after {time.monotonic() - began:.0f} s, because {holders} holds "
                    "it; wait for that process or end it, then run again.",
                    holder=holders,
                )
            if self._is_current(fd):
                self._fd = fd
                break
            os.close(fd)
        return time.monotonic() - began

    def release(self) -> None:
        """Release the lock; does nothing when it is not held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Flock:
        if not self.held:
            self.acquire()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.release()

    def _open(self) -> int:
        # Close-on-exec: a child that outlives us must not keep the lock. No-follow: a planted link is an
        # error.
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | flags, self._mode)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise _explained(self.path, error) from error
            return self._open_existing(flags, error)
        status = os.fstat(fd)
        if status.st_uid == os.geteuid() and status.st_mode & 0o777 != self._mode:
            os.fchmod(fd, self._mode)  # the process's umask must not decide who can take the lock
        return fd

    def _open_existing(self, flags: int, refusal: OSError) -> int:
        """Open a lock file of another user or on a read-only mount.

        O_CREAT cannot open it. fs.protected_regular refuses O_CREAT in a sticky directory (proc_sys_fs(5)).
        """
        if refusal.errno == errno.EROFS:
            # Nobody can change anything through a read-only mount, so the lock need not exclude readers.
            self._request = _SHARED
        access = os.O_RDONLY if self._request == _SHARED else os.O_RDWR
        try:
            return os.open(self.path, access | flags)
        except FileNotFoundError:
            raise _explained(self.path, refusal) from refusal
        except OSError as again:
            raise _explained(self.path, again) from again

    def _lock(self, fd: int) -> bool:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, self._request)
        except BlockingIOError:
            return False
        except OSError as error:
            os.close(fd)
            raise _explained(self.path, error) from error
        return True

    def _block(self, fd: int) -> None:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, self._request)

    def _is_current(self, fd: int) -> bool:
        """Tell whether the path still names the locked file.

        Another process may have replaced it.
        """
        try:
            now = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(now, os.fstat(fd))


def _explained(path: str, error: OSError) -> CiError:
    if error.errno in _UNSUPPORTED:
        return _unsupported(path, error.strerror or str(error))
    return CiError(
        f"The lock file {path} cannot be opened ({error.strerror}); check its directory and permissions."
    )


def _unsupported(path: str, reason: str) -> LockUnsupportedError:
    return LockUnsupportedError(
        f"The file system of {path} has no working file locks ({reason}), so processes cannot be kept apart; "
        "use a local file system there, such as ext4, XFS or Btrfs."
    )


def wait_until(
    fd: int,
    block: Callable[[int], object],
    timeout_seconds: Optional[float],
    pulse: Optional[Callable[[], object]] = None,
) -> bool:
    """Return whether ``block``, which waits for a lock on ``fd``, returned in time.

    When time is up it closes ``fd`` and returns False. The kernel's wait has no time limit, so a thread waits
    in the kernel, which wakes it at once, and we wait for the thread. When time is up the thread stays behind
    and closes the descriptor as soon as the kernel returns. For ``pulse`` see ``Flock.acquire``.
    """
    if timeout_seconds is None:
        block(fd)
        return True
    import threading  # most locks are free

    guard = threading.Lock()
    granted = threading.Event()
    state = {"abandoned": False, "failed": False}

    def wait() -> None:
        try:
            block(fd)
        except OSError:
            state["failed"] = True
        with guard:
            granted.set()
            if state["abandoned"]:
                os.close(fd)

    threading.Thread(target=wait, name="lock", daemon=True).start()
    last_pulse = pulse() if pulse else None
    deadline = time.monotonic() + timeout_seconds
    while not granted.wait(max(0.0, min(_PULSE_SECONDS, deadline - time.monotonic()))):
        beat = pulse() if pulse else None
        if beat != last_pulse:
            last_pulse, deadline = beat, time.monotonic() + timeout_seconds
        if time.monotonic() >= deadline:
            break
    with guard:
        if granted.is_set() and not state["failed"]:
            return True
        if granted.is_set():
            os.close(fd)
        state["abandoned"] = True
        return False


def occupied(path: str) -> str:
    """Return how the lock file ``path`` is held now, without taking the lock.

    The answer is "exclusive", "shared", or empty for free. "unknown" is for a file that we may not open.
    """
    try:
        # Non-blocking, because another user may have put a pipe into a shared directory.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError:
        return "unknown"
    try:
        in_the_way = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _EXCLUSIVE)
    except OSError:
        return "unknown"
    finally:
        os.close(fd)
    kind = struct.unpack(_STRUCT, in_the_way)[0]
    return {fcntl.F_RDLCK: "shared", fcntl.F_WRLCK: "exclusive"}.get(kind, "")


def require_flock(directory: str) -> None:
    """Raise LockUnsupportedError unless file locks work in ``directory``.

    Some network file systems grant every lock. Two opens of one file are two holders for the kernel, so the
    second must be refused. When another process runs the same test at this moment, our first try is refused,
    which proves the same. A read-only mount is not tried: nothing can change there.
    """
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return
    path = os.path.join(directory, "self-test.lock")
    first, second = Flock(path, mode=0o600), Flock(path, mode=0o600)
    try:
        if first.try_acquire() and second.try_acquire():
            raise _unsupported(directory, "it grants every lock")
    finally:
        second.release()
        first.release()
