"""Undocumented routes that config.sh calls.

They exchange a token, list the groups of a repository and register a runner. No public description has them;
their shapes come from the source of GitHub's runner. Only the stand-in runner tests them.
"""

from __future__ import annotations

import re
from typing import Any

from .clock import Moment
from .exchange import Answer, RefusedError, Request, json_object, not_found
from .registration import authorization, check_token, register, scope_of_url
from .state import GitHubState, Scope

_PREFIX = "/api/v3"
_GROUPS = re.compile(rf"{_PREFIX}/repos/([^/]+/[^/]+)/actions/runner-groups")
_KINDS = {"register": "registration", "remove": "remove"}


def answer(state: GitHubState, request: Request, moment: Moment) -> Answer | None:
    """Return the answer, or None when ``request`` is for none of these routes."""
    if request.method == "POST" and request.path == f"{_PREFIX}/actions/runner-registration":
        return _exchange(state, request, moment)
    if request.method == "POST" and request.path == f"{_PREFIX}/actions/runners/register":
        return _register(state, request, moment)
    if request.method == "GET" and (match := _GROUPS.fullmatch(request.path)):
        return _groups(state, match[1], request, moment)
    return None


def _token_scope(state: GitHubState, request: Request, kind: str, moment: Moment) -> Scope:
    scheme, token = request.authorization()
    if scheme != "remoteauth":
        raise not_found()
    return check_token(state, token, kind, moment)


def _required(data: dict[str, Any], *names: str) -> None:
    for name in names:
        if name not in data:
            raise RefusedError(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')


def _exchange(state: GitHubState, request: Request, moment: Moment) -> Answer:
    data = json_object(request.body)
    _required(data, "url", "runner_event")
    kind = _KINDS.get(data["runner_event"])
    if kind is None:
        raise RefusedError(422, "Invalid request.\n\nrunner_event must be register or remove.")
    if _token_scope(state, request, kind, moment) != scope_of_url(state, data["url"]):
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


def _groups(state: GitHubState, repository: str, request: Request, moment: Moment) -> Answer:
    scope = _token_scope(state, request, "registration", moment)
    if scope != state.scope("repos", repository):
        raise not_found()
    groups = [
        {"id": group.id, "name": group.name, "default": group.default, "is_hosted": False}
        for group in state.groups_of(scope).values()
    ]
    return Answer(200, {"total_count": len(groups), "runner_groups": groups})


def _register(state: GitHubState, request: Request, moment: Moment) -> Answer:
    scope = _token_scope(state, request, "registration", moment)
    data = json_object(request.body)
    _required(data, "url", "group_id", "name", "labels", "public_key")
    if scope != scope_of_url(state, data["url"]):
        raise not_found()
    replaced = data.get("runner_id") if data.get("replace") else None
    runner = register(state, scope, data, replace_id=replaced)
    where = authorization(runner, request.base_url)
    return Answer(200, {"id": runner.id, "name": runner.name, "authorization": where})
