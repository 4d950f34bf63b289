"""Archives like real models, and a fast server on loopback."""

from __future__ import annotations

import hashlib
import os
import random
import socketserver
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

MIB = 2**20
_BLOCK_BYTES = 4 * MIB
_MIDDLE_FILES = 47
#: Bytes of a trained model are far from uniform; with these weights deflate makes them half as large.
_WEIGHTS = random.Random(1)
_SKEWED = bytes(round(_WEIGHTS.gauss(128, 4)) for _ in range(256))


class Archive(NamedTuple):
    """A zip on disk, with its size and that of its files together in bytes."""

    path: Path
    sha256: str
    bytes: int
    unpacked_bytes: int
    files: int


def _sizes(archive_bytes: int, middle_files: int) -> dict[str, int]:
    """Return unpacked sizes by name; half of it is a file that does not compress."""
    sizes = {"model/graph/HCLG.fst": archive_bytes // 2}
    for number in range(middle_files):
        sizes[f"model/part{number % 5}/layer-{number:02}.mat"] = archive_bytes // middle_files
    return sizes


def make_archive(
    path: Path, archive_bytes: int, *, middle_files: int = _MIDDLE_FILES, seed: int = 1
) -> Archive:
    """Write a zip of about ``archive_bytes`` to ``path``.

    A large model has 1.8 GB packed and 2.7 GB unpacked.
    """
    chance = random.Random(seed)
    sizes = _sizes(archive_bytes, middle_files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, size in sizes.items():
            info = zipfile.ZipInfo(name, (2024, 5, 17, 12, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            with archive.open(info, "w", force_zip64=True) as stream:
                for begin in range(0, size, _BLOCK_BYTES):
                    block = chance.randbytes(min(_BLOCK_BYTES, size - begin))
                    stream.write(block if name.endswith(".fst") else block.translate(_SKEWED))
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Archive(path, digest, path.stat().st_size, sum(sizes.values()), len(sizes))


class _Handler(BaseHTTPRequestHandler):
    """Handler that sends files of ``directory`` with sendfile.

    So the server takes little time from the candidates.
    """

    protocol_version = "HTTP/1.1"
    directory: Path

    def do_GET(self) -> None:
        with (self.directory / self.path.strip("/")).open("rb") as stream:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(stream.fileno()).st_size))
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(stream)

    def log_message(self, *_what: Any) -> None:
        return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serve ``directory`` from a process of its own and yield the URL."""
    handler = type("Handler", (_Handler,), {"directory": directory})
    with _Server(("127.0.0.1", 0), handler) as server:
        port = server.server_address[1]
        child = os.fork()
        if child == 0:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(0.2)
            os._exit(0)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            os.kill(child, 15)
            os.waitpid(child, 0)
