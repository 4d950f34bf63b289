"""The runners of one scope, as GitHub's REST API sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .client import Client

PAGE_SIZE = 100  # the most that GitHub gives


@dataclass(frozen=True)
class RegisteredRunner:
    """GitHub's public view of a runner. ``status`` and ``busy`` are hints: they are wrong after a sleep."""

    id: int
    name: str
    status: str
    busy: bool
    labels: tuple[str, ...]
    custom_labels: tuple[str, ...]
    version: str

    @classmethod
    def of(cls, data: dict[str, Any]) -> RegisteredRunner:
        """Return the runner that the API describes by ``data``."""
        labels = data.get("labels", [])
        return cls(
            id=int(data["id"]),
            name=str(data["name"]),
            status=str(data.get("status", "offline")),
            busy=bool(data.get("busy", False)),
            labels=tuple(str(label["name"]) for label in labels),
            custom_labels=tuple(str(label["name"]) for label in labels if label.get("type") != "read-only"),
            version=str(data.get("version") or ""),
        )


class Runners:
    """What can be done with the runners of the client's scope."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._root = f"{client.scope.path}/actions/runners"

    def find(self, names: Iterable[str]) -> dict[str, RegisteredRunner]:
        """Return the registered ones among ``names``, by lower-case name (GitHub compares without case).

        Takes the cheaper way after the first page: further pages, or one question per name still missing.
        """
        missing = {name.lower(): name for name in names}
        found: dict[str, RegisteredRunner] = {}
        page = 0
        while missing:
            page += 1
            listing = self._list(page=page)
            _sort_in(listing["runners"], missing, found)
            pages_left = -(-int(listing["total_count"]) // PAGE_SIZE) - page
            if pages_left <= 0 or not listing["runners"]:
                break
            if pages_left > len(missing):
                for name in list(missing.values()):
                    _sort_in(self._list(name=name)["runners"], missing, found)
                break
        return found

    def _list(self, *, page: int = 1, name: Optional[str] = None) -> Any:
        query: dict[str, object] = {"per_page": PAGE_SIZE, "page": page}
        if name is not None:
            query["name"] = name
        return self._client.call("GET", self._root, "list the runners of", query=query)

    def registration_token(self) -> str:
        """Mint and return a token that registers runners for one hour."""
        answer = self._client.call(
            "POST", f"{self._root}/registration-token", "give a registration token for"
        )
        return str(answer["token"])

    def set_labels(self, runner: RegisteredRunner, labels: Sequence[str]) -> tuple[str, ...]:
        """Replace the runner's custom labels, with effect at once and no restart; return all its labels."""
        answer = self._client.call(
            "PUT",
            f"{self._root}/{runner.id}/labels",
            f"set the labels of runner '{runner.name}' in",
            body={"labels": list(labels)},
        )
        return tuple(str(label["name"]) for label in answer["labels"])

    def delete(self, runner: RegisteredRunner) -> None:
        """Remove the registration; one that is already gone is no error."""
        self._client.call(
            "DELETE", f"{self._root}/{runner.id}", f"remove runner '{runner.name}' from", accepted=(404,)
        )


def _sort_in(
    listed: list[dict[str, Any]], missing: dict[str, str], found: dict[str, RegisteredRunner]
) -> None:
    for data in listed:
        key = str(data["name"]).lower()
        if missing.pop(key, None) is not None:
            found[key] = RegisteredRunner.of(data)
