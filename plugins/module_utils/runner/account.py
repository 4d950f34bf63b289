"""The account of an instance, programs run as it, and the machine's functions.

Tests replace Host, which holds the functions.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, NamedTuple

from ..errors import CiError
from ..host.process import Run

# config.sh writes its PATH to .path, so do not use the caller's.
SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Account(NamedTuple):
    """A user account of the host."""

    name: str
    uid: int
    gid: int
    home: str = ""


def account_of(name: str) -> Account:
    """Return the account ``name``; raises CiError if the host does not have it."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise CiError(
            f"Account '{name}' does not exist on this host; run the role github_runner, which makes it by "
            "systemd-sysusers."
        ) from None
    return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def has_account(name: str) -> bool:
    """Return whether the host has the account ``name``."""
    try:
        account_of(name)
    except CiError:
        return False
    return True


def as_account(account: Account, argv: list[str]) -> list[str]:
    """Return the command line that runs ``argv`` as ``account``.

    The program cannot get other rights.
    """
    if account.uid == os.geteuid():
        return argv
    identity = [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
    return ["setpriv", *identity, "--inh-caps=-all", "--no-new-privs", "--", *argv]


def clean_environment(account: Account, home: str) -> dict[str, str]:
    """Return the whole environment for a program of the account.

    It holds nothing of the caller's environment.
    """
    return {"PATH": SAFE_PATH, "HOME": home, "USER": account.name, "LOGNAME": account.name, "LANG": "C.UTF-8"}


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Let programs started inside create files that only their own account can read."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def remove_account(run: Run, name: str, home: str) -> None:
    """Remove the account ``name`` if ``home`` is its home.

    An account with another home was made by others and stays.
    """
    listed = run(["getent", "passwd", name])
    fields = listed.stdout.strip().split(":")
    if listed.status != 0 or len(fields) < 7 or fields[5] != home:
        return
    result = run(["userdel", name])
    if result.status != 0:
        raise CiError(
            f"Account '{name}' could not be removed ({' '.join(result.stderr.split())[-200:]}); end its "
            "processes and run again."
        )


@dataclass(frozen=True)
class Host:
    """Functions and directories of the machine.

    ``now`` is a monotonic clock in seconds; ``kill`` sends a signal to a process.
    """

    run: Run
    sleep: Callable[[float], None]
    now: Callable[[], float]
    kill: Callable[[int, int], None] = os.kill
    unit_dir: str = "/etc/systemd/system"
    proc: str = "/proc"
    drain_timeout_seconds: float = 1800.0
