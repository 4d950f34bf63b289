"""The base class of modules that ask GitHub and never contact the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Client
from ansible_collections.coldvox.ci.plugins.module_utils.github.options import CONNECTION_SPEC
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import connect


class GithubAction(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The base of actions that check options, connect to GitHub and do their work.

    Every CiError becomes a failure with one sentence.
    """

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    #: The module's options in addition to those of the connection.
    SPEC: ClassVar[Mapping[str, Any]] = {}
    #: Whether the action, or what it prepares, changes something at GitHub.
    WRITES: ClassVar[bool] = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the result of ``perform``, or a failure with the text of its CiError."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self.validate_argument_spec(argument_spec={**CONNECTION_SPEC, **self.SPEC})[1]
        try:
            result.update(self.perform(connect(options, writes=self.WRITES), options))
        except CiError as error:
            result.update(error.details)
            result.update(failed=True, msg=str(error))
        return result

    def perform(self, client: Client, options: dict[str, Any]) -> dict[str, Any]:
        """Do the module's work and return its result.

        Raises CiError.
        """
        raise NotImplementedError
