"""Where the parts of an instance lie, and who owns them.

Names of instances, and what is derived from them: account, unit, directory.
"""

from __future__ import annotations

import os
import re
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


# GitHub's limit is 64 characters; the runner itself checks nothing, and cannot take a name that starts with
# "-".
_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}")
_ACCOUNT_PREFIX = "ci-"
_ACCOUNT_LIMIT = 31  # useradd(8), systemd-sysusers(8)
_DIGEST_LENGTH = 6
UNIT_TEMPLATE = "coldvox-runner@"


def check_name(name: str) -> str:
    """Return ``name``; raises CiError unless it can be a runner's, a directory's and a unit instance's
    name.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise CiError(
            f"Runner name '{name}' cannot be used: it must be 1 to 64 of the characters A-Z a-z 0-9 . _ - "
            "and not start with '-'."
        )
    return name


def instance_user(name: str) -> str:
    """Return the account that runs the instance ``name``.

    It is ``ci-<name>`` where that is a valid account name as it stands, and else a shortened form that ends
    in six digits of the name's SHA-256, so that two names never share an account by their spelling.
    """
    if re.fullmatch(r"[a-z0-9-]+", name) and len(_ACCOUNT_PREFIX + name) <= _ACCOUNT_LIMIT:
        return _ACCOUNT_PREFIX + name
    import hashlib  # takes milliseconds, which every job's hooks would pay

    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    room = _ACCOUNT_LIMIT - len(_ACCOUNT_PREFIX) - len(digest) - 1
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:room].rstrip("-")
    return f"{_ACCOUNT_PREFIX}{readable}-{digest}" if readable else _ACCOUNT_PREFIX + digest


def instance_unit(name: str) -> str:
    """Return the systemd unit of the instance ``name``; the allowed characters need no escaping."""
    return f"{UNIT_TEMPLATE}{name}.service"


def enrolling_unit(name: str) -> str:
    """Return the systemd unit that registers the instance ``name`` for its next job."""
    return f"coldvox-ci-enrol@{name}.service"


def check_distinct(names: list[str]) -> None:
    """Raise CiError when two names differ by case only or not at all: GitHub takes them for one runner."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise CiError(
                f"Runner name '{name}' is used twice (GitHub compares without case); make the names distinct."
            )
        seen.add(name.lower())
