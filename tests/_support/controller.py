"""Ansible on a controller, with a host that cannot be reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_collections.coldvox.ci.plugins as collection_plugins

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running

COLLECTIONS = Path(next(iter(collection_plugins.__path__))).parents[3]
# RFC 5737: an address for documentation. A module that contacts its host fails.
NOWHERE = "192.0.2.1"


class Controller:
    """Function that runs a module by ``ansible``; ``page`` follows GitHub's address."""

    def __init__(self, github: Running, home: Path) -> None:
        self.github = github
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE", "COLDVOX"))},
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_NOCOLOR": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        (home / "ansible.cfg").write_text("[defaults]\n")

    def __call__(
        self, module: str, *, page: str = "Coldaine/ColdVox", check: bool = False, **options: Any
    ) -> dict[str, Any]:
        """Return the module's result, always with ``failed``, and its ``_output``."""
        arguments = {"url": f"{self.github.url}/{page}", "token": ADMIN_TOKEN, **options}
        command = [str(Path(sys.executable).parent / "ansible"), NOWHERE, "-i", f"{NOWHERE},", "-vvv"]
        flags = ["--diff", *(["--check"] if check else [])]
        done = subprocess.run(
            [*command, *flags, "-m", f"coldvox.ci.{module}", "-a", json.dumps(arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
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
