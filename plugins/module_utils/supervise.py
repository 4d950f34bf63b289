"""Running one command for a caller: same streams, signals passed on, and never longer than we live."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

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
