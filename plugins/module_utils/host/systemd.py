"""Call systemctl through ``run``; send sd_notify(3) messages without a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CiError
from .process import Run

# The output of ``systemctl show`` is made for programs (systemctl(1)).
_PROPERTIES = "Id,ActiveState,SubState,UnitFileState,NeedDaemonReload,Result"
_RUNNING_STATES = frozenset(["active", "activating", "reloading"])


class Unit(dict[str, str]):
    """The properties of one unit."""

    @property
    def active(self) -> bool:
        """Whether the unit runs or starts by itself soon."""
        return self.get("ActiveState") in _RUNNING_STATES

    @property
    def running(self) -> bool:
        """Whether the unit runs now."""
        return self.get("ActiveState") == "active"

    @property
    def failing(self) -> bool:
        """Whether it ended with an error, and systemd waits to start it again."""
        waits = self.get("SubState", "").startswith("auto-restart")
        return waits and self.get("Result", "success") != "success"

    @property
    def enabled(self) -> bool:
        """Whether the unit starts at boot."""
        return self.get("UnitFileState") == "enabled"

    @property
    def needs_reload(self) -> bool:
        """Whether its files changed since systemd read them."""
        return self.get("NeedDaemonReload") == "yes"


def show(run: Run, units: Sequence[str], properties: str = _PROPERTIES) -> dict[str, Unit]:
    """Return ``properties`` of all ``units`` by one call; an unknown unit has none."""
    loaded = show_loaded(run, units, properties) if units else {}
    return {name: loaded.get(name, Unit()) for name in units}


def show_loaded(run: Run, patterns: Sequence[str], properties: str = _PROPERTIES) -> dict[str, Unit]:
    """Return ``properties`` (with Id) of units that match ``patterns``, by one call.

    A pattern without ``*`` is the name of a unit. Raises CiError if systemctl fails.
    """
    result = run(["systemctl", "show", "--no-pager", f"--property={properties}", *patterns])
    if result.status != 0:
        raise CiError(
            f"The program systemctl cannot show the units ({_reason(result.stderr)}); check that "
            "systemd runs on this host."
        )
    loaded: dict[str, Unit] = {}
    for block in result.stdout.strip().split("\n\n"):
        unit = Unit(line.partition("=")[::2] for line in block.splitlines())
        loaded[unit.get("Id", "")] = unit
    return loaded


def daemon_reload(run: Run) -> None:
    """Make systemd read its unit files again."""
    _call(run, ["daemon-reload"], "read its unit files")


def enable(run: Run, unit: str) -> None:
    """Make ``unit`` start at boot."""
    _call(run, ["enable", "--quiet", unit], f"enable {unit}")


def disable(run: Run, unit: str) -> None:
    """Keep ``unit`` from starting at boot."""
    _call(run, ["disable", "--quiet", unit], f"disable {unit}")


def start(run: Run, unit: str) -> None:
    """Start ``unit`` and wait until systemd reports it started."""
    _call(run, ["start", unit], f"start {unit}")


def begin_start(run: Run, unit: str) -> None:
    """Start ``unit`` without waiting."""
    _call(run, ["start", "--no-block", unit], f"start {unit}")


def begin_try_restart(run: Run, unit: str) -> None:
    """Restart ``unit`` if it runs, without waiting."""
    _call(run, ["try-restart", "--no-block", unit], f"restart {unit}")


def stop(run: Run, unit: str) -> None:
    """Stop ``unit`` and wait until its processes have ended."""
    _call(run, ["stop", unit], f"stop {unit}")


def reset_failed(run: Run, unit: str) -> None:
    """Forget a failure of ``unit``; an unloaded unit has none."""
    run(["systemctl", "reset-failed", unit])


def begin_stop(run: Run, unit: str) -> None:
    """Stop ``unit`` without waiting; systemd does not restart it by itself any more."""
    _call(run, ["stop", "--no-block", unit], f"stop {unit}")


def _call(run: Run, arguments: Sequence[str], intent: str) -> None:
    result = run(["systemctl", *arguments])
    if result.status != 0:
        raise CiError(
            f"The systemd of this host could not {intent} ({_reason(result.stderr or result.stdout)}); see "
            "'systemctl status' and 'journalctl' on the host."
        )


def _reason(output: str) -> str:
    return " ".join(output.split())[:300] or "no reason given"


class Notifier:
    """Sends messages to the socket of NOTIFY_SOCKET.

    Without it, ``send`` does nothing.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._socket: Any = None
        if self._address:
            import socket  # here, because only the sampler needs it

            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def send(self, *words: str) -> None:
        """Send ``words`` such as ``READY=1`` in one message.

        Ignore a systemd that does not answer.
        """
        if self._socket is None:
            return
        # "@" is the zero byte of an abstract address.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            self._socket.sendto("\n".join(words).encode(), address)
        except OSError:
            return
