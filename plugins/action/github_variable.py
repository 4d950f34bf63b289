# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of ``coldvox.ci.github_variable``; nothing runs on the host."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Client
from ansible_collections.coldvox.ci.plugins.module_utils.github.variables import (
    Variable,
    Variables,
    same_value,
    value_text,
    variable_name,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_action import GithubAction

# "all" would let public repositories read a new variable by default.
_FIRST_VISIBILITY = "private"


class ActionModule(GithubAction):
    """The action that keeps one variable.

    It takes one request if the variable is right, and two if it changes.
    """

    SPEC = {  # noqa: RUF012 - the base class says ClassVar
        "name": {"type": "str", "required": True},
        "value": {"type": "raw"},
        "visibility": {"type": "str", "choices": ["all", "private"]},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }

    def perform(self, client: Client, options: dict[str, Any]) -> dict[str, Any]:
        """Create, update or delete the variable; in check mode only predict it."""
        name = variable_name(options["name"])
        variables = Variables(client)
        present = options["state"] == "present"
        wanted = _wanted(client, name, options) if present else None
        before = variables.get(name)
        after = _after(before, wanted, options["value"], client.scope.kind)
        if after != before and not self._task.check_mode:
            if wanted is None or after is None:
                variables.delete(name)
            elif before is None:
                variables.create(after)
            else:
                variables.update(Variable(name, after.value, wanted.visibility))
        result: dict[str, Any] = {"changed": after != before, "name": name}
        if after is not None:
            result.update(value=after.value, visibility=after.visibility)
        if self._task.diff:
            result["diff"] = {
                "before_header": f"{name} of {client.scope.label}",
                "after_header": f"{name} of {client.scope.label}",
                "before": _shown(before),
                "after": _shown(after),
            }
        return result


def _wanted(client: Client, name: str, options: dict[str, Any]) -> Variable:
    """Return the wanted variable.

    Its visibility is empty if the options do not set it.
    """
    if options["value"] is None:
        raise CiError(f"The variable {name} has no value; give value, or state=absent to remove it.")
    if options["visibility"] and client.scope.kind == "repository":
        raise CiError(
            f"The option visibility is for variables of organizations, and this is {client.scope.label}; "
            "leave it out."
        )
    return Variable(name, value_text(options["value"]), options["visibility"] or "")


def _after(
    before: Optional[Variable], wanted: Optional[Variable], value: Any, kind: str
) -> Optional[Variable]:
    """Return the variable after the change; a stored text with the same value stays."""
    if wanted is None:
        return None
    if before is None:
        first = _FIRST_VISIBILITY if kind == "organization" else ""
        return Variable(wanted.name, wanted.value, wanted.visibility or first)
    text = before.value if same_value(value, before.value) else wanted.value
    return Variable(before.name, text, wanted.visibility or before.visibility)


def _shown(variable: Optional[Variable]) -> str:
    if variable is None:
        return ""
    head = f"visibility: {variable.visibility}\n" if variable.visibility else ""
    return f"{head}{variable.value}\n"
