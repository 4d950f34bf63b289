"""A program of an account without rights, as a job would start it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

NOBODY = 65534


@contextmanager
def other_user(code: str, *arguments: str) -> Iterator[IO[str]]:
    """Run the Python ``code`` and yield what it prints; it ends with the block."""
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()
