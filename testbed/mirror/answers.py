"""The answer to a request for a resource: status, headers, and range of bytes."""

from __future__ import annotations

import dataclasses
import email.utils
from collections.abc import Mapping
from http import HTTPStatus

from testbed.mirror.ranges import ByteRange, UnsatisfiableRangeError, parse_range
from testbed.mirror.resources import Resource


@dataclasses.dataclass(frozen=True)
class Answer:
    """Status and headers of an answer, without Content-Length.

    ``start`` and ``length`` are the part of the resource that is the body.
    """

    status: HTTPStatus
    headers: Mapping[str, str]
    start: int
    length: int


def answer(resource: Resource, request: Mapping[str, str | None], *, ranges: bool = True) -> Answer:
    """Return the answer to GET or HEAD (RFC 9110, sections 13 and 14).

    ``request`` has the conditional headers of the request, by lower-case name. Without ``ranges`` Range is
    ignored.
    """
    common = {
        "Accept-Ranges": "bytes",
        "Content-Type": resource.content_type,
        "ETag": resource.etag,
        "Last-Modified": email.utils.formatdate(int(resource.modified), usegmt=True),
    }
    if _is_current(resource, request):
        return Answer(HTTPStatus.NOT_MODIFIED, common, 0, 0)
    whole = Answer(HTTPStatus.OK, common, 0, resource.size)
    if not ranges or not _if_range_holds(resource, request.get("if-range")):
        return whole
    try:
        wanted = parse_range(request.get("range"), resource.size)
    except UnsatisfiableRangeError:
        headers = {**common, "Content-Range": f"bytes */{resource.size}"}
        return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, 0, 0)
    return _partial(wanted, common, resource.size) if wanted else whole


def _partial(wanted: ByteRange, common: Mapping[str, str], size: int) -> Answer:
    last = wanted.start + wanted.length - 1
    headers = {**common, "Content-Range": f"bytes {wanted.start}-{last}/{size}"}
    return Answer(HTTPStatus.PARTIAL_CONTENT, headers, wanted.start, wanted.length)


def _is_current(resource: Resource, request: Mapping[str, str | None]) -> bool:
    """Return whether the client already has this version.

    If-None-Match decides; If-Modified-Since counts only without it.
    """
    tags = request.get("if-none-match")
    if tags is not None:
        known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return resource.etag in known or "*" in known
    since = _seconds(request.get("if-modified-since"))
    return since is not None and int(resource.modified) <= since


def _if_range_holds(resource: Resource, validator: str | None) -> bool:
    """Return whether a range may be sent: the client must have the same version."""
    if validator is None:
        return True
    if validator.startswith('"'):
        return validator == resource.etag
    return _seconds(validator) == int(resource.modified)


def _seconds(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
