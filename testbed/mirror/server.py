"""The mirror's HTTP/1.1 server, with injected faults and an audit."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from testbed.mirror import answers, resources
from testbed.mirror.audit import Audit, Entry
from testbed.mirror.bodies import BodySender
from testbed.mirror.faults import ActiveFaults, Fault

ADMIN = "/_testbed/"
IDLE_SECONDS = 120
PAGE = "<!doctype html><html><title>Welcome</title><body>Please sign in to use this network.</body></html>\n"
_CONDITIONS = ("range", "if-range", "if-none-match", "if-modified-since")


class MirrorServer(http.server.ThreadingHTTPServer):
    """A server of the tree below ``root``; port 0 means a free port."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, root: Path, host: str = "127.0.0.1", port: int = 0, audit_file: Path | None = None
    ) -> None:
        # Set before the base class runs: it calls server_close when it cannot listen.
        self.stopping = threading.Event()
        self.audit = Audit(audit_file)
        super().__init__((host, port), MirrorHandler)
        self.root = root
        self.active_faults = ActiveFaults()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def set_faults(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Replace all faults by ``faults``; see ``faults.KINDS``.

        An empty list removes them. Raises ValueError for an invalid fault.
        """
        self.active_faults.replace([Fault.from_json(fault) for fault in faults])

    def requests(self) -> list[dict[str, Any]]:
        """Return the audit, oldest request first."""
        return self.audit.entries()

    def reset(self) -> None:
        """Remove all faults and clear the audit."""
        self.active_faults.replace([])
        self.audit.clear()

    def server_close(self) -> None:
        self.stopping.set()
        self.audit.finish()
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may close the connection, and the audit has the requests."""


@contextlib.contextmanager
def mirror(root: Path) -> Iterator[MirrorServer]:
    """Serve ``root`` on a free loopback port for a ``with`` block."""
    server = MirrorServer(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class MirrorHandler(http.server.BaseHTTPRequestHandler):
    """The handler of one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "coldvox-mirror"
    timeout = IDLE_SECONDS
    server: MirrorServer

    def do_GET(self) -> None:
        if self._path.startswith(ADMIN):
            self._administer({"health": self._health, "audit": self._audit, "faults": self._faults})
        else:
            self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._administer({"faults": self._set_faults, "reset": self._reset})

    @property
    def _path(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)

    @property
    def _address(self) -> str:
        """The address that the client used; a forwarded port differs from ours."""
        host = self.headers.get("Host")
        return f"http://{host}" if host else self.server.url

    def _serve(self) -> None:
        with self.server.audit.request(self.command, self._path, self.headers.get("Range")) as entry:
            try:
                self._answer(entry)
            except OSError:
                entry.complete = False
                self.close_connection = True

    def _answer(self, entry: Entry) -> None:
        fault = self.server.active_faults.take(entry.method, entry.path, has_range=entry.range is not None)
        entry.fault = fault.kind if fault else None
        if fault and fault.kind in {"status", "html", "redirect"}:
            self._answer_instead(entry, fault)
            return
        resource = resources.find(self.server.root, entry.path, self._address)
        if resource is None:
            self._text(entry, HTTPStatus.NOT_FOUND, f"The mirror has no {entry.path}\n")
            return
        if entry.fault == "change_between_ranges":
            resource = resource.changed()
        conditions = {name: self.headers.get(name) for name in _CONDITIONS}
        reply = answers.answer(resource, conditions, ranges=entry.fault != "ignore_range")
        BodySender(self, entry, fault, self.server.stopping).send(resource, reply)

    def _answer_instead(self, entry: Entry, fault: Fault) -> None:
        if fault.kind == "html":
            self._text(entry, HTTPStatus.OK, PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif fault.kind == "redirect":
            location = {"Location": fault.location, **fault.headers}
            self._text(entry, fault.status or HTTPStatus.FOUND, fault.body, location)
        else:
            self._text(entry, fault.status or HTTPStatus.SERVICE_UNAVAILABLE, fault.body, fault.headers)

    def _text(self, entry: Entry, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        entry.status = int(status)
        entry.bytes = len(body) if self.command != "HEAD" else 0
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _administer(self, actions: Mapping[str, Any]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        action = actions.get(self._path.removeprefix(ADMIN)) if self._path.startswith(ADMIN) else None
        if action is None:
            self._json(
                HTTPStatus.NOT_FOUND,
                {"message": f"There is no {self.command} {self._path}; see testbed/mirror/server.py."},
            )
            return
        try:
            self._json(HTTPStatus.OK, action(body))
        except ValueError as error:
            self._json(HTTPStatus.BAD_REQUEST, {"message": str(error)})

    def _health(self, _body: bytes) -> Any:
        return {"status": "ok", "root": str(self.server.root)}

    def _audit(self, _body: bytes) -> Any:
        return self.server.requests()

    def _faults(self, _body: bytes) -> Any:
        return self.server.active_faults.in_force()

    def _set_faults(self, body: bytes) -> Any:
        faults = json.loads(body)
        if not isinstance(faults, list):
            raise ValueError("The body is no list of faults; send a JSON list.")
        self.server.set_faults(faults)
        return self._faults(body)

    def _reset(self, _body: bytes) -> Any:
        self.server.reset()
        return {"status": "ok"}

    def _json(self, status: HTTPStatus, data: Any) -> None:
        self._text(
            Entry(self.command, self._path), status, json.dumps(data), {"Content-Type": "application/json"}
        )

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Print nothing: the audit has every request."""
