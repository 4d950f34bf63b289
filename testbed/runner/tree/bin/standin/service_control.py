"""``svc.sh``: written by config.sh from the template in bin."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from urllib.parse import urlsplit

from .registration import Registration

MOST_CHARACTERS = 150
MOST_SCOPE_CHARACTERS = 70


def service_name(found: Registration) -> str:
    """Return ``actions.runner.<scope>.<name>.service``, cut to 150 characters with a random number.

    The scope is the path of the GitHub URL only for github.com's own service; elsewhere it is the first part
    of the server's path.
    """
    server = urlsplit(found.tenant_url)
    if (server.hostname or "").endswith(".githubusercontent.com"):
        scope = urlsplit(found.github_url).path.strip("/")
    else:
        scope = server.path.strip("/").split("/")[0]
    scope = re.sub(r"[^0-9a-zA-Z._-]", "-", scope)
    name = found.agent_name
    full = f"actions.runner.{scope}.{name}.service"
    if len(full) <= MOST_CHARACTERS:
        return full
    scope = scope[:MOST_SCOPE_CHARACTERS]
    excess = len(f"actions.runner.{scope}.{name}.service") - MOST_CHARACTERS + 5
    name = name[: len(name) - max(excess, 0)]
    return f"actions.runner.{scope}.{name}-{random.randint(1000, 9998)}.service"


def write_script(root: Path, found: Registration) -> None:
    """Write ``svc.sh``, executable."""
    name = service_name(found)
    template = (root / "bin" / "systemd.svc.sh.template").read_text(encoding="utf-8")
    description = f"GitHub Actions Runner ({name[len('actions.runner.') : -len('.service')]})"
    text = template.replace("{{SvcNameVar}}", name).replace("{{SvcDescription}}", description)
    script = root / "svc.sh"
    script.write_text(text, encoding="utf-8")
    os.chmod(script, 0o755)
