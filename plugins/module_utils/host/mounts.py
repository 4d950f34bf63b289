"""The mount of a path, and the options by which it forbids what the path is for.

The mounts are those of the machine's first process: a service with a sandbox sees most of them read-only.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

_OCTAL = re.compile(r"\\([0-7]{3})")
# A job needs more than this before its first step.
_LEAST_FREE_BYTES = 64 * 2**20
_TABLES = ("/proc/1/mountinfo", "/proc/self/mountinfo")  # the first is for root


class Mount(NamedTuple):
    """Where a file system is mounted, the options of this mount, and those of the file system."""

    point: str
    options: frozenset[str]


def find_mount(path: str) -> Mount:
    """Return the mount of ``path`` (proc_pid_mountinfo(5)); of several at one point, the topmost."""
    place = f"{os.path.realpath(path).rstrip('/')}/"
    found = Mount("", frozenset())
    for line in _table().splitlines():
        fields = line.split(" ")
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        if place.startswith(f"{point.rstrip('/')}/") and len(point) >= len(found.point):
            # A kernel that finds damage makes the file system read-only, and not the mount.
            found = Mount(point, frozenset([*fields[5].split(","), *fields[-1].split(",")]))
    return found


def _table() -> str:
    for path in _TABLES:
        with suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as lines:
            return lines.read()
    return ""


def noexec_reason(path: str) -> str:
    """Return why no program below ``path`` can run, and what to do; empty if the mount allows it."""
    mount = find_mount(path)
    if "noexec" not in mount.options:
        return ""
    return (
        f"'{mount.point}' is mounted with noexec, so no program or library in '{path}' can run; remount it "
        f"with 'mount -o remount,exec {mount.point}' and remove the option from /etc/fstab, or choose "
        "another directory"
    )


def space_reason(path: str) -> str:
    """Return why a job cannot write files below ``path``, and what to do; else empty.

    Raises OSError for a path that does not exist.
    """
    status, mount = os.statvfs(path), find_mount(path)
    if "ro" in mount.options:
        return f"'{mount.point}' is mounted read-only; look at 'journalctl -k' and remount it"
    if status.f_bavail * status.f_frsize < _LEAST_FREE_BYTES:
        return f"'{mount.point}' has less than 64 MiB free; make room there"
    if status.f_files and not status.f_favail:
        return f"'{mount.point}' has no free inodes; remove files there"
    return ""
