"""Sending an answer: with sendfile normally, in pieces for some faults."""

from __future__ import annotations

import http.server
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

from testbed.mirror.answers import Answer
from testbed.mirror.audit import Entry
from testbed.mirror.faults import Fault
from testbed.mirror.resources import Resource

SLICES_PER_SECOND = 20
_CUT = {"stall", "reset", "truncate"}


class BodySender:
    """The sender of one answer over the connection of ``handler``.

    It counts in ``entry`` the bytes that it sent.
    """

    def __init__(
        self,
        handler: http.server.BaseHTTPRequestHandler,
        entry: Entry,
        fault: Fault | None,
        stopping: threading.Event,
    ) -> None:
        self._handler = handler
        self._entry = entry
        self._fault = fault
        self._stopping = stopping

    def send(self, resource: Resource, reply: Answer) -> None:
        """Send ``reply``, a part of ``resource``; raises OSError when the client is gone."""
        self._send_head(reply)
        if self._entry.method == "HEAD" or reply.length == 0:
            return
        kind = self._fault.kind if self._fault else None
        if kind in _CUT and self._fault:
            self._send_slowly(self._cut(resource, reply, self._fault.after_bytes))
            self._break_off(self._fault)
        elif kind == "slow" and self._fault:
            self._send_slowly(self._paced(resource, reply, self._fault.bytes_per_second))
        else:
            self._send_all(resource, reply)
        if kind == "lie_about_length":
            self._handler.close_connection = True

    def _send_head(self, reply: Answer) -> None:
        self._entry.status = int(reply.status)
        self._handler.send_response(reply.status)
        for name, value in reply.headers.items():
            self._handler.send_header(name, value)
        length = reply.length
        if self._fault and self._fault.kind == "lie_about_length":
            length = max(length + self._fault.delta_bytes, 0)
        if reply.status != HTTPStatus.NOT_MODIFIED:
            self._handler.send_header("Content-Length", str(length))
        self._handler.end_headers()
        self._handler.wfile.flush()

    def _send_all(self, resource: Resource, reply: Answer) -> None:
        plain = resource.open_plain()
        if plain is None:
            self._send_slowly(resource.chunks(reply.start, reply.length))
            return
        with plain:
            self._entry.bytes += self._handler.connection.sendfile(plain, reply.start, reply.length)
        self._entry.complete = self._entry.bytes == reply.length

    def _send_slowly(self, chunks: Iterator[bytes]) -> None:
        for chunk in chunks:
            self._handler.connection.sendall(chunk)
            self._entry.bytes += len(chunk)

    @staticmethod
    def _cut(resource: Resource, reply: Answer, after_bytes: int) -> Iterator[bytes]:
        return resource.chunks(reply.start, min(after_bytes, reply.length))

    def _paced(self, resource: Resource, reply: Answer, bytes_per_second: int) -> Iterator[bytes]:
        begin, sent = time.monotonic(), 0
        size = max(bytes_per_second // SLICES_PER_SECOND, 1)
        while sent < reply.length:
            yield from resource.chunks(reply.start + sent, min(size, reply.length - sent))
            sent += size
            early_seconds = sent / bytes_per_second - (time.monotonic() - begin)
            if early_seconds > 0 and self._stopping.wait(early_seconds):
                raise ConnectionAbortedError("The mirror stops.")

    def _break_off(self, fault: Fault) -> None:
        """End the connection in the middle of the body, as the fault asks."""
        self._entry.complete = False
        self._handler.close_connection = True
        if fault.kind == "stall":
            self._stopping.wait(fault.seconds)
        elif fault.kind == "reset":
            # With a linger time of 0 s the kernel sends RST; a shutdown would send FIN.
            self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._handler.connection.close()
