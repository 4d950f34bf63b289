"""The runners of a scope and GitHub's runner packages, as its REST API shows them.

A runner without self-update must take each release within 30 days, or it gets no more jobs. The API dates no
release, so this module counts by how many releases a version is behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from .client import PAGE_SIZE, Client

_VERSION = re.compile(r"-(\d+\.\d+\.\d+)\.(?:tar\.gz|zip)$")


@dataclass(frozen=True)
class RegisteredRunner:
    """GitHub's public view of a runner.

    ``status`` and ``busy`` are hints: they are wrong after the host slept. ``group_id`` is None where GitHub
    does not show it; ``version`` is empty before the first connection.
    """

    id: int
    name: str
    status: str
    busy: bool
    labels: tuple[str, ...]
    custom_labels: tuple[str, ...]
    version: str
    os: str = ""
    group_id: Optional[int] = None
    ephemeral: bool = False

    @classmethod
    def of(cls, data: dict[str, Any]) -> RegisteredRunner:
        """Return the runner that the API describes by ``data``."""
        labels = data.get("labels", [])
        group = data.get("runner_group_id")
        return cls(
            id=int(data["id"]),
            name=str(data["name"]),
            status=str(data.get("status", "offline")),
            busy=bool(data.get("busy", False)),
            labels=tuple(str(label["name"]) for label in labels),
            custom_labels=tuple(str(label["name"]) for label in labels if label.get("type") != "read-only"),
            version=str(data.get("version") or ""),
            os=str(data.get("os") or ""),
            group_id=None if group is None else int(group),
            ephemeral=bool(data.get("ephemeral", False)),
        )


@dataclass(frozen=True)
class RunnerGroup:
    """A group of runners; ``default`` marks the one for runners that name no group."""

    id: int
    name: str
    default: bool


@dataclass(frozen=True)
class RunnerPackage:
    """A runner package that GitHub offers a scope.

    ``sha256`` is None if GitHub gives no checksum.
    """

    os: str
    architecture: str
    download_url: str
    filename: str
    sha256: Optional[str]

    @property
    def version(self) -> str:
        """The version in the file name, such as ``2.336.0``; empty when there is none."""
        match = _VERSION.search(self.filename)
        return match[1] if match else ""


@dataclass(frozen=True)
class JitRunner:
    """A runner registered for one job.

    ``encoded`` is its whole configuration with its key: a secret.
    """

    runner: RegisteredRunner
    encoded: str = field(repr=False)


#: The only group of a repository. The API does not list it.
REPOSITORY_GROUP = RunnerGroup(1, "Default", default=True)


class Runners:
    """Calls for the runners of the client's scope."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._root = f"{client.scope.path}/actions/runners"

    def all(self) -> list[RegisteredRunner]:
        """Return every registered runner."""
        pages = self._client.items(self._root, "runners", "list the runners of")
        return [RegisteredRunner.of(data) for data in pages]

    def find(self, names: Iterable[str]) -> dict[str, RegisteredRunner]:
        """Return the registered runners among ``names``, by lower-case name.

        GitHub compares names without case. The first page says how many runners there are. Request the
        missing names one by one if that takes fewer requests than the other pages. GitHub does not document
        whether its name filter ignores case, so search the pages for a name that the filter does not match.
        """
        missing = {name.lower(): name for name in names}
        registered: dict[str, RegisteredRunner] = {}
        asked_by_name = False
        page = 0
        while missing:
            page += 1
            listing = self._list(page=page)
            _move_listed(listing["runners"], missing, registered)
            pages_left = -(-int(listing["total_count"]) // PAGE_SIZE) - page
            if pages_left <= 0 or not listing["runners"]:
                break
            if not asked_by_name and cheaper_by_name(len(missing), pages_left):
                asked_by_name = True
                for name in list(missing.values()):
                    _move_listed(self._list(name=name)["runners"], missing, registered)
        return registered

    def _list(self, *, page: int = 1, name: Optional[str] = None) -> Any:
        query: dict[str, object] = {"per_page": PAGE_SIZE, "page": page}
        if name is not None:
            query["name"] = name
        return self._client.call(
            "GET", self._root, "list the runners of", query=query, expected=("runners", "total_count")
        )

    def registration_token(self) -> str:
        """Return a new token that registers runners for one hour."""
        answer = self._client.call(
            "POST",
            f"{self._root}/registration-token",
            "give a registration token for",
            expected=("token",),
        )
        return str(answer["token"])

    def generate_jitconfig(
        self, name: str, group_id: int, labels: Sequence[str], work_folder: str = "_work"
    ) -> JitRunner:
        """Register a runner for one job and return it with its configuration.

        ``labels`` are all its labels: GitHub adds none. Raises CiError with ``status`` 409 when the name is
        taken, perhaps by an earlier attempt whose response was lost, and 404 for an unusable group.
        """
        answer = self._client.call(
            "POST",
            f"{self._root}/generate-jitconfig",
            f"make a one-job runner '{name}' in",
            body={
                "name": name,
                "runner_group_id": group_id,
                "labels": list(labels),
                "work_folder": work_folder,
            },
            expected=("runner", "encoded_jit_config"),
        )
        return JitRunner(RegisteredRunner.of(answer["runner"]), str(answer["encoded_jit_config"]))

    def register_for_one_job(
        self,
        name: str,
        group: str,
        labels: Sequence[str],
        work_folder: str,
        former: Optional[RegisteredRunner] = None,
    ) -> JitRunner:
        """Register a runner for one job; return it with its configuration.

        ``group`` is a group's name, empty for the default group. ``former`` had the same name and is deleted
        first.
        """
        if former:
            self.delete(former)
        return self.generate_jitconfig(name, self._group_id(group), labels, work_folder)

    def _group_id(self, group: str) -> int:
        known = self.groups()
        for candidate in known:
            if candidate.name.lower() == group.lower() or (not group and candidate.default):
                return candidate.id
        names = ", ".join(candidate.name for candidate in known)
        raise CiError(f"GitHub has no runner group '{group}'; use one of: {names}.")

    def downloads(self) -> list[RunnerPackage]:
        """Return the runner packages for this scope; GitHub rolls releases out by scope."""
        answer = self._client.call("GET", f"{self._root}/downloads", "list the runner packages for")
        return [
            RunnerPackage(
                os=str(data["os"]),
                architecture=str(data["architecture"]),
                download_url=str(data["download_url"]),
                filename=str(data["filename"]),
                sha256=str(data["sha256_checksum"]).lower() if data.get("sha256_checksum") else None,
            )
            for data in answer
        ]

    def support_ends_at(self, version: str) -> str:
        """Return when runners of ``version`` get no more jobs (UTC time stamp).

        Empty without such a time, and on all servers except Enterprise Cloud.
        """
        answer = self._client.call(
            "GET",
            f"{self._root}/deprecations/{version}",
            f"get the end of support of runner {version} for",
            accepted=(403, 404),
        )
        return str((answer or {}).get("runtime_deprecates_at") or "")

    def groups(self) -> list[RunnerGroup]:
        """Return the runner groups; a repository has only one and needs no request."""
        if self._client.scope.kind == "repository":
            return [REPOSITORY_GROUP]
        path = f"{self._client.scope.path}/actions/runner-groups"
        listed = self._client.items(path, "runner_groups", "list the runner groups of")
        return [RunnerGroup(int(data["id"]), str(data["name"]), bool(data["default"])) for data in listed]

    def set_labels(self, runner: RegisteredRunner, labels: Sequence[str]) -> tuple[str, ...]:
        """Replace the runner's custom labels and return all its labels.

        This takes effect at once, without a restart.
        """
        answer = self._client.call(
            "PUT",
            f"{self._root}/{runner.id}/labels",
            f"set the labels of runner '{runner.name}' in",
            body={"labels": list(labels)},
            expected=("labels",),
        )
        return tuple(str(label["name"]) for label in answer["labels"])

    def delete(self, runner: RegisteredRunner) -> None:
        """Remove the registration, if it still exists."""
        self._client.call(
            "DELETE", f"{self._root}/{runner.id}", f"remove runner '{runner.name}' from", accepted=(404,)
        )


def cheaper_by_name(names: int, pages_left: int) -> bool:
    """Return whether one request per name is cheaper than the pages that are left."""
    return names < pages_left


def _move_listed(
    listed: list[dict[str, Any]], missing: dict[str, str], registered: dict[str, RegisteredRunner]
) -> None:
    for data in listed:
        key = str(data["name"]).lower()
        if missing.pop(key, None) is not None:
            registered[key] = RegisteredRunner.of(data)


_RELEASE_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class VersionGap(NamedTuple):
    """How far a version is behind the newest one.

    ``outdated`` and ``behind`` (feature releases) are None if a version is unknown.
    """

    outdated: Optional[bool]
    behind: Optional[int]


def newest_version(packages: Iterable[RunnerPackage]) -> str:
    """Return the newest version among ``packages``; empty when none has a version."""
    known = [package.version for package in packages if package.version]
    return max(known, key=_numbers, default="")


def version_gap(version: str, newest: str) -> VersionGap:
    """Return how far ``version`` is behind ``newest``.

    Another major release counts as one feature release.
    """
    if not _RELEASE_VERSION.fullmatch(version) or not _RELEASE_VERSION.fullmatch(newest):
        return VersionGap(None, None)
    mine, theirs = _numbers(version), _numbers(newest)
    if mine >= theirs:
        return VersionGap(False, 0)
    return VersionGap(True, theirs[1] - mine[1] if mine[0] == theirs[0] else 1)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class Release(NamedTuple):
    """A runner package that can be fetched and verified."""

    version: str
    url: str
    sha256: str


def choose_release(
    offered: Sequence[RunnerPackage], architecture: str, pinned_sha256: str, scope_label: str
) -> Release:
    """Return the Linux package for ``architecture`` (x64, arm64, arm).

    Raises CiError when there is none, or when neither GitHub nor ``pinned_sha256`` gives its checksum.
    """
    for package in offered:
        if package.os != "linux" or package.architecture != architecture:
            continue
        sha256 = package.sha256 or pinned_sha256
        if not sha256 or not package.version:
            raise CiError(
                f"GitHub offers {scope_label} the runner {package.filename} without a "
                f"{'checksum' if package.version else 'version'}, and it would be installed unverified; pin "
                "github_runner_version and github_runner_sha256 as its release notes give them."
            )
        return Release(package.version, package.download_url, sha256)
    raise CiError(
        f"GitHub offers {scope_label} no Linux runner for {architecture}; pin github_runner_version, "
        "github_runner_download_url and github_runner_sha256."
    )
