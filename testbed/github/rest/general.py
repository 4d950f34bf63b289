"""The repository itself, and the caller's rate limit."""

from __future__ import annotations

from ..exchange import Answer, not_found
from ..rate_limit import rate_limit
from .call import Call, Operation


def _get_repository(call: Call) -> Answer:
    scope = call.scope
    public = scope.name in call.state.public
    if not public and call.credential.permissions == {}:
        raise not_found()
    shown = call.description.example("GET", "/repos/{owner}/{repo}")
    # The example is a fork made from a template; these parts of it violate the description themselves.
    for relation in ("parent", "source", "template_repository"):
        shown.pop(relation, None)
    shown["owner"]["login"] = scope.owner
    return Answer(
        200,
        {
            **shown,
            "name": scope.name.split("/")[1],
            "language": "Rust",
            "private": not public,
            "visibility": "public" if public else "private",
            "full_name": scope.name,
            "url": f"{call.api_url}{scope.path}",
            "html_url": f"{call.request.base_url}/{scope.name}",
        },
    )


def _get_meta(call: Call) -> Answer:
    shown = call.description.example("GET", "/meta")
    # The example has numbers where the description itself wants texts.
    shown.pop("ssh_key_fingerprints", None)
    return Answer(200, shown)


def _get_rate_limit(call: Call) -> Answer:
    core = rate_limit(call.state, call.request.authorization()[1], call.moment).body()
    shown = call.description.example("GET", "/rate_limit")
    return Answer(200, {"resources": {**shown["resources"], "core": core}, "rate": core})


OPERATIONS = [
    Operation("GET", "/repos/{owner}/{repo}", _get_repository, access="public"),
    Operation("GET", "/rate_limit", _get_rate_limit),
    Operation("GET", "/meta", _get_meta, access="public"),
]
