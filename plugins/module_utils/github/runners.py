"""The runners of one scope, as GitHub's REST API sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Optional

from ..errors import CiError
from .client import Client
from .views import JitRunner, RegisteredRunner, RunnerGroup, RunnerPackage

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
