"""What lies behind a URL path: a file below the root, or its content with the mirror's address put in."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from testbed.mirror.placeholder import is_rewritten, with_address

CHUNK_BYTES = 256 * 1024
_TYPES = {
    ".zip": "application/zip",
    ".gz": "application/gzip",
    ".json": "application/json",
    ".toml": "text/plain; charset=utf-8",
    ".sha256": "text/plain; charset=utf-8",
    ".xml": "text/xml",
    ".rpm": "application/x-rpm",
}
# Turns every byte into another one, so that two versions of a file differ wherever they are joined.
_OTHER_BYTES = bytes(value ^ 1 for value in range(256))


@dataclasses.dataclass(frozen=True)
class Resource:
    """Something to serve; ``content`` is None for a plain file, ``altered`` gives other bytes instead."""

    path: Path
    size: int
    modified: float
    etag: str
    content: bytes | None = None
    altered: bool = False

    @property
    def content_type(self) -> str:
        """The media type, by the file's suffix."""
        return _TYPES.get(self.path.suffix, "application/octet-stream")

    def changed(self) -> Resource:
        """Return another version, as if the file had been replaced on the server."""
        return dataclasses.replace(
            self, altered=True, etag=f'"changed-{self.etag[1:]}', modified=self.modified + 60
        )

    def open_plain(self) -> BinaryIO | None:
        """Return the open file when its bytes are served as they are, for sendfile."""
        return self.path.open("rb") if self.content is None and not self.altered else None

    def chunks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield ``length`` bytes from offset ``start`` in chunks."""
        for chunk in self._stored_chunks(start, length):
            yield chunk.translate(_OTHER_BYTES) if self.altered else chunk

    def _stored_chunks(self, start: int, length: int) -> Iterator[bytes]:
        if self.content is not None:
            yield self.content[start : start + length]
            return
        with self.path.open("rb") as stream:
            stream.seek(start)
            while length > 0 and (chunk := stream.read(min(length, CHUNK_BYTES))):
                length -= len(chunk)
                yield chunk


def find(root: Path, url_path: str, address: str) -> Resource | None:
    """Return what the decoded ``url_path`` names below ``root``, or None.

    ``address`` is how the client calls this server (``http://host:port``); built files get it in place of the
    placeholder, and a digest file beside one is that of the rewritten content.
    """
    relative = PurePosixPath(url_path.lstrip("/"))
    if ".." in relative.parts or "\0" in url_path or any(part.startswith(".") for part in relative.parts):
        return None
    path = root / relative
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    if is_rewritten(relative.as_posix()):
        return _rewritten(path, status.st_mtime, address)
    return Resource(path, status.st_size, status.st_mtime, f'"{status.st_mtime_ns:x}-{status.st_size:x}"')


def _rewritten(path: Path, modified: float, address: str) -> Resource:
    if path.suffix == ".sha256":
        described = path.with_suffix("")
        digest = hashlib.sha256(with_address(described.read_bytes(), address)).hexdigest()
        content = f"{digest}  {described.name}\n".encode()
    else:
        content = with_address(path.read_bytes(), address)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Resource(path, len(content), modified, etag, content)
