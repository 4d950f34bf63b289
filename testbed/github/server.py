"""The emulator's HTTP/1.1 server, with one thread per connection."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from . import admin
from .api import PREFIX
from .client import AdminClient
from .emulator import Emulator
from .exchange import Answer, Request
from .rest.call import Downloads, no_downloads
from .validation import Description

# A job's log is the largest body; a greater length comes from a broken or hostile client.
MAX_BODY_BYTES = 16 * 1024 * 1024
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Server(ThreadingHTTPServer):
    """The server; it gives its handlers access to the emulator."""

    daemon_threads = True
    # Forty listeners may connect within one tick.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], emulator: Emulator) -> None:
        super().__init__(address, Handler)
        self.emulator = emulator

    def handle_error(self, request: object, client_address: object) -> None:
        """Print defects, but not a connection that the caller closed.

        Tests kill listeners on purpose.
        """
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed knows sockets only

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


class Handler(BaseHTTPRequestHandler):
    """The translation between HTTP and the emulator's requests and answers."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "coldvox-testbed"
    sys_version = ""
    # Header and body leave in two writes: without this a kept-alive caller waits 40 ms for the second.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class names it so)
        """Print nothing: the audit has every request."""

    def _serve(self) -> None:
        length = self.headers.get("Content-Length") or "0"
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            return self._write(Answer(413, {"message": "Request body is too large."}))
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            # The caller closed the connection in the middle of the request: do not act on a part of it.
            self.close_connection = True
            return None
        # Answer with the address that the caller used: it may not reach the server by another one.
        base_url = f"http://{self.headers.get('Host') or self.server.url.split('://')[1]}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body, base_url, self._connected)
        if request.path.startswith(admin.PREFIX):
            return self._write(admin.answer(self.server.emulator, request))
        return self._write(self.server.emulator.answer(request))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  (names of the base class)

    def _refuse_method(self) -> None:
        self.close_connection = True
        self._write(Answer(405, {"message": "Method not allowed"}, {"Allow": ", ".join(METHODS)}))

    do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = _refuse_method  # noqa: N815  (as above)

    def _write(self, answer: Answer) -> None:
        body = b"" if self.command == "HEAD" else answer.encoded()
        with contextlib.suppress(ConnectionError):
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("X-GitHub-Request-Id", secrets.token_hex(8).upper())
            if answer.status != 204:
                kind = "application/json" if answer.text is None else "text/html"
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: answer.cut_bytes])
            self.close_connection = self.close_connection or answer.cut_bytes is not None

    def _connected(self) -> bool:
        """Return whether the caller still waits.

        A closed connection reads as an empty string.
        """
        try:
            waiting: bytes = self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return waiting != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class Running:
    """An emulator that runs in this process, with its addresses and its AdminClient."""

    def __init__(self, server: Server) -> None:
        self.emulator = server.emulator
        self.url = server.url
        self.api_url = f"{server.url}{PREFIX}"
        self.admin = AdminClient(server.url)


@contextlib.contextmanager
def emulator(
    description: Path,
    *,
    downloads: Downloads = no_downloads,
) -> Iterator[Running]:
    """Run an emulator on a free loopback port for a ``with`` block.

    Raises AssertionError at the end if an answer violated GitHub's description: the test must fail then.
    """
    checked = Description.load(description, PREFIX)
    server = Server(("127.0.0.1", 0), Emulator(checked, downloads=downloads))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    running = Running(server)
    try:
        yield running
        if violations := running.emulator.violations():
            raise AssertionError(f"The emulator's answers violate GitHub's description: {violations}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
