"""Answers of a distribution's programs about its security."""

from __future__ import annotations

import configparser
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import CiError
from ...host import systemd
from ...host.process import Result, Run
from .facts import SudoRule, Unit

_SECONDS = 60.0
# A disk with millions of files.
_SEARCH_SECONDS = 600.0
# Images of containers have their own setuid files, and nothing on the host runs them.
_IMAGES = (
    "/var/lib/docker",
    "/var/lib/containers",
    "/var/lib/machines",
    "*/containers/storage",
    "/proc",
    "/sys",
)
_OWN_UNITS = "coldvox-"
_UNOWNED = re.compile(r"^file (.*) is not owned by any package$", re.MULTILINE)
_DNF_TIMERS = ("dnf5-automatic.timer", "dnf-automatic.timer", "dnf-automatic-install.timer")
_APT_TIMER = "apt-daily-upgrade.timer"
_APT_SETTING = "APT::Periodic::Unattended-Upgrade"


def _output(result: Result, program: str) -> str:
    if result.status != 0:
        reason = " ".join((result.stderr or result.stdout).split())[:200]
        raise CiError(f"The program {program} gives no answer ({reason}); run it as root on the host.")
    return result.stdout


def exposures(run: Run) -> list[Unit]:
    """Return the units of this collection with their exposure, the most exposed first."""
    argv = ["systemd-analyze", "security", "--no-pager", "--json=short"]
    listed = json.loads(_output(run(argv, timeout_seconds=_SECONDS), argv[0]))
    units = [
        Unit(str(unit["unit"]), float(unit["exposure"]))
        for unit in listed
        if str(unit["unit"]).startswith(_OWN_UNITS)
    ]
    return sorted(units, key=lambda unit: (-unit.exposure, unit.name))


def sudo_rules(run: Run) -> list[SudoRule]:
    """Return the rules of /etc/sudoers and its included files; none without sudo."""
    done = run(["cvtsudoers", "-e", "-f", "json", "/etc/sudoers"], timeout_seconds=_SECONDS)
    if done.status == 127 and not shutil.which("sudo"):
        return []
    return list(parsed_sudo(json.loads(_output(done, "cvtsudoers") or "{}")))


def parsed_sudo(document: Mapping[str, Any]) -> Iterator[SudoRule]:
    """Yield the rules in the JSON of cvtsudoers(1), with aliases expanded."""
    for entry in document.get("User_Specs", ()):
        users = _members(entry.get("User_List", ()))
        for command in entry.get("Cmnd_Specs", ()):
            options: dict[str, Any] = {}
            for option in command.get("Options", ()):
                options.update(option)
            runs_as = _members(command.get("runasusers", ())) or ("root",)
            commands = _members(command.get("Commands", ()))
            yield SudoRule(users, runs_as, commands, options.get("authenticate", True) is not False)


_PREFIXES = {"usergroup": "%", "userid": "#", "usergid": "%#", "netgroup": "+", "nonunixgroup": "%:"}


def _members(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the members of a list of sudo as sudoers(5) writes them."""
    return tuple(
        ("!" if entry.get("negated") else "") + _PREFIXES.get(kind, "") + str(value)
        for entry in entries
        for kind, value in entry.items()
        if kind != "negated"
    )


def sshd_settings(run: Run) -> dict[str, str]:
    """Return the settings of the SSH server; none without a server.

    Their names are in lower case.
    """
    done = run(["sshd", "-T"], timeout_seconds=_SECONDS)
    if done.status == 127:
        return {}
    words = [line.split(None, 1) for line in _output(done, "sshd -T").splitlines()]
    return {pair[0].lower(): pair[1] for pair in words if len(pair) == 2}


def set_id_files(run: Run, places: Sequence[str]) -> list[str]:
    """Return the setuid and setgid files on the file systems ``places``."""
    pruned = [word for image in _IMAGES for word in ("-path", image, "-prune", "-o")]
    argv = ["find", *places, "-xdev", *pruned, "-type", "f", "-perm", "/6000", "-print0"]
    done = run(argv, timeout_seconds=_SEARCH_SECONDS)
    # It is 1 if a directory vanished meanwhile.
    if done.status not in (0, 1):
        _output(done, argv[0])
    return sorted({path for path in done.stdout.split("\0") if path})


def foreign(run: Run, files: Sequence[str]) -> list[str]:
    """Return those of ``files`` that no package contains, of dpkg or of RPM."""
    rest, asked = list(files), False
    if rest:
        done = run(["dpkg-query", "--search", *dpkg_patterns(rest)], timeout_seconds=_SECONDS)
        # It is 1 if one of the files is in no package.
        if done.status in (0, 1):
            rest, asked = foreign_to_dpkg(rest, done.stdout), True
    if rest:
        done = run(["rpm", "-qf", "--queryformat", "%{NAME}\n", *rest], timeout_seconds=_SECONDS)
        # Its status is the number of files that are in no package.
        if done.stdout:
            rest = foreign_to_rpm(rest, done.stdout)
        elif not asked:
            _output(done, "rpm")
    return rest


def dpkg_patterns(files: Iterable[str]) -> list[str]:
    """Return what to ask dpkg for.

    Debian 12 knows files of /usr by their old paths in / too.
    """
    plain = [re.sub(r"([*?\[\\])", r"\\\1", path) for path in files]
    return [name for path in plain for name in sorted({path, path.removeprefix("/usr")})]


def foreign_to_dpkg(files: Iterable[str], output: str) -> list[str]:
    """Return those of ``files`` that ``dpkg-query --search`` does not name."""
    owned = {line.partition(": ")[2] for line in output.splitlines() if not line.startswith("diversion ")}
    return [path for path in files if owned.isdisjoint((path, path.removeprefix("/usr")))]


def foreign_to_rpm(files: Iterable[str], output: str) -> list[str]:
    """Return those of ``files`` that the output of ``rpm -qf`` calls not owned."""
    unowned = set(_UNOWNED.findall(output))
    return [path for path in files if path in unowned]


def update_timers(run: Run, dnf_settings: str) -> list[str]:
    """Return the timers that run and install updates, not only download them."""
    shown = systemd.show(run, [*_DNF_TIMERS, _APT_TIMER], "Id,ActiveState")
    running = [name for name, unit in shown.items() if unit.running]
    if _APT_TIMER in running:
        done = run(["apt-config", "shell", "wanted", _APT_SETTING], timeout_seconds=_SECONDS)
        if done.stdout.strip() in ("", "wanted='0'") or not shutil.which("unattended-upgrade"):
            running.remove(_APT_TIMER)
    if not _applies(dnf_settings):
        running = [name for name in running if name not in _DNF_TIMERS[:2]]
    return running


def _applies(path: str) -> bool:
    """Return whether dnf-automatic's settings install what they download."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(path, encoding="utf-8")
        return parser.getboolean("commands", "apply_updates", fallback=False)
    except (configparser.Error, ValueError):
        return False
