"""Actions variables of repositories and organizations."""

from __future__ import annotations

import re
from typing import Any

from ..clock import timestamp
from ..exchange import Answer, RefusedError, not_found
from ..state import Variable
from .call import Call, Operation

# Names and sizes: docs.github.com, "Store information in variables", limits.
NAME = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*")
BAD_NAME = (
    "Variable names can only contain alphanumeric characters ([a-z], [A-Z], [0-9]) or underscores (_), "
    "and must not start with a number or GITHUB_."
)
MAX_BYTES = 48 * 1024
MAX_VARIABLES = {"repos": 500, "orgs": 1000}


def _render(variable: Variable) -> dict[str, Any]:
    shown = {
        "name": variable.name,
        "value": variable.value,
        "created_at": timestamp(variable.created_at),
        "updated_at": timestamp(variable.updated_at),
    }
    if variable.visibility is not None:
        shown["visibility"] = variable.visibility
    return shown


def _list_variables(call: Call) -> Answer:
    # Unlike other lists, GitHub's pages of variables have 10 by default and at most 30.
    page = call.page(call.state.variables_of(call.scope).values(), default=10, maximum=30)
    variables = [_render(variable) for variable in page.items]
    return Answer(200, {"total_count": page.total, "variables": variables}, page.headers)


def _variable(call: Call) -> Variable:
    variable = call.state.variables_of(call.scope).get(call.parameters["name"].upper())
    if variable is None:
        raise not_found()
    return variable


def _get_variable(call: Call) -> Answer:
    return Answer(200, _render(_variable(call)))


def _checked(value: str) -> str:
    if len(value.encode()) > MAX_BYTES:
        raise RefusedError(422, "Variable value exceeds the limit of 48 KB.")
    return value


def _create_variable(call: Call) -> Answer:
    data, scope = call.data, call.scope
    name, known = data["name"].upper(), call.state.variables_of(scope)
    if not NAME.fullmatch(name):
        raise RefusedError(422, BAD_NAME)
    if name in known:
        raise RefusedError(409, "Already exists - Variable already exists")
    if len(known) >= MAX_VARIABLES[scope.kind]:
        raise RefusedError(422, "Variable limit reached.")
    now = call.moment.now
    known[name] = Variable(name, _checked(data["value"]), now, now, data.get("visibility"))
    return Answer(201, {})


def _update_variable(call: Call) -> Answer:
    variable, data = _variable(call), call.data
    variable.value = _checked(data.get("value", variable.value))
    if variable.visibility is not None:
        variable.visibility = data.get("visibility", variable.visibility)
    variable.updated_at = call.moment.now
    return Answer(204)


def _delete_variable(call: Call) -> Answer:
    del call.state.variables_of(call.scope)[_variable(call).name]
    return Answer(204)


def _of_scope(base: str, permission: str) -> list[Operation]:
    variables = f"{base}/actions/variables"
    return [
        Operation("GET", variables, _list_variables, permission),
        Operation("POST", variables, _create_variable, permission),
        Operation("GET", f"{variables}/{{name}}", _get_variable, permission),
        Operation("PATCH", f"{variables}/{{name}}", _update_variable, permission),
        Operation("DELETE", f"{variables}/{{name}}", _delete_variable, permission),
    ]


OPERATIONS = [
    *_of_scope("/repos/{owner}/{repo}", "actions_variables"),
    *_of_scope("/orgs/{org}", "organization_actions_variables"),
]
