"""Runners that a person installed on this host with the runner's own scripts.

``config.sh`` has left ``.runner`` in their directory, and mostly ``svc.sh`` has written a unit. They run
outside of the pool: with the rights of a person's account, without the limits, the sandbox and the clean-up.
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Optional

from ..errors import CiError
from .configure import Settings, read_settings
from .layout import UNIT_TEMPLATE, Layout
from .worker import LISTENER, Process, listeners, processes

# The directories of GitHub's instructions and of common guides. A unit or a process leads to others.
PLACES = (
    "/home/*/actions-runner*",
    "/home/*/actions-runner*/*",
    "/root/actions-runner*",
    "/opt/actions-runner*",
    "/opt/actions-runner*/*",
    "/srv/actions-runner*",
)
# The slices below are those of templates (systemd.slice(5)).
_SYSTEM_UNIT = re.compile(r"/system\.slice/(?:[^/\n]+\.slice/)*([^/\n]+\.service)(?=/|$)", re.MULTILINE)
_STARTERS = ("/runsvc.sh", "/run.sh", f"/bin/{LISTENER}")


class Service(NamedTuple):
    """The directory of the runner that a unit starts, and the unit's ``User=``."""

    root: str
    user: str


class ByHand(NamedTuple):
    """A runner that was installed by hand.

    ``unit`` is empty if no unit of the system starts it.
    """

    root: str
    unit: str
    user: str
    settings: Settings

    @property
    def layout(self) -> Layout:
        """The paths of the runner's own files."""
        return Layout(self.root)

    @property
    def name(self) -> str:
        """The name at GitHub."""
        return self.settings.name

    @property
    def place(self) -> str:
        """The directory and the unit, for a sentence."""
        return f"'{self.root}'" + (f" ({self.unit})" if self.unit else "")


def parse_service(text: str) -> Optional[Service]:
    """Return the runner that the unit file ``text`` starts; None for another service.

    The script of the runner may follow an interpreter, and may be relative to WorkingDirectory=
    (systemd.service(5)). A later assignment replaces an earlier one.
    """
    values: dict[str, str] = {}
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped
        elif section == "[Service]" and "=" in stripped and stripped[0] not in "#;":
            key, _equals, value = stripped.partition("=")
            values[key.strip()] = value.strip()
    home = values.get("WorkingDirectory", "").lstrip("-")
    try:
        words = shlex.split(values.get("ExecStart", "").lstrip("@-:+!"))
    except ValueError:
        return None
    # A shell may get the script as a part of a command line.
    parts = [part for word in words for part in word.split()]
    for word in (*words, *parts):
        path = os.path.normpath(os.path.join(home, word))
        for starter in _STARTERS:
            if path.startswith("/") and path.endswith(starter):
                return Service(path[: -len(starter)], values.get("User", ""))
    return None


def services(unit_dir: str) -> dict[str, Service]:
    """Return the services in ``unit_dir`` that start a runner, by unit, without the pool's."""
    started = {}
    for path in sorted(glob.glob(os.path.join(unit_dir, "*.service"))):
        name = os.path.basename(path)
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                service = None if name.startswith(UNIT_TEMPLATE) else parse_service(file.read())
        except OSError:
            continue
        if service:
            started[name] = service
    return started


def running(seen: Iterable[Process]) -> Iterator[tuple[str, str]]:
    """Yield the directory of each listener outside of the pool, and the system's unit that it is in.

    The unit is empty for a process of a person's session. It may be one that only started the runner, such as
    cron.
    """
    for process in seen:
        paths = [path for path in (process.executable, *process.arguments[:2]) if path.startswith("/")]
        place = next((path for path in paths if path.rpartition("/")[2] == LISTENER), "")
        if place and UNIT_TEMPLATE not in process.cgroup:
            unit = _SYSTEM_UNIT.search(process.cgroup)
            yield os.path.dirname(os.path.dirname(place)), unit.group(1) if unit else ""


def look_for(
    unit_dir: str, base_dir: str, places: Sequence[str] = PLACES, proc: str = "/proc"
) -> list[ByHand]:
    """Return the runners that are configured on this host and are not the pool's, by directory."""
    units: dict[str, tuple[str, str]] = {}
    for place in places:
        units.update((root, ("", "")) for root in glob.glob(place))
    for root, unit in running(processes(proc)):
        units[root] = (unit if _is_about(os.path.join(unit_dir, unit), root) else "", "")
    for unit, service in services(unit_dir).items():
        units[service.root] = (unit, service.user)
    runners: dict[str, ByHand] = {}
    for root, (unit, user) in units.items():
        real = os.path.realpath(root)
        settings = None if _is_below(real, base_dir) else read_settings(Layout(real))
        if settings and (unit or real not in runners):
            runners[real] = ByHand(real, unit, user or _owner(real), settings)
    return [runners[root] for root in sorted(runners)]


def _is_about(path: str, root: str) -> bool:
    """Return whether the unit file ``path`` names the directory ``root``.

    Only such a unit may be stopped and disabled with the runner.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return root in file.read()
    except OSError:
        return False


def _is_below(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{os.path.realpath(directory)}/")


def _owner(path: str) -> str:
    """Return the account that owns ``path``; empty if it is gone or has no account."""
    try:
        return pwd.getpwuid(os.stat(path).st_uid).pw_name
    except (OSError, KeyError):
        return ""


def of_scope(runners: Iterable[ByHand], url: str) -> list[ByHand]:
    """Return the runners that are registered with ``url``."""
    return [runner for runner in runners if _normal(runner.settings.url) == _normal(url)]


def _normal(url: str) -> str:
    return url.strip().rstrip("/").lower().replace("://www.github.com/", "://github.com/")


def named(runners: Iterable[ByHand]) -> Mapping[str, ByHand]:
    """Return the runners by lower-case name.

    A copied directory has a name twice. Then the one with a unit counts.
    """
    return {runner.name.lower(): runner for runner in sorted(runners, key=lambda runner: bool(runner.unit))}


def check_stopped(runner: ByHand, proc: str = "/proc") -> None:
    """Raise CiError if the runner still runs, because its key would end under a job."""
    if listeners(runner.root, runner.unit, proc):
        raise CiError(
            f"Runner '{runner.name}', installed by hand at {runner.place}, still runs; run adopt.yml, which "
            "waits "
            "for its job and stops it."
        )
