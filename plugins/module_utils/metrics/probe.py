"""Whether a server can be reached, within a fixed time."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Optional
from urllib.parse import urlsplit

CONNECT_TIMEOUT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


def reachable(url: str, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS) -> bool:
    """Return whether the server of ``url`` accepts a connection within the time.

    No request is sent. The time includes a resolver that does not answer and a name with many addresses.
    Raises ValueError for a
    ``url`` that is not an http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https address; give such an address.")
    # As bytes, so that Python does not load its tables for names that are not ASCII.
    address = (parts.hostname.encode("ascii"), parts.port or _PORTS[parts.scheme])
    connected = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection(address, timeout=timeout_seconds).close()  # type: ignore[arg-type]
            connected.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return connected.is_set()


def server_clock(url: str, timeout_seconds: float) -> Optional[float]:
    """Return the time of the server of ``url``, in whole seconds since the epoch.

    It comes from one HEAD request over the address's own protocol. None if the answer has no valid date.
    """
    import http.client
    from email.utils import parsedate_to_datetime

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_seconds)
    try:
        connection.request("HEAD", parts.path or "/")
        stated = connection.getresponse().getheader("Date")
        return parsedate_to_datetime(stated).timestamp() if stated else None
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return None
    finally:
        connection.close()
