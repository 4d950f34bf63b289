"""Where the parts of an instance lie, and who owns them."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..errors import CiError


class Directory(NamedTuple):
    """A directory as it must be; ``mode`` in octal digits."""

    path: str
    mode: str
    owner: str
    group: str


class Layout(NamedTuple):
    """The paths of one instance below its own ``root``."""

    root: str

    @property
    def home(self) -> str:
        """HOME of the instance's account: inside, so that one directory is all that jobs can write."""
        return os.path.join(self.root, "_home")

    @property
    def records(self) -> str:
        """Our own notes about the instance; root only writes here."""
        return os.path.join(self.root, ".coldvox")

    def file(self, name: str) -> str:
        """Return the path of the runner's own file ``name``."""
        return os.path.join(self.root, name)

    def record(self, name: str) -> str:
        """Return the path of our note ``name``."""
        return os.path.join(self.records, name)


def instance_layout(base_dir: str, name: str) -> Layout:
    """Return the paths of the instance ``name`` below ``base_dir``."""
    return Layout(os.path.join(base_dir, name))


def instance_directories(layout: Layout, user: str, work_dir: str) -> list[Directory]:
    """Return the directories that an instance needs before it is configured, parents first.

    The runner writes into its own root directory, so the account's group may; the sticky bit keeps it from
    replacing what belongs to root there: ``bin``, ``.env``, our notes. A relative work directory is made by
    the runner.
    """
    wanted = [
        Directory(layout.root, "1770", "root", user),
        Directory(layout.home, "0700", user, user),
    ]
    if os.path.isabs(work_dir):
        wanted.append(Directory(work_dir, "0700", user, user))
    return wanted


def check_base_dir(base_dir: str) -> str:
    """Return ``base_dir``; raises CiError unless it can stand in a unit file as it is."""
    if (
        not os.path.isabs(base_dir)
        or not base_dir.isprintable()
        or any(letter in base_dir for letter in " \t\"'\\%$")
    ):
        raise CiError(
            f"Base directory '{base_dir}' cannot be used: give an absolute path without spaces, quotes, % "
            "and $."
        )
    return base_dir.rstrip("/") or "/"
