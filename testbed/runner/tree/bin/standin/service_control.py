"""The script ``svc.sh``, which config.sh writes from the template in bin."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from urllib.parse import urlsplit

from .registration import Registration

MAX_CHARACTERS = 150
MAX_SCOPE_CHARACTERS = 70


def service_name(runner: Registration) -> str:
    """Return ``actions.runner.<scope>.<name>.service``.

    A name of more than 150 characters is cut and gets a random number. On github.com the scope is the path of
    the GitHub URL; elsewhere it is the first part of the server URL's path.
    """
    server = urlsplit(runner.tenant_url)
    if (server.hostname or "").endswith(".githubusercontent.com"):
        scope = urlsplit(runner.github_url).path.strip("/")
    else:
        scope = server.path.strip("/").split("/")[0]
    scope = re.sub(r"[^0-9a-zA-Z._-]", "-", scope)
    name = runner.agent_name
    full = f"actions.runner.{scope}.{name}.service"
    if len(full) <= MAX_CHARACTERS:
        return full
    scope = scope[:MAX_SCOPE_CHARACTERS]
    excess = len(f"actions.runner.{scope}.{name}.service") - MAX_CHARACTERS + 5
    name = name[: len(name) - max(excess, 0)]
    return f"actions.runner.{scope}.{name}-{random.randint(1000, 9998)}.service"


def write_script(root: Path, runner: Registration) -> None:
    """Write ``svc.sh``, executable."""
    name = service_name(runner)
    template = (root / "bin" / "systemd.svc.sh.template").read_text(encoding="utf-8")
    description = f"GitHub Actions Runner ({name[len('actions.runner.') : -len('.service')]})"
    text = template.replace("{{SvcNameVar}}", name).replace("{{SvcDescription}}", description)
    script = root / "svc.sh"
    script.write_text(text, encoding="utf-8")
    os.chmod(script, 0o755)
