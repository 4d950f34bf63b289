"""Kernel locks on files (flock): exclusive or shared, with a patient wait, gone with the process that holds
them.

Two rules keep them sound: a lock file is never unlinked by its users, only by root while it holds the lock
itself, and what is written in it only tells people who holds it; nothing is ever decided by it.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import json
import os
import time
from types import TracebackType
from typing import Any, Callable, Optional

from ..errors import CiError

_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
_PULSE_SECONDS = 0.5
_NOTE_BYTES = 255
# Where others may write to lock files, what is longer than this is no note.
_MAX_NOTE_BYTES = 4096


class LockTimeoutError(CiError):
    """The lock was not free in time; the message names the holder as far as it is known."""


class LockUnsupportedError(CiError):
    """The file system has no flock."""


def process_start(pid: int) -> int:
    """Return when process ``pid`` started, in clock ticks since boot, or 0 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            # The name in parentheses may hold anything; the 20th field after it is the start time, proc(5).
            return int(stream.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def read_note(path: str) -> dict[str, Any]:
    """Return what the last exclusive holder of the lock file ``path`` wrote about itself.

    Raises OSError or ValueError where there is nothing of that kind.
    """
    with open(path, "rb") as stream:
        text = stream.read(_MAX_NOTE_BYTES)
    try:
        note = json.loads(text)
    except RecursionError as error:  # a job may write there; Python before 3.12 counts brackets as calls
        raise ValueError("a note is not that deep") from error
    if not isinstance(note, dict):
        raise ValueError("a note is an object")
    return note


def _host() -> str:
    return os.uname().nodename


def describe_holder(path: str) -> str:
    """Return who says to hold the lock file ``path``, for a message; never raises."""
    try:
        holder = read_note(path)
        pid, purpose = int(holder["pid"]), str(holder["purpose"])
        here = holder["host"] == _host()
        alive = here and process_start(pid) == int(holder["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown process"
    state = "" if alive or not here else ", which has ended (its child may hold the lock)"
    return f"process {pid} on {holder['host']} ({purpose}) since {holder['since']}{state}"


class Flock:
    """One lock on one file. Use it as a context manager, or call ``acquire`` and ``release``.

    ``mode`` are the permission bits of a new lock file. A reader without write permission can take a shared
    lock, because flock asks for no particular kind of open.
    """

    def __init__(self, path: str, *, shared: bool = False, mode: int = 0o644, purpose: str = "") -> None:
        self.path = path
        self._operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._mode = mode
        self._purpose = purpose
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
        while self._lock(fd, self._operation | fcntl.LOCK_NB):
            if self._is_current(fd):
                self._take(fd)
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
        """Take the lock, waiting for it, and return the seconds waited.

        ``timeout_seconds`` None waits for ever. With ``pulse`` the time counts anew whenever its value
        changes: so one waits for a holder that makes progress, however long, and not for one that is stuck.
        Raises LockTimeoutError.
        """
        began = time.monotonic()
        while not self.try_acquire():
            fd = self._open()
            if not _wait(fd, self._operation, timeout_seconds, pulse):
                raise LockTimeoutError(
                    f"no lock on {self.path} after {time.monotonic() - began:.0f} s, because "
                    f"{describe_holder(self.path)} holds it; wait for that process or end it, then run "
                    "again.",
                    holder=describe_holder(self.path),
                )
            if self._is_current(fd):
                self._take(fd)
                break
            os.close(fd)
        return time.monotonic() - began

    def release(self) -> None:
        """Give the lock back; without effect when it is not held."""
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
        """Open a lock file that cannot be opened with O_CREAT: of another user, or on a read-only mount.

        Writing is tried first, for the note; fs.protected_regular refuses only O_CREAT (proc_sys_fs(5)).
        """
        try:
            try:
                return os.open(self.path, os.O_RDWR | flags)
            except FileNotFoundError:
                raise
            except OSError:
                return os.open(self.path, os.O_RDONLY | flags)
        except FileNotFoundError:
            raise _explained(self.path, refusal) from refusal
        except OSError as again:
            raise _explained(self.path, again) from again

    def _lock(self, fd: int, operation: int) -> bool:
        try:
            fcntl.flock(fd, operation)
        except BlockingIOError:
            return False
        except OSError as error:
            os.close(fd)
            raise _explained(self.path, error) from error
        return True

    def _is_current(self, fd: int) -> bool:
        """Tell whether the path still names the file that is locked; someone may have replaced it
        meanwhile.
        """
        try:
            now = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(now, os.fstat(fd))

    def _take(self, fd: int) -> None:
        self._fd = fd
        if self._operation == fcntl.LOCK_EX and self._purpose:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
            note = {
                **_myself(os.getpid()),
                "purpose": self._purpose,
                "since": since,
                "boottime": boottime,
            }
            text = json.dumps(note).encode().ljust(_NOTE_BYTES) + b"\n"
            try:
                # Always as long, so that the file keeps its one block: to truncate it first costs ten times
                # more.
                os.pwrite(fd, text, 0)
                if os.fstat(fd).st_size > len(text):
                    os.ftruncate(fd, len(text))
            except OSError:
                return  # a full disk or a read-only descriptor: the lock holds all the same


@functools.lru_cache(maxsize=1)
def _myself(pid: int) -> dict[str, Any]:
    """Return what a note says of process ``pid``, which is this one; it is asked anew after a fork."""
    return {"pid": pid, "start": process_start(pid), "host": _host()}


def _explained(path: str, error: OSError) -> CiError:
    if error.errno in _UNSUPPORTED:
        return LockUnsupportedError(
            f"the file system of {path} has no flock ({error.strerror}); use a local one."
        )
    return CiError(
        f"the lock file {path} cannot be opened ({error.strerror}); check its directory and permissions."
    )


def _wait(
    fd: int, operation: int, timeout_seconds: Optional[float], pulse: Optional[Callable[[], object]]
) -> bool:
    """Block until the lock on ``fd`` is granted and return True, or close ``fd`` and return False in time.

    flock has no time limit of its own, so a thread waits in the kernel, woken at once, and we wait for the
    thread. When time is up the thread is left behind: it closes the descriptor as soon as the kernel lets
    it.
    """
    if timeout_seconds is None:
        fcntl.flock(fd, operation)
        return True
    import threading  # most locks are free

    guard = threading.Lock()
    granted = threading.Event()
    state = {"abandoned": False, "failed": False}

    def block() -> None:
        try:
            fcntl.flock(fd, operation)
        except OSError:
            state["failed"] = True
        with guard:
            granted.set()
            if state["abandoned"]:
                os.close(fd)

    threading.Thread(target=block, name="flock", daemon=True).start()
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
    """Return how the lock file ``path`` is held at this moment: "exclusive", "shared", or empty for not at
    all.

    Takes the lock for an instant and writes nothing, so that looking leaves no trace. "unknown" is for a
    file that we may not open.
    """
    try:
        # Non-blocking, because in a directory for all somebody may have put a pipe there.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError:
        return "unknown"
    try:
        if _granted(fd, fcntl.LOCK_EX):
            return ""
        return "shared" if _granted(fd, fcntl.LOCK_SH) else "exclusive"
    except OSError:
        return "unknown"
    finally:
        os.close(fd)


def _granted(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_free(name: str, directory: int, owner: int) -> bool:
    """Remove the lock file ``name`` of the user id ``owner`` from the open ``directory`` unless it is held;
    return whether it went.

    Whoever waits for it meanwhile takes a new one, see ``Flock``. Raises OSError when it cannot be looked at.
    """
    # Others may write to the directory: neither a link nor a pipe is to be opened.
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        if os.fstat(fd).st_uid != owner or not _granted(fd, fcntl.LOCK_EX):
            return False
        if not os.path.samestat(os.stat(name, dir_fd=directory, follow_symlinks=False), os.fstat(fd)):
            return False
        os.unlink(name, dir_fd=directory)
        return True
    finally:
        os.close(fd)


def excludes(directory: str) -> bool:
    """Test whether flock in ``directory`` really excludes: some network file systems grant every lock.

    Two opens of one file are two holders for the kernel, so the second must be refused. When another
    process is just testing, our first try is refused, which proves the same.
    """
    path = os.path.join(directory, "self-test.lock")
    first, second = Flock(path, mode=0o600), Flock(path, mode=0o600)
    try:
        with_first = first.try_acquire()
        return not (with_first and second.try_acquire())
    except LockUnsupportedError:
        return False
    finally:
        second.release()
        first.release()
