"""Files of the kernel that are read again and again, and opened once."""

from __future__ import annotations

import os

_CHUNK = 65536
# More than the files of a busy host, fewer than the open files that a service may have.
_MOST = 256


class KeptFiles:
    """Files of /proc and /sys that stay open. Not for files that are replaced."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def text(self, path: str) -> str:
        """Return the content of ``path``; raises ``OSError`` when it cannot be read."""
        descriptor = self._open.get(path)
        if descriptor is not None:
            try:
                return _whole(descriptor)
            except OSError:
                # The process or group is gone; another one may have its name.
                os.close(self._open.pop(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = _whole(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if len(self._open) >= _MOST:
            self.close()
        self._open[path] = descriptor
        return text

    def close(self) -> None:
        """Close all files; the next reading opens them again."""
        while self._open:
            os.close(self._open.popitem()[1])


def _whole(descriptor: int) -> str:
    parts = []
    offset = 0
    while True:
        part = os.pread(descriptor, _CHUNK, offset)
        parts.append(part)
        offset += len(part)
        # One call gives about a page; the file has ended when a call gives nothing.
        if not part:
            return b"".join(parts).decode(errors="replace")
