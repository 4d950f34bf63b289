"""The state of the emulated GitHub as plain data: no HTTP, no clock, no threads."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Iterator, Literal, Optional

ScopeKind = Literal["repos", "orgs", "enterprises"]
SYSTEM_LABELS = ("self-hosted", "linux", "windows", "macos", "x64", "arm64", "arm", "x86")


@dataclass(frozen=True)
class Scope:
    """The owner of a runner or a variable.

    It is a repository (``owner/name``), an organization or an enterprise.
    """

    kind: ScopeKind
    name: str

    @property
    def path(self) -> str:
        return f"/{self.kind}/{self.name}"

    @property
    def page(self) -> str:
        """The path of its web page, which config.sh takes as ``--url``."""
        return self.path if self.kind == "enterprises" else f"/{self.name}"

    @property
    def owner(self) -> str:
        return self.name.split("/", 1)[0]

    def covers(self, repository: str) -> bool:
        """Return whether a runner of this scope may run jobs of ``repository``."""
        if self.kind == "enterprises":
            return True  # one enterprise owns every organization here
        mine = self.name if self.kind == "repos" else self.owner
        theirs = repository if self.kind == "repos" else repository.split("/", 1)[0]
        return mine.lower() == theirs.lower()


@dataclass
class Label:
    """A label of a runner; GitHub's own labels are read-only."""

    id: int
    name: str
    read_only: bool


@dataclass
class Session:
    """A runner's connection; ``seen`` is the tick of its last request."""

    id: str
    seen: float


@dataclass
class Runner:
    """A registered runner and the session of its listener."""

    id: int
    scope: Scope
    name: str
    group_id: int
    labels: list[Label]
    version: Optional[str] = None
    ephemeral: bool = False
    client_id: str = ""
    public_key: str = ""
    os: str = "unknown"
    session: Optional[Session] = None
    job_id: Optional[int] = None
    # Fields that the API reports instead of the true ones: GitHub may report a busy runner as idle, a live
    # one as offline.
    lies: dict[str, Any] = field(default_factory=dict)

    def label_names(self) -> set[str]:
        return {label.name.lower() for label in self.labels}


@dataclass
class Group:
    """A runner group of an organization or enterprise.

    A repository has only the default group.
    """

    id: int
    name: str
    default: bool = False
    visibility: str = "all"


@dataclass
class Variable:
    """An Actions variable."""

    name: str
    value: str
    created_at: datetime
    updated_at: datetime
    visibility: Optional[str] = None


@dataclass(frozen=True)
class RunnerToken:
    """A one-hour token for config.sh; ``kind`` is ``registration`` or ``remove``."""

    kind: str
    scope: Scope
    expires_at: datetime


@dataclass(frozen=True)
class Credential:
    """A caller of the REST API.

    ``permissions`` maps a permission to ``read`` or ``write``; None grants all.
    """

    permissions: Optional[dict[str, str]] = None
    expires_at: Optional[datetime] = None
    installation: bool = False

    def allows(self, permission: str, level: str) -> bool:
        if self.permissions is None:
            return True
        held = self.permissions.get(permission)
        return held == "write" or held == level


@dataclass
class Step:
    """A finished step of a job."""

    name: str
    conclusion: str
    started_at: str
    completed_at: str


@dataclass
class Job:
    """A job; the jobs with the same ``run_id`` are one workflow run."""

    id: int
    run_id: int
    repository: str
    name: str
    runs_on: list[str]
    script: str
    created_at: datetime
    status: str = "queued"
    conclusion: Optional[str] = None
    runner_id: Optional[int] = None
    runner_name: Optional[str] = None
    runner_group_id: Optional[int] = None
    token: str = ""
    seen: float = 0.0
    started_at: Optional[datetime] = None
    completed_at: Optional[datetime] = None
    steps: list[Step] = field(default_factory=list)
    log: str = ""


@dataclass(frozen=True)
class App:
    """A GitHub App, installed on every known account."""

    id: int
    installation_id: int
    public_key: str
    permissions: dict[str, str]


@dataclass
class GitHubState:
    """Everything that the emulated GitHub knows."""

    repositories: set[str]
    organizations: set[str]
    enterprises: set[str]
    credentials: dict[str, Credential]
    apps: dict[int, App] = field(default_factory=dict)
    # The accepted tokens that Apps signed themselves.
    assertions: list[str] = field(default_factory=list)
    runners: dict[int, Runner] = field(default_factory=dict)
    groups: dict[Scope, dict[int, Group]] = field(default_factory=dict)
    variables: dict[Scope, dict[str, Variable]] = field(default_factory=dict)
    runner_tokens: dict[str, RunnerToken] = field(default_factory=dict)
    runner_access: dict[str, int] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    label_ids: dict[str, int] = field(default_factory=dict)
    requests_used: dict[str, int] = field(default_factory=dict)
    requests_limit: int = 5000
    # The repositories that everyone can read.
    public: set[str] = field(default_factory=set)
    # Runner version to the time when its support ends.
    support_ends: dict[str, str] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(21))

    def next_id(self) -> int:
        return next(self._ids)

    def label(self, name: str, *, read_only: bool = False) -> Label:
        """Return a label.

        Its id is the same for every use of the name, in any letter case.
        """
        number = self.label_ids.setdefault(name.lower(), len(self.label_ids) + 1)
        return Label(number, name, read_only)

    def groups_of(self, scope: Scope) -> dict[int, Group]:
        return self.groups.setdefault(scope, {1: Group(1, "Default", default=True)})

    def runners_of(self, scope: Scope) -> list[Runner]:
        return [runner for runner in self.runners.values() if runner.scope == scope]

    def variables_of(self, scope: Scope) -> dict[str, Variable]:
        return self.variables.setdefault(scope, {})

    def scope(self, kind: ScopeKind, name: str) -> Optional[Scope]:
        """Return the scope with this name, or None if it is unknown.

        Like GitHub, it compares without letter case.
        """
        known = {"repos": self.repositories, "orgs": self.organizations, "enterprises": self.enterprises}[
            kind
        ]
        return next((Scope(kind, each) for each in known if each.lower() == name.lower()), None)


def secret(prefix: str) -> str:
    """Return a new random token in GitHub's format."""
    return prefix + secrets.token_hex(14).upper()
