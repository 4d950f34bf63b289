"""Running other programs, behind one callable so that pure code never starts a process itself.

Running one command for a caller: same streams, signals passed on, and never longer than we live.

Keeping descriptors open until another process ends: how a lock lives exactly as long as a job.

A small process of its own holds them. It watches the other one by a pidfd, so it is woken at its end and
can never mistake a later process of the same number for it; and whatever ends the holder, the kernel frees
the lock.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn, Optional, Protocol

from ..errors import CiError


class Result(NamedTuple):
    """What a finished program left: exit status and decoded output."""

    status: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs ``argv`` to its end; ``environment`` replaces the inherited one when given."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Optional[Mapping[str, str]] = None,
        cwd: Optional[str] = None,
        timeout_seconds: Optional[float] = None,
    ) -> Result: ...


def run(
    argv: Sequence[str],
    *,
    environment: Optional[Mapping[str, str]] = None,
    cwd: Optional[str] = None,
    timeout_seconds: Optional[float] = None,
) -> Result:
    """Run ``argv`` without a shell and without a terminal, in the C locale so that output can be parsed.

    A program that is missing gives status 127 and one that exceeds ``timeout_seconds`` 124, as in a shell,
    so that callers have one way to judge.
    """
    import subprocess  # here, because the job hooks import this module and run no program

    full = dict(os.environ if environment is None else environment)
    full.setdefault("LC_ALL", "C.UTF-8")
    try:
        # A module's run_command is not at hand: the library also runs without Ansible.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(argv),
            env=full,
            cwd=cwd,
            timeout=timeout_seconds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        return Result(127, "", f"{error.filename}: not found")
    except subprocess.TimeoutExpired as error:
        return Result(124, "", f"{argv[0]}: no end after {error.timeout:g} s")
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


# What people and service managers send. A stop (SIGTSTP) and its end go to the whole process group anyway.
_PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# Python ignores these for itself; a command expects them as they are by default.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
_PR_SET_PDEATHSIG = 1  # prctl(2)


def run_command(argv: Sequence[str]) -> int:
    """Run ``argv`` to its end and return its exit code, 128 + n when signal n ended it.

    A signal that a process sent to us goes on to the command; one from the terminal's keyboard has reached
    it already, because it is in our process group. When we are killed, the kernel kills the command (but not
    what the command started). A command that cannot be started gives 127, or 126 when it is not executable.
    """
    import ctypes  # takes milliseconds, and only here

    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()
    # Ignored by whoever started us, it would leave us without news of the command's end.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew what to do then
            os._exit(128 + signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        become(argv)
    try:
        return _attend(child)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attend(child: int) -> int:
    while True:
        got = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if got.si_signo != signal.SIGCHLD:
            # Codes above zero are the kernel's own (sigaction(2)): the keyboard or the end of the terminal.
            if got.si_code <= 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, got.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def become(argv: Sequence[str]) -> NoReturn:
    """Turn this process into ``argv``; ends it with 127 or 126, as shells do, when that cannot be."""
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606  # the caller's own command, from a list
    except OSError as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        os.write(2, f"runnerctl: '{argv[0]}' cannot be started ({error.strerror}).\n".encode())
        os._exit(127 if missing else 126)


WORKER = "Runner.Worker"
_MOST_ANCESTORS = 64


class Process(NamedTuple):
    """A process by number and short name."""

    pid: int
    name: str


def parent_of(pid: int) -> tuple[str, int]:
    """Return the short name of ``pid`` and its parent's number, 0 when it cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            before, _paren, after = stream.read().rpartition(")")
        return before.partition("(")[2], int(after.split()[1])
    except (OSError, IndexError, ValueError):
        return "", 0


def job_process(start: int) -> Process:
    """Return the process whose life is the job's: the runner's worker above ``start``, else ``start`` itself.

    ``start`` is the caller's parent, for example the shell of a script. Raises CiError when that is no
    process that ends before the machine does.
    """
    pid = start
    for _generation in range(_MOST_ANCESTORS):
        name, above = parent_of(pid)
        if name == WORKER:
            return Process(pid, name)
        if above <= 1:
            break
        pid = above
    if start <= 1:
        raise CiError(
            "there is no job to hold for, because the process that started this one has ended; give the "
            "command after '--', or name a process with --hold-pid."
        )
    return Process(start, parent_of(start)[0])


def hold_until(pid: int, descriptors: Sequence[int]) -> int:
    """Keep ``descriptors`` open in a new process until process ``pid`` has ended; returns the new one's pid.

    The new process keeps nothing else: no stream of ours, no other descriptor, no working directory. Raises
    CiError when there is no such process.
    """
    try:
        watched = os.pidfd_open(pid)
    except OSError as error:
        raise CiError(
            f"process {pid} cannot be held for ({error.strerror}); name a running one with --hold-pid."
        ) from error
    holder = os.fork()
    if holder:
        os.close(watched)
        return holder
    try:
        _hold(watched, descriptors)
    finally:
        os._exit(0)


def _hold(watched: int, descriptors: Sequence[int]) -> None:
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    edge = 3
    for kept in sorted((watched, *descriptors)):
        os.closerange(edge, kept)
        edge = kept + 1
    os.closerange(edge, os.sysconf("SC_OPEN_MAX"))
    end = select.poll()
    end.register(watched, select.POLLIN)
    end.poll()
