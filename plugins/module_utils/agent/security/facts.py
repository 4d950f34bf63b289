"""Facts for the security report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional


class Unit(NamedTuple):
    """A service and its exposure by ``systemd-analyze security``: 0 (least) to 10."""

    name: str
    exposure: float


class Account(NamedTuple):
    """An account that can log in, or that runs jobs.

    ``has_password`` is None if unknown.
    """

    name: str
    uid: int
    groups: tuple[str, ...]
    shell: str
    can_login: bool
    runs_jobs: bool
    has_password: Optional[bool] = None


class Port(NamedTuple):
    """A listening socket, and its program."""

    protocol: str
    address: str
    port: int
    program: str


class SudoRule(NamedTuple):
    """A rule of sudo; a group in ``users`` begins with ``%``."""

    users: tuple[str, ...]
    runs_as: tuple[str, ...]
    commands: tuple[str, ...]
    asks_password: bool


class Runner(NamedTuple):
    """An instance: its account, and what its unit hides from jobs.

    ``writable_path`` are directories of its jobs' PATH that the account can write to; ``early_path`` are
    those before the directories of the system. ``url`` is where its registration is kept, empty without one.
    """

    name: str
    account: str
    reaches_bus: bool
    writable_path: tuple[str, ...]
    early_path: tuple[str, ...]
    url: str


class Facts(NamedTuple):
    """A host as the programs on it describe it; None if ``unknown`` says why not.

    ``setuid`` and ``foreign_setuid`` are files with the setuid or setgid bit, and those of no package.
    ``lingering`` are accounts whose user manager may run without a login. ``sshd`` are its settings.
    ``loose`` are files of root that others could write to. ``public`` are repositories that everybody can
    read. ``unrecorded`` is why the kernel records no changes. ``updates`` are enabled timers for updates.
    """

    host: str
    now: float
    profile: str
    units: Optional[Sequence[Unit]]
    runners: Optional[Sequence[Runner]]
    accounts: Sequence[Account]
    ports: Optional[Sequence[Port]]
    sudo: Optional[Sequence[SudoRule]]
    setuid: Optional[Sequence[str]]
    foreign_setuid: Optional[Sequence[str]]
    lingering: Sequence[str]
    polkit_rule: Optional[bool]
    sshd: Optional[Mapping[str, str]]
    loose: Sequence[str]
    store_fault: str
    public: Optional[Sequence[str]]
    audit_wanted: bool
    unrecorded: str
    updates: Optional[Sequence[str]]
    unknown: Mapping[str, str]
