# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of ``coldvox.ci.github_runner_release``; nothing runs on the host."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.options import CONNECTION_SPEC
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.runner.release import choose_release
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import connect

SPEC: dict[str, Any] = {
    **CONNECTION_SPEC,
    "architecture": {"type": "str", "choices": ["x64", "arm64", "arm"], "default": "x64"},
    "sha256": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The action that returns the runner release that GitHub offers for a scope."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return version, address and checksum, or fail with one sentence."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self.validate_argument_spec(argument_spec=SPEC)[1]
        try:
            client = connect(options)
            offered = Runners(client).downloads()
            release = choose_release(offered, options["architecture"], options["sha256"], client.scope.label)
        except CiError as error:
            return {**result, "failed": True, "msg": str(error)}
        return {**result, "changed": False, **release._asdict()}
