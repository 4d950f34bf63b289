# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of ``coldvox.ci.file_set``.

It renders the templates, then runs the module with the digest of each ``source``. If the host lacks a
content, it runs the module again with the contents.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Optional

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.coldvox.ci.plugins.plugin_utils.preload import preload

# The text is constant: with a date or a host name in it, every run would change every file.
_MANAGED = "This file is kept by Ansible (coldvox.ci). Changes made here by hand are overwritten."

preload()


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The action that fills ``content`` of each file from its template or source."""

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
        whole = [self._rendered(dict(raw), variables) for raw in raw_files]
        short = [
            made if raw.get("source") is None else _by_digest(made) for raw, made in zip(raw_files, whole)
        ]
        result: dict[str, Any] = {}
        for files in (short, whole):
            result = self._execute_module(
                module_name="coldvox.ci.file_set",
                module_args={**arguments, "files": files},
                task_vars=variables,
            )
            if not result.get("lacks"):
                break
        return result

    def _rendered(self, raw: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return ``raw`` with the text of its template or source, if it has one."""
        template = raw.pop("template", None)
        source = raw.pop("source", None)
        own = raw.pop("vars", None) or {}
        if "sha256" in raw:
            # The module would change nothing, and ask for a content that no run brings.
            raise AnsibleActionFail(
                f"The file '{raw.get('path')}' of file_set has a sha256, which is no option for playbooks; "
                "give its source instead."
            )
        if template is None and source is None:
            return raw
        if (template and source) or raw.keys() & {"content", "link_to", "directory"}:
            raise AnsibleActionFail(
                f"The file '{raw.get('path')}' of file_set has more than one source; give one of template, "
                "source, content, link_to and directory."
            )
        if source is not None:
            raw["content"] = self._loader.get_text_file_contents(self._find_needle("files", source))
            raw["brief"] = True
            return raw
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


def _by_digest(raw: dict[str, Any]) -> dict[str, Any]:
    """Return ``raw`` with the SHA-256 of its content in place of the content."""
    short = {key: value for key, value in raw.items() if key != "content"}
    return {**short, "sha256": hashlib.sha256(raw["content"].encode()).hexdigest()}
