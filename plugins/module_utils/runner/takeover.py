"""Take over runners that were installed by hand, and give them back.

Three states, in this order: ``drained`` (their job has ended and they are stopped), ``absent`` (the pool's
instance of the same name works, so their unit is disabled and their registration's files are removed), and
``present`` to go back. A record that only root can read holds what is needed to go back. The controller
removes labels before, and asks GitHub between and after.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from ..host import systemd
from ..host.durable import make_directory, read_text, remove_file, replace_file
from .account import SAFE_PATH, Account, Host, account_of, as_account, has_account, private_umask
from .by_hand import ByHand, check_stopped, look_for, named, of_scope
from .configure import Settings, configure_inputs, read_settings, read_start
from .drain import drain
from .instance_records import REGISTRATION, read_record
from .layout import instance_layout
from .options import Registration
from .worker import has_worker, listeners

DRAINED, ABSENT, PRESENT = "drained", "absent", "present"
RECORD, STOP, RETIRE, START, REGISTER = "record", "stop", "retire", "start", "register"
_FILES = (".runner", ".runner_migrated", ".credentials", ".credentials_migrated", ".credentials_rsaparams")
_CONFIG_SECONDS = 300.0
_END_SECONDS = 30.0
_DEFAULT_GROUP = "default"


class Former(NamedTuple):
    """What is needed to go back: the runner, its labels, and whether its unit started at boot."""

    runner: ByHand
    labels: Sequence[str]
    enabled: bool


class Seen(NamedTuple):
    """A runner that was installed by hand, as it is now.

    ``configured``: it has its registration. ``pool_id`` is the registration that the pool made for its name.
    """

    runner: ByHand
    former: Optional[Former]
    configured: bool
    running: bool
    busy: bool
    enabled: bool
    pool_id: Optional[int]

    @property
    def labels(self) -> Sequence[str]:
        """The labels that it had when it was drained."""
        return self.former.labels if self.former else ()


class Inspection(NamedTuple):
    """The runners of this host that are not the pool's.

    ``listed`` have the name of an instance, which comes with them, ``unlisted`` another one. ``foreign``
    belong to another repository or organization.
    """

    listed: list[tuple[str, Seen]]
    unlisted: list[ByHand]
    foreign: list[ByHand]


def inspect(host: Host, places: Mapping[str, Any], url: str, names: Sequence[str]) -> Inspection:
    """Look at the runners of this host.

    ``places`` has the directories ``base_dir`` and ``state_dir``; ``names`` are those of the pool's
    instances.
    """
    runners = look_for(host.unit_dir, places["base_dir"], proc=host.proc)
    own = of_scope(runners, url)
    by_name = named(own)
    listed = []
    for name in names:
        former = _read_former(places["state_dir"], name)
        runner = by_name.get(name.lower()) or (former.runner if former else None)
        if runner:
            listed.append((name, _seen(host, places["base_dir"], name, runner, former)))
    keys = {name.lower() for name in names}
    return Inspection(
        listed,
        [runner for runner in own if runner.name.lower() not in keys],
        [runner for runner in runners if runner not in own],
    )


def _seen(host: Host, base_dir: str, name: str, runner: ByHand, former: Optional[Former]) -> Seen:
    unit = systemd.show(host.run, [runner.unit])[runner.unit] if runner.unit else systemd.Unit()
    recorded = read_record(instance_layout(base_dir, name), REGISTRATION).get("agent_id")
    return Seen(
        runner=runner,
        former=former,
        configured=read_settings(runner.layout) is not None,
        running=unit.active or bool(listeners(runner.root, runner.unit, host.proc)),
        busy=has_worker(runner.root, runner.unit, host.proc),
        enabled=unit.enabled,
        pool_id=recorded if isinstance(recorded, int) else None,
    )


def steps(state: str, seen: Seen, registered_id: Optional[int]) -> tuple[str, ...]:
    """Return the steps that bring the runner to ``state``.

    ``registered_id`` is the registration that GitHub has for its name. A runner goes back with its old key if
    that is still its own, and else it is registered again.
    """
    if state == DRAINED:
        if seen.running:
            return (RECORD, STOP)
        return (RECORD,) if seen.configured and seen.former is None else ()
    if state == ABSENT:
        return (RETIRE,) if seen.configured or seen.enabled else ()
    if seen.former is None:
        return ()
    alive = seen.configured and registered_id == seen.runner.settings.agent_id
    if alive and seen.running:
        return ()
    return (START,) if alive else (REGISTER, START)


def perform(
    host: Host, state_dir: str, name: str, seen: Seen, todo: Sequence[str], labels: Sequence[str], token: str
) -> None:
    """Do the steps ``todo`` for the runner of the instance ``name``.

    ``labels`` are those that it has at GitHub before the controller removes them. Raises CiError.
    """
    if RECORD in todo:
        _write_former(state_dir, name, Former(seen.runner, list(labels) or seen.labels, seen.enabled))
    if STOP in todo:
        _stop(host, seen.runner)
    if RETIRE in todo:
        check_stopped(seen.runner, host.proc)
        if seen.enabled:
            systemd.disable(host.run, seen.runner.unit)
        _remove_registration(host, seen.runner)
    if REGISTER in todo and seen.former:
        _remove_registration(host, seen.runner)
        _register(host, seen.former, token)
    if START in todo and seen.former:
        _start(host, seen.former)
        remove_file(_record(state_dir, name))


def _stop(host: Host, runner: ByHand) -> None:
    drained = drain(host, runner.unit, runner.layout, timeout_seconds=host.drain_timeout_seconds)
    if not drained.stopped:
        raise CiError(
            f"Runner '{runner.name}' at {runner.place} still runs a job after {host.drain_timeout_seconds:g} "
            "s and "
            "was not stopped; run adopt.yml again when the job has ended, or raise "
            "github_runner_drain_timeout_seconds."
        )
    deadline = host.now() + _END_SECONDS
    while listeners(runner.root, runner.unit, host.proc):
        if host.now() >= deadline:
            raise CiError(
                f"Runner '{runner.name}' at {runner.place} was stopped and runs again, so another program "
                "starts "
                "it, such as a service of a person's session or cron; switch that off, then run adopt.yml "
                "again."
            )
        host.sleep(1.0)


def _remove_registration(host: Host, runner: ByHand) -> None:
    """Remove the runner's key and registration, with the rights of the directory's owner."""
    if not os.path.isdir(runner.root):
        return
    owner = os.stat(runner.root)
    account = Account(str(owner.st_uid), owner.st_uid, owner.st_gid)
    host.run(
        _without_groups(account, ["rm", "-f", "--", *_FILES]),
        environment={"PATH": SAFE_PATH},
        cwd=runner.root,
    )
    left = [name for name in _FILES if os.path.lexists(runner.layout.file(name))]
    if left:
        raise CiError(
            f"The registration of runner '{runner.name}' cannot be removed from '{runner.root}' "
            f"({', '.join(left)}); remove these files by hand."
        )


def _without_groups(account: Account, argv: list[str]) -> list[str]:
    # The owner may be a number without an account, which has no groups to set.
    return [word if word != "--init-groups" else "--clear-groups" for word in as_account(account, argv)]


def _register(host: Host, former: Former, token: str) -> None:
    runner, settings = former.runner, former.runner.settings
    if not has_account(runner.user):
        raise CiError(
            f"Runner '{runner.name}' cannot go back to {runner.place}, because its account '{runner.user}' "
            "does "
            "not exist; make the account, then run adopt.yml again."
        )
    account = account_of(runner.user)
    group = "" if settings.group.lower() == _DEFAULT_GROUP else settings.group
    wanted = Registration(settings.url, settings.name, group, settings.work_dir or "_work")
    flags = {"--ephemeral": settings.ephemeral, "--disableupdate": settings.updates_disabled}
    argv = ["./config.sh", "--unattended", "--replace", *(flag for flag, given in flags.items() if given)]
    # config.sh writes its own search path to .path, which every later job gets.
    path = read_start(runner.layout.file(".path")).decode(errors="replace").strip()
    environment = {
        "PATH": path if path.isprintable() and path else SAFE_PATH,
        "HOME": account.home,
        "USER": account.name,
        **({"RUNNER_ALLOW_RUNASROOT": "1"} if account.uid == 0 else {}),
        **configure_inputs(wanted, former.labels, token),
    }
    with private_umask():
        done = host.run(
            as_account(account, argv),
            environment=environment,
            cwd=runner.root,
            timeout_seconds=_CONFIG_SECONDS,
        )
    if done.status != 0 or read_settings(runner.layout) is None:
        output = " ".join((done.stdout + done.stderr).replace(token, "***").split())[-300:]
        raise CiError(
            f"Runner '{runner.name}' could not be registered again at {runner.place}: config.sh ended with "
            "status "
            f"{done.status} ({output or 'no output'}); correct the cause and run adopt.yml again."
        )


def _start(host: Host, former: Former) -> None:
    unit = former.runner.unit
    if not unit:
        return
    if former.enabled:
        systemd.enable(host.run, unit)
    systemd.start(host.run, unit)


def _record(state_dir: str, name: str) -> str:
    return os.path.join(state_dir, "by_hand", f"{name}.json")


def _write_former(state_dir: str, name: str, former: Former) -> None:
    path = _record(state_dir, name)
    make_directory(os.path.dirname(path), 0o700)
    runner = {**former.runner._asdict(), "settings": former.runner.settings._asdict()}
    data = {"runner": runner, "labels": list(former.labels), "enabled": former.enabled}
    replace_file(path, json.dumps(data, sort_keys=True) + "\n", mode=0o600)


def _read_former(state_dir: str, name: str) -> Optional[Former]:
    """Return the record of the instance ``name``; None without one that can be read."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        data = json.loads(read_text(_record(state_dir, name)) or "{}")
        runner: dict[str, Any] = data["runner"]
        settings = Settings(**runner.pop("settings"))
        return Former(ByHand(settings=settings, **runner), list(data["labels"]), bool(data["enabled"]))
    return None
