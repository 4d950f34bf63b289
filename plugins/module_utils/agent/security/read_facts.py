"""Input of the security report: asks every source of this host once, as root.

Jobs can write some of the files that are read here, so a link or a pipe in place of one is not opened.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Optional

from ...errors import CiError
from ...github.scope import scope_of
from ...github.transport import stdlib_transport
from ...host import systemd
from ...host.config import Config, read_config
from ...host.paths import paths_of
from ...host.process import Run
from ...runner.layout import instance_layout, instance_unit
from ...store.layout import Layout
from ..changes import unrecorded
from ..report.read_status import instance_names
from ..report.sources import Sources, read_text
from .facts import Account, Facts, Port, Runner
from .programs import exposures, foreign, set_id_files, sshd_settings, sudo_rules, update_timers

_SECONDS = 20.0
_MOST_BYTES = 65536
_PROPERTIES = "Id,User,InaccessiblePaths,TemporaryFileSystem,BindPaths,BindReadOnlyPaths"
_BUS = ("/run/dbus/system_bus_socket", "/run/dbus", "/run", "/var/run/dbus", "/var/run", "/")
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_NO_LOGIN = ("nologin", "false", "sync", "shutdown", "halt")
_DROP_IN = "systemd/system/coldvox-runner@.service.d/50-hardening.conf"
_PROFILE = "# Profile: "
# Below /etc; root runs what they say.
_DECISIVE = ("coldvox-ci", "ssh", "sudoers", "sudoers.d", "systemd")


def read_facts(places: Mapping[str, str], run: Run, etc: str = "/etc") -> Facts:
    """Return this host's facts.

    ``places`` are directories, ``etc`` has the system's settings. A source that gives nothing is None in the
    facts, and ``unknown`` says why.
    """
    paths = paths_of(places)
    sources = Sources()
    config = sources.read("settings", partial(read_config, paths.config)) or Config()
    runners = sources.read("runners", partial(_runners, run, paths.runners))
    set_id = sources.read("setuid", partial(set_id_files, run, _file_systems()))
    urls = sorted({runner.url for runner in runners or () if runner.url})
    return Facts(
        host=config.host or os.uname().nodename,
        now=time.time(),
        profile=_profile(os.path.join(etc, _DROP_IN)),
        units=sources.read("units", partial(exposures, run)),
        runners=runners,
        accounts=tuple(_accounts({runner.account for runner in runners or ()}, etc)),
        ports=sources.read("ports", _ports),
        sudo=sources.read("sudo", partial(sudo_rules, run)),
        setuid=set_id,
        foreign_setuid=None if set_id is None else sources.read("packages", partial(foreign, run, set_id)),
        lingering=_names_in("/var/lib/systemd/linger"),
        polkit_rule=_has_polkit_rule(os.path.join(etc, "polkit-1/rules.d")),
        sshd=sources.read("sshd", partial(sshd_settings, run)),
        loose=tuple(_loose([os.path.join(etc, name) for name in _DECISIVE])),
        store_fault=_store_fault(paths.store),
        public=sources.read("public", partial(public_repositories, urls)),
        audit_wanted=os.path.exists(os.path.join(etc, "audit/rules.d/50-coldvox-ci.rules")),
        unrecorded=unrecorded(run),
        updates=sources.read("updates", partial(update_timers, run, os.path.join(etc, "dnf/automatic.conf"))),
        unknown=sources.unknown,
    )


def _runners(run: Run, base_dir: str) -> list[Runner]:
    names = instance_names(base_dir)
    shown = systemd.show(run, [instance_unit(name) for name in names], _PROPERTIES)
    return [_runner(name, shown[instance_unit(name)], base_dir) for name in names]


def _runner(name: str, unit: Mapping[str, str], base_dir: str) -> Runner:
    layout, account = instance_layout(base_dir, name), unit.get("User", "")
    search = [place for place in _private_text(layout.file(".path")).strip().split(":") if place]
    system = min((search.index(place) for place in _SYSTEM_PATH if place in search), default=len(search))
    writable = {place for place in search if can_write(place, account)}
    return Runner(
        name=name,
        account=account,
        reaches_bus=reaches_bus(unit),
        writable_path=tuple(place for place in search if place in writable),
        early_path=tuple(place for place in search[:system] if place in writable),
        url=_kept_url(layout.file(".runner")),
    )


def reaches_bus(unit: Mapping[str, str]) -> bool:
    """Return whether a process of ``unit`` sees the socket of the system bus.

    ``unit`` has the properties that systemctl shows.
    """

    def targets(name: str) -> set[str]:
        """Return the paths in the unit: SOURCE:TARGET:OPTIONS, or only TARGET."""
        return {
            entry.lstrip("-+").split(":")[1 if name.startswith("Bind") and ":" in entry else 0].rstrip("/")
            or "/"
            for entry in unit.get(name, "").split()
        }

    if not targets("InaccessiblePaths").isdisjoint(_BUS):
        return False
    bound = targets("BindPaths") | targets("BindReadOnlyPaths")
    return targets("TemporaryFileSystem").isdisjoint(_BUS) or not bound.isdisjoint(_BUS)


def can_write(path: str, account: str) -> bool:
    """Return whether ``account`` can put a program into the directory ``path``.

    That is so if it can write to the directory, or replace or create it in a directory above. An unknown
    account is no group's member and owns nothing.
    """
    try:
        entry = pwd.getpwnam(account)
        uid, groups = entry.pw_uid, os.getgrouplist(account, entry.pw_gid)
    except KeyError:
        uid, groups = -1, []
    place, owner = os.path.realpath(path), uid
    while True:
        try:
            status = os.stat(place)
        except FileNotFoundError:
            owner = uid  # whoever can write above can create it
        else:
            shift = 6 if status.st_uid == uid else 3 if status.st_gid in groups else 0
            # In a sticky directory only the owner of an entry can replace it.
            replaceable = owner == uid or not status.st_mode & 0o1000 or status.st_uid == uid
            if status.st_mode >> shift & 0o2 and replaceable:
                return True
            owner = status.st_uid
        if place == "/":
            return False
        place = os.path.dirname(place)


def _private_text(path: str) -> str:
    """Return the text of a file that a job may have replaced.

    It is empty if the file is no regular one.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(opened, encoding="utf-8-sig", errors="replace") as stream:
        return stream.read(_MOST_BYTES) if os.path.isfile(f"/proc/self/fd/{opened}") else ""


def _kept_url(path: str) -> str:
    """Return the page of the registration at ``path``; empty if it is not kept."""
    try:
        settings = json.loads(_private_text(path))
        return "" if settings.get("ephemeral") else str(settings.get("gitHubUrl", ""))
    except (ValueError, AttributeError):
        return ""


def public_repositories(urls: Sequence[str]) -> list[str]:
    """Return those of ``urls`` that GitHub shows without a credential.

    Raises ValueError if GitHub does not say it.
    """
    send = stdlib_transport(_SECONDS)
    public = []
    for url in urls:
        scope = scope_of(url)
        if scope.kind != "repository":
            continue
        answer = send("GET", scope.api_url + scope.path, {"Accept": "application/vnd.github+json"}, None)
        if answer.status == 200 and json.loads(answer.body)["private"] is False:
            public.append(url)
        elif answer.status not in (200, 404):
            raise ValueError(f"GitHub answered {answer.status} about {url}")
    return public


def _accounts(job_accounts: set[str], etc: str) -> Iterator[Account]:
    passwords = _passwords(os.path.join(etc, "shadow"))
    for entry in pwd.getpwall():
        can_login = os.path.basename(entry.pw_shell) not in _NO_LOGIN
        if not can_login and entry.pw_name not in job_accounts:
            continue
        yield Account(
            entry.pw_name,
            entry.pw_uid,
            tuple(sorted(_group_name(number) for number in os.getgrouplist(entry.pw_name, entry.pw_gid))),
            entry.pw_shell,
            can_login,
            entry.pw_name in job_accounts,
            passwords.get(entry.pw_name) if passwords else None,
        )


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _passwords(path: str) -> dict[str, bool]:
    """Return whether each account of ``path`` has a password (shadow(5)).

    An empty password is one too.
    """
    try:
        lines = [line.split(":") for line in read_text(path).splitlines()]
    except OSError:
        return {}
    return {line[0]: line[1][:1] not in ("!", "*") for line in lines if len(line) > 1}


def _ports() -> list[Port]:
    try:
        import psutil
    except ImportError as error:
        raise CiError("Python lacks psutil; install the package set runner.") from error
    ports = set()
    for each in psutil.net_connections(kind="inet"):
        protocol = {1: "tcp", 2: "udp"}.get(int(each.type), "")
        if not each.laddr:
            continue
        if each.status == "LISTEN" or (protocol == "udp" and not each.raddr):
            try:
                program = psutil.Process(each.pid).name() if each.pid else ""
            except psutil.Error:
                program = ""
            ports.add(Port(protocol, each.laddr.ip, each.laddr.port, program))
    return sorted(ports)


def _file_systems() -> list[str]:
    """Return the mount points on disks where the setuid bit counts."""
    try:
        import psutil

        disks = [disk.mountpoint for disk in psutil.disk_partitions() if "nosuid" not in disk.opts.split(",")]
    except (ImportError, OSError):
        disks = []
    return sorted({"/", *filter(os.path.isdir, disks)})


def _profile(path: str) -> str:
    try:
        lines = read_text(path).splitlines()
    except OSError:
        return ""
    return next((line[len(_PROFILE) :].strip() for line in lines if line.startswith(_PROFILE)), "")


def _names_in(directory: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(directory)))
    except OSError:
        return ()


def _has_polkit_rule(directory: str) -> Optional[bool]:
    """Return whether a rule of this collection is there; True also without polkit."""
    if not shutil.which("pkaction"):
        return True
    return any("coldvox" in name for name in _names_in(directory))


def _loose(places: Sequence[str]) -> Iterator[str]:
    """Yield the paths below ``places`` that others than root own or can write to."""
    for place in places:
        inside = [
            os.path.join(root, name) for root, folders, files in os.walk(place) for name in folders + files
        ]
        for path in (place, *inside):
            try:
                status = os.lstat(path)
            except OSError:
                continue
            others = 0o022 if status.st_gid else 0o002
            if status.st_uid or (status.st_mode & others and not os.path.islink(path)):
                yield path


def _store_fault(store: str) -> str:
    try:
        Layout(store).check()
    except CiError as error:
        return str(error)
    return ""
