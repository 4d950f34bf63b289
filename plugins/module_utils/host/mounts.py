"""The mount of a path, and the options by which it forbids what the path is for."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

_OCTAL = re.compile(r"\\([0-7]{3})")
# A job needs more than this before its first step.
_LEAST_FREE_BYTES = 64 * 2**20


class Mount(NamedTuple):
    """Where a file system is mounted, and the options of this mount."""

    point: str
    options: frozenset[str]


def mount_of(path: str) -> Mount:
    """Return the mount of ``path``, by its number (proc_pid_mountinfo(5)).

    A bind mount may have other options than the file system. Raises OSError for a path that does not exist.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        number = _field(f"/proc/self/fdinfo/{descriptor}", "mnt_id:")
    finally:
        os.close(descriptor)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split(" ")
            if fields[0] == number:
                point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
                return Mount(point, frozenset(fields[5].split(",")))
    return Mount("", frozenset())


def _field(path: str, start: str) -> str:
    with open(path, encoding="ascii") as lines:
        return next((line[len(start) :].strip() for line in lines if line.startswith(start)), "")


def noexec_reason(path: str) -> str:
    """Return why no program below ``path`` can run, and what to do; empty if the mount allows it."""
    with suppress(OSError):
        if os.statvfs(path).f_flag & os.ST_NOEXEC:
            point = mount_of(path).point
            return (
                f"'{point}' is mounted with noexec, so no program or library in '{path}' can run; remount it "
                f"with 'mount -o remount,exec {point}' and remove the option from /etc/fstab, or choose another "
                "directory"
            )
    return ""


def space_reason(path: str) -> str:
    """Return why a job cannot write files below ``path``, and what to do, else empty."""
    status = os.statvfs(path)
    point = mount_of(path).point
    if status.f_flag & os.ST_RDONLY:
        return f"'{point}' is mounted read-only; look at 'journalctl -k' and remount it"
    if status.f_bavail * status.f_frsize < _LEAST_FREE_BYTES:
        return f"'{point}' has less than 64 MiB free; make room there"
    if status.f_files and not status.f_favail:
        return f"'{point}' has no free inodes; remove files there"
    return ""
