"""Run programs, pass signals on, and hold descriptors until a job ends.

``run`` is passed as an argument, so that pure code never starts a process itself. ``hold_until`` makes a lock
last exactly as long as a job: a small process of its own keeps the descriptors open and watches the job's
process by a pidfd. The kernel wakes it at the end, and a later process with the same number is not mistaken
for the job's. If the holder is killed, the kernel frees the lock.
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
from .mounts import noexec_reason


class Result(NamedTuple):
    """Exit status and decoded output of a finished program."""

    status: int
    stdout: str
    stderr: str


class Run(Protocol):
    """A function that runs ``argv`` to its end.

    ``environment`` replaces the inherited one.
    """

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
    """Run ``argv`` without a shell and a terminal, in the C locale.

    As in a shell, the status is 127 for a missing program, 126 for one that cannot run, and 124 for one that
    exceeds ``timeout_seconds``, so that callers need only look at the status.
    """
    import subprocess  # here, because the job hooks import this module and run no program

    full = dict(os.environ if environment is None else environment)
    full.setdefault("LC_ALL", "C.UTF-8")
    try:
        # AnsibleModule.run_command cannot be used: the library also runs without Ansible.
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
        # The kernel says the same of a program whose interpreter is missing.
        why = "its loader or interpreter is not found" if os.path.exists(error.filename) else "not found"
        return Result(127, "", f"{error.filename}: {why}")
    except OSError as error:
        return Result(126, "", f"{argv[0]}: {noexec_reason(argv[0]) or error.strerror}")
    except subprocess.TimeoutExpired as error:
        return Result(124, "", f"{argv[0]}: no end after {error.timeout:g} s")
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


# Signals that people and service managers send. SIGTSTP and SIGCONT go to the whole process group anyway.
_PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# Python ignores these signals; a command expects their default action.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
_PR_SET_PDEATHSIG = 1  # prctl(2)


def run_command(argv: Sequence[str]) -> int:
    """Run ``argv`` to its end; return its exit code, 128 + n for signal n.

    A signal from another process goes on to the command. A signal from the terminal's keyboard has reached
    the command already, because it is in our process group. If this process is killed, the kernel kills the
    command, but not the processes that the command started. The result is 127 for a command that cannot be
    started, 126 if it is not executable.
    """
    import ctypes  # here, because the import takes milliseconds

    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()
    # If our parent ignores SIGCHLD, we would inherit that and not learn of the command's end.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before prctl took effect
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
            # A code above zero is the kernel's own (sigaction(2)): the keyboard, or the terminal was closed.
            if got.si_code <= 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, got.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by ``argv``.

    Exit with 127 or 126, as shells do, if that fails.
    """
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606  # the caller's own command, from a list
    except OSError as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        os.write(
            2, f"runnerctl: '{argv[0]}' cannot be started ({error.strerror}); check the command.\n".encode()
        )
        os._exit(127 if missing else 126)


WORKER = "Runner.Worker"
_MOST_ANCESTORS = 64


class Process(NamedTuple):
    """A process by number and short name."""

    pid: int
    name: str


def parent_of(pid: int) -> tuple[str, int]:
    """Return the short name of ``pid`` and its parent's id, 0 if unreadable."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            before, _paren, after = stream.read().rpartition(")")
        return before.partition("(")[2], int(after.split()[1])
    except (OSError, IndexError, ValueError):
        return "", 0


def job_process(start: int) -> Process:
    """Return the process that ends with the job.

    The runner's worker above ``start``, or ``start``. ``start`` is the caller's parent, for example the
    shell of a script. Raises CiError if that is init, which does not end before the machine does.
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
            "There is no job to hold for, because the process that started this one has ended; give the "
            "command after '--', or name a process with --hold-pid."
        )
    return Process(start, parent_of(start)[0])


def hold_until(pid: int, descriptors: Sequence[int]) -> int:
    """Keep ``descriptors`` open in a new process until ``pid`` has ended.

    Return the new process id. The new process keeps nothing else: no stream, no other descriptor, no working
    directory. Raises CiError if there is no process ``pid``.
    """
    try:
        watched = os.pidfd_open(pid)
    except OSError as error:
        raise CiError(
            f"Process {pid} cannot be watched ({error.strerror}); name a running process with --hold-pid."
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
