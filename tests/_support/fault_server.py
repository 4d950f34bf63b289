"""A web server that misbehaves on request, and good and evil archives to serve."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional

from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import Artifact, parse
from ansible_collections.coldvox.ci.plugins.module_utils.store.install import Settings, Store
from ansible_collections.coldvox.ci.plugins.module_utils.store.members import Limits
from ansible_collections.coldvox.ci.plugins.module_utils.store.results import Report


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: str = "noise") -> bytes:
    """Return ``size`` bytes that do not compress and are the same in every run."""
    return hashlib.shake_256(seed.encode()).digest(size)


DRIPS = {
    "drip-head": b"HTTP/1.1 200 OK\r\nX: ",
    "drip-frame": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
}


@dataclass
class Page:
    """The answer of the server for a path, and its faults.

    ``faults`` are used up one per request: a status to answer with, or ``break:N`` (close after N body
    bytes), ``stall:N`` (say nothing more after N bytes), ``reset:N`` (TCP reset after N bytes), ``drip-head``
    and ``drip-frame`` (a header, or the length of a chunk, that comes byte by byte and never ends). ``etag``
    None sends none; ``ranges`` False ignores Range; ``rate`` is in bytes per second.
    """

    body: bytes
    etag: Optional[str] = '"one"'
    ranges: bool = True
    faults: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    location: str = ""
    length: Optional[int] = None
    rate: Optional[int] = None
    ignore_if_range: bool = False


class FaultServer:
    """Server of ``pages`` on loopback; ``requests`` keeps their paths and headers."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                page = server.pages.get(self.path)
                if page is None:
                    self.send_error(404)
                    return
                server._answer(self, page)

            def log_message(self, *_what: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def serve(self, path: str, body: bytes, **how: Any) -> str:
        """Serve ``body`` at ``path`` and return the url."""
        self.pages[path] = Page(body, **how)
        return self.url + path

    def count(self, path: str) -> int:
        return sum(1 for asked, _headers in self.requests if asked == path)

    def stop(self) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, page: Page) -> None:
        fault = page.faults.pop(0) if page.faults else ""
        if fault.isdigit():
            handler.send_response(int(fault))
            handler.send_header("Content-Length", "0")
            for name, value in page.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            return
        if fault in DRIPS:
            self._drip(handler, DRIPS[fault])
            return
        if page.location:
            handler.send_response(302)
            handler.send_header("Location", page.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        self._send_body(handler, page, fault)

    def _send_body(self, handler: BaseHTTPRequestHandler, page: Page, fault: str) -> None:
        wanted = handler.headers.get("Range", "") if page.ranges else ""
        condition = handler.headers.get("If-Range")
        start = int(wanted[len("bytes=") :].rstrip("-")) if wanted else 0
        if condition and condition != page.etag and not page.ignore_if_range:
            start = 0
        if start and start >= len(page.body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(page.body)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = page.body[start:]
        handler.send_response(206 if start else 200)
        if start and "Content-Range" not in page.headers:
            handler.send_header("Content-Range", f"bytes {start}-{len(page.body) - 1}/{len(page.body)}")
        if page.etag:
            handler.send_header("ETag", page.etag)
        length = len(body) if page.length is None else page.length
        if length >= 0:
            handler.send_header("Content-Length", str(length))
        else:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        for name, value in page.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        self._write(handler, page, body, fault)

    def _drip(self, handler: BaseHTTPRequestHandler, head: bytes) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(head)
            while not self.stopping.wait(0.05):
                handler.wfile.write(b"y")

    def _write(self, handler: BaseHTTPRequestHandler, page: Page, body: bytes, fault: str) -> None:
        kind, _colon, amount = fault.partition(":")
        part = body[: int(amount)] if kind in ("break", "stall", "reset") else body
        try:
            step = len(part) if page.rate is None else max(1, page.rate // 20)
            for begin in range(0, len(part), max(1, step)):
                handler.wfile.write(part[begin : begin + step])
                if page.rate is not None:
                    time.sleep(0.05)
            if kind == "stall":
                self.stopping.wait(30)
            if kind == "reset":
                handler.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
                )
            if kind:
                handler.close_connection = True
        except OSError:
            handler.close_connection = True


@contextmanager
def fault_server() -> Iterator[FaultServer]:
    server = FaultServer()
    try:
        yield server
    finally:
        server.stop()


def zip_of(files: Mapping[str, bytes], modes: Optional[Mapping[str, int]] = None) -> bytes:
    """Return a zip of ``files``; ``modes`` are full ``st_mode`` values by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2024, 5, 17, 12, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def tar_of(members: Mapping[str, Any], compression: str = "gz") -> bytes:
    """Return a tar of ``members``.

    Bytes are the content of a file; a TarInfo is added as it is, without content.
    """
    buffer = io.BytesIO()
    mode: Any = f"w:{compression}"
    # The usual preset of xz takes a second for data that do not compress.
    fast: Any = {"preset": 0} if compression == "xz" else {}
    with tarfile.open(fileobj=buffer, mode=mode, **fast) as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            info.mtime = 1700000000
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                archive.addfile(info)
    return buffer.getvalue()


def tar_special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a tar member of type ``kind`` (tarfile.SYMTYPE and the like)."""
    info = tarfile.TarInfo("x")
    info.type = kind
    info.linkname = target
    return info


MODEL_FILES = {
    "model-1/README": b"a model\n",
    "model-1/am/final.mdl": noise(200_000),
    "model-1/conf/model.conf": b"--x=1\n" * 2000,
}


def model_zip(seed: str = "model", size: int = 200_000) -> bytes:
    """Return a zip with one top directory, as the publisher of the models makes them."""
    return zip_of({**MODEL_FILES, "model-1/am/final.mdl": noise(size, seed)})


def wanted(name: str, url: Any, data: bytes, **more: Any) -> Artifact:
    """Return the artifact ``name`` whose download is ``data``."""
    return parse({"name": name, "url": url, "sha256": sha256(data), **more})


LIMITS = Limits(max_unpacked_bytes=2**30, max_ratio=250, max_entries=200_000)


def settings(**more: Any) -> Settings:
    """Return settings that lose no time between two tries."""
    return Settings(**{"limits": LIMITS, "timeout_seconds": 5.0, "pause_seconds": 0.01, **more})


def install(root: Any, *artifacts: Artifact, **more: Any) -> Report:
    return Store(str(root), settings(**more)).install(artifacts)
