# Copyright (c) 2026 coldvox.ci contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side of ``coldvox.ci.input_check``; nothing runs on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.coldvox.ci.plugins.module_utils.inputs import unknown_inputs

ROLES = Path(__file__).resolve().parents[2] / "roles"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Compares the names of a host's variables with what the roles declare."""

    _requires_connection = False
    _supports_check_mode = True
    # The roles' specs do not change during a run; every host of the play looks at the same ones.
    _declared: Optional[dict[str, set[str]]] = None

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Fail with one sentence that names every unknown input, or return quietly."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        unknown = unknown_inputs(task_vars or {}, self._inputs())
        if unknown:
            names = "; ".join(str(one) for one in unknown)
            raise AnsibleActionFail(f"{names}; correct the name in the inventory or remove it.")
        result["changed"] = False
        return result

    def _inputs(self) -> dict[str, set[str]]:
        """Return the declared inputs of every role of the collection, over all its entry points."""
        if ActionModule._declared is None:
            ActionModule._declared = {}
            for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
                specs = self._loader.load_from_file(str(path))["argument_specs"]
                inputs = {str(name) for entry in specs.values() for name in entry.get("options") or {}}
                ActionModule._declared[path.parents[1].name] = inputs
        return ActionModule._declared
