"""GitHub's paging: ``per_page``, ``page`` and the Link header."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Optional, TypeVar
from urllib.parse import urlencode

from ..exchange import Request

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list; ``total`` counts the items of all pages."""

    items: list[Item]
    total: int
    headers: dict[str, str] = field(default_factory=dict)


def cut_page(items: list[Item], request: Request, *, default: int, maximum: int) -> Page[Item]:
    """Return the page that ``request`` asks for.

    Like GitHub, it gives at most ``maximum`` items without an error when more are asked for.
    """
    size = min(max(_count(request.query.get("per_page"), default), 1), maximum)
    number = max(_count(request.query.get("page"), 1), 1)
    last = max(-(-len(items) // size), 1)
    link = _link(request, number, last)
    shown = items[(number - 1) * size : number * size]
    return Page(shown, len(items), {"Link": link} if link else {})


def _link(request: Request, number: int, last: int) -> str:
    targets = {}
    if number > 1:
        targets["prev"] = number - 1
    if number < last:
        targets |= {"next": number + 1, "last": last}
    if number > 1:
        targets["first"] = 1
    address = f"{request.base_url}{request.path}"
    return ", ".join(
        f'<{address}?{urlencode({**request.query, "page": page})}>; rel="{relation}"'
        for relation, page in targets.items()
    )


def _count(text: Optional[str], default: int) -> int:
    return int(text) if text and text.isdecimal() else default
