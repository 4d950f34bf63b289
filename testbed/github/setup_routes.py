"""What config.sh calls beside the documented API: token exchange, groups of a repository, registration.

These routes are in no public description; their shapes are those the runner's own source asks for, so nothing
but the stand-in runner vouches for them.
"""

from __future__ import annotations

import re
from typing import Any

from .clock import Moment
from .exchange import Answer, RefusedError, Request, json_object, not_found
from .registration import authorization, check_token, register, scope_of_url
from .state import Scope, World

_PREFIX = "/api/v3"
_GROUPS = re.compile(rf"{_PREFIX}/repos/([^/]+/[^/]+)/actions/runner-groups")
_KINDS = {"register": "registration", "remove": "remove"}


def answer(world: World, request: Request, moment: Moment) -> Answer | None:
    """Return the answer to one of these routes, or None when ``request`` is none of them."""
    if request.method == "POST" and request.path == f"{_PREFIX}/actions/runner-registration":
        return _exchange(world, request, moment)
    if request.method == "POST" and request.path == f"{_PREFIX}/actions/runners/register":
        return _register(world, request, moment)
    if request.method == "GET" and (match := _GROUPS.fullmatch(request.path)):
        return _groups(world, match[1], request, moment)
    return None


def _token_scope(world: World, request: Request, kind: str, moment: Moment) -> Scope:
    scheme, token = request.authorization()
    if scheme != "remoteauth":
        raise not_found()
    return check_token(world, token, kind, moment)


def _required(data: dict[str, Any], *names: str) -> None:
    for name in names:
        if name not in data:
            raise RefusedError(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')


def _exchange(world: World, request: Request, moment: Moment) -> Answer:
    data = json_object(request.body)
    _required(data, "url", "runner_event")
    kind = _KINDS.get(data["runner_event"])
    if kind is None:
        raise RefusedError(422, "Invalid request.\n\nrunner_event must be register or remove.")
    if _token_scope(world, request, kind, moment) != scope_of_url(world, data["url"]):
        raise not_found()
    return Answer(
        200,
        {
            "url": f"{request.base_url}/_services/",
            "token_schema": "OAuthAccessToken",
            "token": request.authorization()[1],
            "use_v2_flow": True,
        },
    )


def _groups(world: World, repository: str, request: Request, moment: Moment) -> Answer:
    scope = _token_scope(world, request, "registration", moment)
    if scope != world.scope("repos", repository):
        raise not_found()
    groups = [
        {"id": group.id, "name": group.name, "default": group.default, "is_hosted": False}
        for group in world.groups_of(scope).values()
    ]
    return Answer(200, {"total_count": len(groups), "runner_groups": groups})


def _register(world: World, request: Request, moment: Moment) -> Answer:
    scope = _token_scope(world, request, "registration", moment)
    data = json_object(request.body)
    _required(data, "url", "group_id", "name", "labels", "public_key")
    if scope != scope_of_url(world, data["url"]):
        raise not_found()
    replaced = data.get("runner_id") if data.get("replace") else None
    runner = register(world, scope, data, replace_id=replaced)
    where = authorization(runner, request.base_url)
    return Answer(200, {"id": runner.id, "name": runner.name, "authorization": where})
