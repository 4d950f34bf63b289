"""Runner groups of organizations and enterprises."""

from __future__ import annotations

from typing import Any

from ..exchange import Answer, RefusedError, not_found
from ..state import Group
from .call import Call, Operation
from .runners import SCOPES


def _render(call: Call, group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "visibility": group.visibility,
        "default": group.default,
        "runners_url": f"{call.api_url}{call.scope.path}/actions/runner-groups/{group.id}/runners",
        "inherited": False,
        "allows_public_repositories": True,
    }


def _list_groups(call: Call) -> Answer:
    page = call.page(call.state.groups_of(call.scope).values())
    groups = [_render(call, group) for group in page.items]
    return Answer(200, {"total_count": page.total, "runner_groups": groups}, page.headers)


def _group(call: Call) -> Group:
    group = call.state.groups_of(call.scope).get(call.number("runner_group_id"))
    if group is None:
        raise not_found()
    return group


def _get_group(call: Call) -> Answer:
    return Answer(200, _render(call, _group(call)))


def _create_group(call: Call) -> Answer:
    groups, data = call.state.groups_of(call.scope), call.data
    if any(group.name.lower() == data["name"].lower() for group in groups.values()):
        raise RefusedError(409, f"Already exists - A runner group named {data['name']} already exists.")
    group = Group(call.state.next_id(), data["name"], visibility=data.get("visibility", "all"))
    groups[group.id] = group
    return Answer(201, _render(call, group))


def _delete_group(call: Call) -> Answer:
    group = _group(call)
    if group.default:
        raise RefusedError(422, "The default runner group cannot be deleted.")
    for runner in call.state.runners_of(call.scope):
        if runner.group_id == group.id:
            runner.group_id = 1
    del call.state.groups_of(call.scope)[group.id]
    return Answer(204)


def _of_scope(base: str, permission: str) -> list[Operation]:
    groups = f"{base}/actions/runner-groups"
    return [
        Operation("GET", groups, _list_groups, permission, runner_token="registration"),
        Operation("POST", groups, _create_group, permission),
        Operation("GET", f"{groups}/{{runner_group_id}}", _get_group, permission),
        Operation("DELETE", f"{groups}/{{runner_group_id}}", _delete_group, permission),
    ]


OPERATIONS = [
    operation
    for base, permission in SCOPES.items()
    if not base.startswith("/repos/")
    for operation in _of_scope(base, permission)
]
