"""Names, account, unit and paths of an instance, and who owns its directories."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ..errors import CiError


class Directory(NamedTuple):
    """A directory as it must be; ``mode`` is in octal digits."""

    path: str
    mode: str
    owner: str
    group: str


class Layout(NamedTuple):
    """The paths of one instance below its directory ``root``."""

    root: str

    @property
    def home(self) -> str:
        """HOME of the account, inside ``root``: jobs can write only this one directory."""
        return os.path.join(self.root, "_home")

    @property
    def records(self) -> str:
        """The directory of our records about the instance; only root can write there."""
        return os.path.join(self.root, ".coldvox")

    def file(self, name: str) -> str:
        """Return the path of the runner's own file ``name``."""
        return os.path.join(self.root, name)

    def record(self, name: str) -> str:
        """Return the path of our record ``name``."""
        return os.path.join(self.records, name)


def instance_layout(base_dir: str, name: str) -> Layout:
    """Return the paths of the instance ``name`` below ``base_dir``."""
    return Layout(os.path.join(base_dir, name))


def instance_directories(layout: Layout, user: str, work_dir: str) -> list[Directory]:
    """Return the directories that registration needs, parents first.

    The runner writes to its root directory, so the account's group may write there. The sticky bit stops jobs
    from replacing root's files there: ``bin``, ``.env``, our records. The runner itself makes a relative work
    directory.
    """
    wanted = [
        Directory(layout.root, "1770", "root", user),
        Directory(layout.home, "0700", user, user),
    ]
    if os.path.isabs(work_dir):
        wanted.append(Directory(work_dir, "0700", user, user))
    return wanted


def check_base_dir(base_dir: str) -> str:
    """Return ``base_dir``; raises CiError unless it can be used in a unit file."""
    if (
        not os.path.isabs(base_dir)
        or not base_dir.isprintable()
        or any(letter in base_dir for letter in " \t\"'\\%$")
    ):
        raise CiError(
            f"Base directory '{base_dir}' cannot be used; give an absolute path without spaces, quotes, % "
            "and $."
        )
    return base_dir.rstrip("/") or "/"


# GitHub's limit is 64 characters. The runner checks nothing, and fails with a name that starts with "-".
_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}")
_ACCOUNT_PREFIX = "ci-"
_ACCOUNT_LIMIT = 31  # useradd(8), systemd-sysusers(8)
_DIGEST_LENGTH = 6
UNIT_TEMPLATE = "coldvox-runner@"


def check_name(name: str) -> str:
    """Return ``name``; raises CiError unless runner, directory and unit can have it."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise CiError(
            f"Runner name '{name}' cannot be used; give 1 to 64 of the characters A-Z a-z 0-9 . _ - and do "
            "not start with '-'."
        )
    return name


def instance_user(name: str) -> str:
    """Return the account that runs the instance ``name``.

    It is ``ci-<name>`` if that is a valid account name, else a shortened form that ends in six digits of the
    name's SHA-256. So two names never share an account because of their spelling.
    """
    if re.fullmatch(r"[a-z0-9-]+", name) and len(_ACCOUNT_PREFIX + name) <= _ACCOUNT_LIMIT:
        return _ACCOUNT_PREFIX + name
    import hashlib  # the import takes milliseconds, which would delay the hooks of every job

    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    room = _ACCOUNT_LIMIT - len(_ACCOUNT_PREFIX) - len(digest) - 1
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:room].rstrip("-")
    return f"{_ACCOUNT_PREFIX}{readable}-{digest}" if readable else _ACCOUNT_PREFIX + digest


def instance_unit(name: str) -> str:
    """Return the systemd unit of the instance ``name``; it needs no escaping."""
    return f"{UNIT_TEMPLATE}{name}.service"


def watcher_unit(name: str) -> str:
    """Return the systemd unit that watches the jobs of the instance ``name``."""
    return f"coldvox-ci-job@{name}.service"


def enrolling_unit(name: str) -> str:
    """Return the systemd unit that registers the instance ``name`` for its next job."""
    return f"coldvox-ci-enrol@{name}.service"


def check_distinct(names: list[str]) -> None:
    """Raise CiError if two names are equal without case: GitHub takes them for one."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise CiError(
                f"Runner name '{name}' is used twice (GitHub compares without case); make the names distinct."
            )
        seen.add(name.lower())
