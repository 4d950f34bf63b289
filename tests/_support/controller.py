"""Ansible on a controller, with a host that cannot be reached."""

from __future__ import annotations

import json
from typing import Any

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running
from tests._support.ansible_process import run_ansible

# RFC 5737: an address for documentation. A module that contacts its host fails.
NOWHERE = "192.0.2.1"


class Controller:
    """Function that runs a module by ``ansible``; ``page`` follows GitHub's address."""

    def __init__(self, github: Running) -> None:
        self.github = github
        #: More variables for the controller.
        self.environment: dict[str, str] = {}
        #: False starts the program as from the shell.
        self.warm = True

    def __call__(
        self, module: str, *, page: str = "Coldaine/ColdVox", check: bool = False, **options: Any
    ) -> dict[str, Any]:
        """Return the module's result, always with ``failed``, and its ``_output``."""
        arguments = {"url": f"{self.github.url}/{page}", "token": ADMIN_TOKEN, **options}
        done = run_ansible(
            *("ansible", NOWHERE, "-i", f"{NOWHERE},", "-vvv", "--diff", *(["--check"] if check else [])),
            *("-m", f"coldvox.ci.{module}", "-a", json.dumps(arguments)),
            environment=self.environment,
            warm=self.warm,
        )
        body = done.stdout.rpartition(f"{NOWHERE} | ")[2].partition(" => ")[2]
        assert body, done.stdout + done.stderr
        result: dict[str, Any] = json.JSONDecoder().raw_decode(body)[0]
        return {**result, "failed": done.returncode != 0, "_output": done.stdout + done.stderr}

    def requests(self) -> list[str]:
        """Return method and last path part of the requests since the last call."""
        asked = [
            f"{request['method']} {request['path'].rpartition('/')[2]}"
            for request in self.github.admin.audit()
        ]
        self.github.emulator.audit.clear()
        return asked
