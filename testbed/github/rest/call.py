"""The input of an operation, and the router from a path to its operation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, TypeVar
from urllib.parse import unquote

from ..clock import Moment
from ..exchange import Answer, Request, json_object, not_found
from ..state import Credential, GitHubState, Scope
from ..validation import Description
from .paging import Page, cut_page

Item = TypeVar("Item")
Access = Literal["credential", "app", "public"]


@dataclass(frozen=True)
class Download:
    """The runner package that the downloads endpoint offers."""

    url: str
    filename: str
    sha256: Optional[str] = None
    os: str = "linux"
    architecture: str = "x64"


# GitHub rolls releases out scope by scope, so the offer can differ between scopes.
Downloads = Callable[[Scope], list[Download]]


def no_downloads(_scope: Scope) -> list[Download]:
    """Offer no runner package."""
    return []


@dataclass
class Call:
    """One authorized and validated request to one operation."""

    state: GitHubState
    moment: Moment
    request: Request
    parameters: dict[str, str]
    description: Description
    downloads: Downloads
    credential: Credential = field(default_factory=Credential)
    app_id: Optional[int] = None

    @property
    def data(self) -> dict[str, Any]:
        return json_object(self.request.body)

    @property
    def api_url(self) -> str:
        return f"{self.request.base_url}/api/v3"

    @property
    def scope(self) -> Scope:
        """The scope that the path names; raises RefusedError 404 for an unknown one."""
        if "enterprise" in self.parameters:
            scope = self.state.scope("enterprises", self.parameters["enterprise"])
        elif "org" in self.parameters:
            scope = self.state.scope("orgs", self.parameters["org"])
        else:
            scope = self.state.scope("repos", f"{self.parameters['owner']}/{self.parameters['repo']}")
        if scope is None:
            raise not_found()
        return scope

    def number(self, name: str) -> int:
        return int(self.parameters[name])

    def page(self, items: Iterable[Item], *, default: int = 30, maximum: int = 100) -> Page[Item]:
        """Return the page of ``items`` that the query asks for, at most ``maximum`` items."""
        return cut_page(list(items), self.request, default=default, maximum=maximum)


@dataclass(frozen=True)
class Operation:
    """A documented operation.

    ``path`` is the template in GitHub's description, without ``/api/v3``. ``permission`` is the one that a
    fine-grained token needs; its level follows from the method.
    """

    method: str
    path: str
    answer: Callable[[Call], Answer]
    permission: str = "metadata"
    access: Access = "credential"
    # config.sh calls some documented operations with its short-lived token of this kind.
    runner_token: Optional[str] = None

    @property
    def level(self) -> str:
        return "read" if self.method == "GET" else "write"


class Router:
    """The table of operations: it finds an operation and the parameters in its path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        # A literal segment comes first: runners/downloads is not the runner with the id "downloads".
        ordered = sorted(operations, key=lambda each: each.path.count("{"))
        self._operations = [(_pattern(each.path), each) for each in ordered]

    def find(self, method: str, path: str) -> Optional[tuple[Operation, dict[str, str]]]:
        for pattern, operation in self._operations:
            match = pattern.fullmatch(path)
            if match and operation.method == method:
                return operation, {name: unquote(text) for name, text in match.groupdict().items()}
        return None


def _pattern(template: str) -> re.Pattern[str]:
    """Return the pattern of the paths that ``template`` stands for.

    An id is a number; a path with anything else in its place does not match.
    """
    text = re.sub(r"\\\{(\w+_id)\\\}", r"(?P<\1>[0-9]+)", re.escape(template))
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", text))
