"""``config.sh remove``: ends the registration on the server and in this directory."""

from __future__ import annotations

from pathlib import Path

from . import registration
from .basics import SUCCESS, RunnerError, refuse_root
from .commandline import Settings
from .configure import connect, with_retries
from .diagnostics import Diagnostics


def remove(settings: Settings, root: Path, terminal: Diagnostics) -> int:
    """Remove the runner; ``--local`` forgets only the files. Raises RunnerError."""
    refuse_root()
    if settings.flag("local"):
        registration.delete(root)
        terminal.say("Removed .runner, .credentials and .credentials_rsaparams")
        return SUCCESS
    terminal.say("\n# Runner removal\n")
    if (root / ".service").exists():
        terminal.complain("Failed: Removing service")
        raise RunnerError("Uninstall service first")
    if not registration.is_configured(root):
        terminal.say(
            "Cannot connect to server, because config files are missing. "
            "Skipping removing runner from the server."
        )
        registration.delete(root)
        return SUCCESS
    found = registration.load(root)
    service, _ = connect(settings, found.github_url, "remove")
    with_retries(lambda: service.call("DELETE", f"/{service.scope}/actions/runners/{found.agent_id}"))
    terminal.say("√ Runner removed successfully")
    registration.delete(root)
    terminal.say("√ Removed .credentials\n√ Removed .runner")
    return SUCCESS
