"""The resource of a URL path: a file below the root.

In some files the mirror's address replaces a placeholder.
"""

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
# Maps every byte to another one, so that two versions of a file differ everywhere.
_OTHER_BYTES = bytes(value ^ 1 for value in range(256))


@dataclasses.dataclass(frozen=True)
class Resource:
    """A file to serve.

    ``content`` is None for a file that is served unchanged. With ``altered`` all bytes are replaced.
    """

    path: Path
    size: int
    modified: float
    etag: str
    content: bytes | None = None
    altered: bool = False

    @property
    def content_type(self) -> str:
        """The media type, from the file's suffix."""
        return _TYPES.get(self.path.suffix, "application/octet-stream")

    def changed(self) -> Resource:
        """Return another version, as if the file had been replaced on the server."""
        return dataclasses.replace(
            self, altered=True, etag=f'"changed-{self.etag[1:]}', modified=self.modified + 60
        )

    def open_plain(self) -> BinaryIO | None:
        """Return the open file if it is served unchanged, else None; for sendfile."""
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
    """Return the resource for the decoded ``url_path`` below ``root``, or None.

    ``address`` is the one that the client uses (``http://host:port``). It replaces the placeholder, and the
    digest file of a rewritten file has the digest of the new content.
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
