"""The command ``config.sh remove``: end the registration here and on the server."""

from __future__ import annotations

from pathlib import Path

from . import registration
from .basics import SUCCESS, RunnerError, refuse_root
from .commandline import Settings
from .configure import connect, with_retries
from .diagnostics import Diagnostics


def remove(settings: Settings, root: Path, terminal: Diagnostics) -> int:
    """Remove the runner; raises RunnerError.

    With ``--local`` only the files are removed.
    """
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
    registered = registration.load(root)
    connection, _ = connect(settings, registered.github_url, "remove")
    with_retries(
        lambda: connection.call("DELETE", f"/{connection.scope}/actions/runners/{registered.agent_id}")
    )
    terminal.say("√ Runner removed successfully")
    registration.delete(root)
    terminal.say("√ Removed .credentials\n√ Removed .runner")
    return SUCCESS
