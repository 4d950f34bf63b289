# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of ``coldvox.ci.file_set``.

It renders the templates, then runs the module once.
"""

from __future__ import annotations

import os
from typing import Any, Optional

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

# The text is constant: with a date or a host name in it, every run would change every file.
_MANAGED = "This file is kept by Ansible (coldvox.ci). Changes made here by hand are overwritten."


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The action that renders ``template`` into ``content`` for every file of the set."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the module's result."""
        variables = task_vars or {}
        super().run(tmp, variables)
        arguments = dict(self._task.args)
        raw_files = arguments.get("files") or []
        if not isinstance(raw_files, list) or not all(isinstance(raw, dict) for raw in raw_files):
            raise AnsibleActionFail(
                "The option files of file_set is not a list of dictionaries; give such a list, each entry "
                "with a path."
            )
        arguments["files"] = [self._rendered(dict(raw), variables) for raw in raw_files]
        result: dict[str, Any] = self._execute_module(
            module_name="coldvox.ci.file_set", module_args=arguments, task_vars=variables
        )
        return result

    def _rendered(self, raw: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return ``raw`` with its template, if it has one, replaced by the rendered text."""
        template = raw.pop("template", None)
        own = raw.pop("vars", None) or {}
        if template is None:
            return raw
        if raw.keys() & {"content", "link_to", "directory"}:
            raise AnsibleActionFail(
                f"The file '{raw.get('path')}' of file_set has a template and another source; give one of "
                "template, content, link_to and directory, not more."
            )
        try:
            raw["content"] = self._render(template, {**variables, **own})
        except AnsibleError as error:
            raise AnsibleActionFail(
                f"The template '{template}' of '{raw.get('path')}' cannot be rendered; correct the template "
                f"or the variable that it names: {error}"
            ) from error
        return raw

    def _render(self, template: str, variables: dict[str, Any]) -> str:
        """Find and render one template with the search path of ansible.builtin.template."""
        source = self._find_needle("templates", template)
        roots = [
            *variables.get("ansible_search_path", []),
            self._loader.get_basedir(),
            os.path.dirname(source),
        ]
        search_path = [place for root in roots for place in (os.path.join(root, "templates"), root)]
        available = {"ansible_managed": _MANAGED, **variables}
        templar = self._templar.copy_with_new_env(searchpath=search_path, available_variables=available)
        text = trust_as_template(self._loader.get_text_file_contents(source))
        rendered = templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True})
        return "" if rendered is None else str(rendered)
