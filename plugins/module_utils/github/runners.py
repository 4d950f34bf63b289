"""The runners of one scope, as GitHub's REST API sees them.

How far a runner is behind the release that GitHub means for its scope. Pure.

A runner that does not update itself must take each release within 30 days, or it gets no more jobs; GitHub's
API dates no release, so that distance is counted in releases.

What GitHub says about runners, as plain data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from .client import Client

_VERSION = re.compile(r"-(\d+\.\d+\.\d+)\.(?:tar\.gz|zip)$")


@dataclass(frozen=True)
class RegisteredRunner:
    """GitHub's public view of a runner. ``status`` and ``busy`` are hints: they are wrong after a sleep.

    ``group_id`` is None where GitHub keeps it to itself; ``version`` is empty before the first connection.
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
    """A group of runners; ``default`` is the one that takes whoever names none."""

    id: int
    name: str
    default: bool


@dataclass(frozen=True)
class RunnerPackage:
    """The runner that GitHub means for a scope; ``sha256`` is None where it names none."""

    os: str
    architecture: str
    download_url: str
    filename: str
    sha256: Optional[str]

    @property
    def version(self) -> str:
        """Return the version in the file name, such as ``2.336.0``; empty when there is none."""
        found = _VERSION.search(self.filename)
        return found[1] if found else ""


@dataclass(frozen=True)
class JitRunner:
    """A runner registered for one job; ``encoded`` is its whole configuration with its key, a secret."""

    runner: RegisteredRunner
    encoded: str = field(repr=False)


PAGE_SIZE = 100  # the most that GitHub gives
#: The one group that a repository has, of which the API says nothing.
REPOSITORY_GROUP = RunnerGroup(1, "Default", default=True)


class Runners:
    """What can be done with the runners of the client's scope."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._root = f"{client.scope.path}/actions/runners"

    def all(self) -> list[RegisteredRunner]:
        """Return every registered runner."""
        pages = self._client.items(self._root, "runners", "list the runners of", page_size=PAGE_SIZE)
        return [RegisteredRunner.of(data) for data in pages]

    def find(self, names: Iterable[str]) -> dict[str, RegisteredRunner]:
        """Return the registered ones among ``names``, by lower-case name (GitHub compares without case).

        The first page tells how many there are. What it does not have is asked by name where that takes fewer
        requests than the other pages. A name that GitHub does not find so is looked for on them all the same:
        whether its filter minds the letter case is not documented.
        """
        missing = {name.lower(): name for name in names}
        found: dict[str, RegisteredRunner] = {}
        asked_by_name = False
        page = 0
        while missing:
            page += 1
            listing = self._list(page=page)
            _sort_in(listing["runners"], missing, found)
            pages_left = -(-int(listing["total_count"]) // PAGE_SIZE) - page
            if pages_left <= 0 or not listing["runners"]:
                break
            if not asked_by_name and cheaper_by_name(len(missing), pages_left):
                asked_by_name = True
                for name in list(missing.values()):
                    _sort_in(self._list(name=name)["runners"], missing, found)
        return found

    def _list(self, *, page: int = 1, name: Optional[str] = None) -> Any:
        query: dict[str, object] = {"per_page": PAGE_SIZE, "page": page}
        if name is not None:
            query["name"] = name
        return self._client.call(
            "GET", self._root, "list the runners of", query=query, expected=("runners", "total_count")
        )

    def registration_token(self) -> str:
        """Mint and return a token that registers runners for one hour."""
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

        ``labels`` are all its labels: none comes by itself. Raises CiError with ``status`` 409 when the name
        is taken, which may be by an earlier attempt whose answer was lost, and 404 for an unusable group.
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

    def enrol_once(
        self,
        name: str,
        group: str,
        labels: Sequence[str],
        work_folder: str,
        former: Optional[RegisteredRunner] = None,
    ) -> JitRunner:
        """Register a runner for one job in the group called ``group`` (empty: the default one), in the place
        of ``former``, which had its name.
        """
        if former:
            self.delete(former)
        return self.generate_jitconfig(name, self._group_id(group), labels, work_folder)

    def _group_id(self, group: str) -> int:
        known = self.groups()
        for one in known:
            if one.name.lower() == group.lower() or (not group and one.default):
                return one.id
        names = ", ".join(one.name for one in known)
        raise CiError(f"Runner group '{group}' is not known to GitHub; it has: {names}.")

    def downloads(self) -> list[RunnerPackage]:
        """Return the runner packages that GitHub means for this scope; it rolls releases out by scope."""
        answer = self._client.call("GET", f"{self._root}/downloads", "name the runner packages for")
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

        Empty where no end is set, or the server does not tell: only Enterprise Cloud does.
        """
        answer = self._client.call(
            "GET",
            f"{self._root}/deprecations/{version}",
            f"name the end of support of runner {version} for",
            accepted=(403, 404),
        )
        return str((answer or {}).get("runtime_deprecates_at") or "")

    def groups(self) -> list[RunnerGroup]:
        """Return the runner groups; a repository has one, for which nothing is asked."""
        if self._client.scope.kind == "repository":
            return [REPOSITORY_GROUP]
        path = f"{self._client.scope.path}/actions/runner-groups"
        listed = self._client.items(path, "runner_groups", "list the runner groups of", page_size=PAGE_SIZE)
        return [RunnerGroup(int(one["id"]), str(one["name"]), bool(one["default"])) for one in listed]

    def set_labels(self, runner: RegisteredRunner, labels: Sequence[str]) -> tuple[str, ...]:
        """Replace the runner's custom labels, with effect at once and no restart; return all its labels."""
        answer = self._client.call(
            "PUT",
            f"{self._root}/{runner.id}/labels",
            f"set the labels of runner '{runner.name}' in",
            body={"labels": list(labels)},
            expected=("labels",),
        )
        return tuple(str(label["name"]) for label in answer["labels"])

    def delete(self, runner: RegisteredRunner) -> None:
        """Remove the registration; one that is already gone is no error."""
        self._client.call(
            "DELETE", f"{self._root}/{runner.id}", f"remove runner '{runner.name}' from", accepted=(404,)
        )


def cheaper_by_name(names: int, pages_left: int) -> bool:
    """Return whether one question per name takes fewer requests than the pages that are left."""
    return names < pages_left


def _sort_in(
    listed: list[dict[str, Any]], missing: dict[str, str], found: dict[str, RegisteredRunner]
) -> None:
    for data in listed:
        key = str(data["name"]).lower()
        if missing.pop(key, None) is not None:
            found[key] = RegisteredRunner.of(data)


_RELEASE_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class Standing(NamedTuple):
    """``outdated`` and ``behind`` (feature releases) are None where one of the versions is not known."""

    outdated: Optional[bool]
    behind: Optional[int]


def newest_version(packages: Iterable[RunnerPackage]) -> str:
    """Return the newest version among ``packages``; empty when none has any."""
    known = [package.version for package in packages if package.version]
    return max(known, key=_numbers, default="")


def standing(version: str, newest: str) -> Standing:
    """Return how ``version`` stands to ``newest``; another major release counts as one feature release."""
    if not _RELEASE_VERSION.fullmatch(version) or not _RELEASE_VERSION.fullmatch(newest):
        return Standing(None, None)
    mine, theirs = _numbers(version), _numbers(newest)
    if mine >= theirs:
        return Standing(False, 0)
    return Standing(True, theirs[1] - mine[1] if mine[0] == theirs[0] else 1)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
