"""Whether a server can be reached, within a time that nothing can stretch."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Optional
from urllib.parse import urlsplit

CONNECT_TIMEOUT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


def reachable(url: str, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS) -> bool:
    """Return whether the server of ``url`` accepts a connection within the time; no request is sent.

    A resolver that does not answer and a name with many addresses take no longer than that either. Raises
    ValueError for what is no http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is no http or https address")
    # As bytes, which spares the tables for names that are not ASCII.
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
    """Return what the server of ``url`` says the time is, in seconds since the epoch to the second.

    One HEAD request over the address's own protocol; None when nothing useful came back.
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
