"""What a service tells systemd of itself: sd_notify(3), without its library."""

from __future__ import annotations

import socket
from collections.abc import Mapping


class Notifier:
    """Sends to the socket that ``environment`` names; without one every word is for nobody."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._socket = (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        )

    def send(self, *words: str) -> None:
        """Send ``words`` such as ``READY=1`` in one message. A systemd that is away is no reason to stop."""
        if self._socket is None:
            return
        # "@" stands for the zero byte of an abstract address.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            self._socket.sendto("\n".join(words).encode(), address)
        except OSError:
            return
