"""The undocumented routes with which config.sh registers a runner."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.github.registration import new_key
from tests._support.rest_client import ORGANIZATION, REPOSITORY, Reply, Rest

PUBLIC_KEY, _ = new_key()


def _mint(rest: Rest, kind: str = "registration", scope: str = REPOSITORY) -> str:
    return str(rest("POST", f"{scope}/actions/runners/{kind}-token").body["token"])


def _exchange(rest: Rest, token: str, event: str = "register", path: str = "Coldaine/ColdVox") -> Reply:
    body = {"url": f"{rest.server.url}/{path}", "runner_event": event}
    return rest("POST", "/actions/runner-registration", body, token=token, scheme="RemoteAuth")


def _register(rest: Rest, token: str, **changed: Any) -> Reply:
    labels = [{"id": 0, "name": "self-hosted", "type": "system"}, {"id": 0, "name": "fast", "type": "user"}]
    body = {
        "url": f"{rest.server.url}/Coldaine/ColdVox",
        "group_id": 1,
        "name": "a",
        "version": "2.336.0",
        "labels": labels,
        "public_key": PUBLIC_KEY,
        **changed,
    }
    return rest("POST", "/actions/runners/register", body, token=token, scheme="RemoteAuth")


def test_registration_token_is_valid_for_its_scope_for_an_hour(rest: Rest) -> None:
    token = _mint(rest)
    assert _exchange(rest, token).body["use_v2_flow"] is True
    assert _exchange(rest, token, path="coldaine/coldvox").status == 200
    assert _exchange(rest, token, path="Coldaine").status == 404
    assert _exchange(rest, token, "remove").status == 404
    rest.server.admin.advance_clock(3599)
    assert _exchange(rest, token).status == 200
    rest.server.admin.advance_clock(2)
    assert _exchange(rest, token).status == 404


def test_registration_token_of_an_organization_registers_for_it(rest: Rest) -> None:
    token = _mint(rest, scope=ORGANIZATION)
    assert _exchange(rest, token, path="Coldaine").status == 200
    assert _register(rest, token, url=f"{rest.server.url}/Coldaine").status == 200
    assert rest("GET", f"{ORGANIZATION}/actions/runners").body["total_count"] == 1
    assert _register(rest, token).status == 404


def test_groups_are_listed_with_the_registration_token(rest: Rest) -> None:
    for scope in (REPOSITORY, ORGANIZATION):
        token = _mint(rest, scope=scope)
        reply = rest("GET", f"{scope}/actions/runner-groups", token=token, scheme="RemoteAuth")
        assert [group["name"] for group in reply.body["runner_groups"]] == ["Default"]
    other = rest(
        "GET", f"{REPOSITORY}/actions/runner-groups", token=_mint(rest, "remove"), scheme="RemoteAuth"
    )
    assert other.status == 404


def test_register_makes_a_runner_that_the_api_shows(rest: Rest) -> None:
    reply = _register(rest, _mint(rest), ephemeral=True)
    assert reply.status == 200
    shown = rest("GET", f"{REPOSITORY}/actions/runners/{reply.body['id']}").body
    assert (shown["name"], shown["status"], shown["ephemeral"], shown["version"]) == (
        "a",
        "offline",
        True,
        "2.336.0",
    )
    assert [label["type"] for label in shown["labels"]] == ["read-only", "custom"]


def test_register_refuses_a_taken_name_without_replace(rest: Rest) -> None:
    token = _mint(rest)
    first = _register(rest, token).body
    assert _register(rest, token).status == 409
    second = _register(rest, token, runner_id=first["id"], replace=True).body
    assert second["id"] == first["id"]
    assert second["authorization"]["client_id"] != first["authorization"]["client_id"]
    assert rest("GET", f"{REPOSITORY}/actions/runners").body["total_count"] == 1


@pytest.mark.parametrize(
    ("changed", "status"), [({"name": "x" * 65}, 422), ({"name": ""}, 422), ({"group_id": 9}, 404)]
)
def test_register_refuses_what_github_refuses(rest: Rest, changed: dict[str, Any], status: int) -> None:
    assert _register(rest, _mint(rest), **changed).status == status


def test_remove_token_removes_only_in_its_scope(rest: Rest) -> None:
    number = _register(rest, _mint(rest)).body["id"]
    path = f"{REPOSITORY}/actions/runners/{number}"
    assert rest("DELETE", path, token=_mint(rest), scheme="RemoteAuth").status == 404
    assert rest("DELETE", path, token=_mint(rest, "remove", ORGANIZATION), scheme="RemoteAuth").status == 404
    assert rest("DELETE", path, token=_mint(rest, "remove"), scheme="RemoteAuth").status == 204
    # The short-lived token is not valid for other requests.
    assert rest("GET", path, token=_mint(rest, "remove"), scheme="RemoteAuth").status == 401
