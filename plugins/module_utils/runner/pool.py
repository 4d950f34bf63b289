"""The pool of a host: from instances to accounts, directories and units.

The filter ``runner_pool`` calls resolve_pool() on the controller. Its result goes two ways: the role
``github_runner`` makes the accounts, directories and unit settings; the module ``github_runner`` gets
``instances`` and brings each to its wanted state (converge.py, plan.py).

A resource class limits what an instance may use of the host, by systemd and by the job environment.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..errors import CiError
from .fresh_start import check_keep
from .instance_records import JIT
from .layout import (
    Layout,
    check_base_dir,
    check_distinct,
    check_name,
    enrolling_unit,
    instance_directories,
    instance_layout,
    instance_unit,
)
from .options import STATES, normal_instance, path_text, plain_text, variable_text

SLICE = "coldvox-ci.slice"
_UNIT_DIR = "/etc/systemd/system"
TEAM, STRANGERS = "team", "strangers"
_GIB = 1024**3
# Above this share of MemoryMax the kernel slows the job down and reclaims memory. At MemoryMax it kills.
_HIGH_SHARE = 0.9
_HEADER = "# This file is kept by Ansible (coldvox.ci). What is changed here by hand is overwritten.\n"


@dataclass(frozen=True)
class ResourceClass:
    """Limits of every instance of the class.

    ``max_instances`` is how many instances a host may have; None means no limit. A ``disk_gib`` of 0 means
    no limit.
    """

    name: str
    cores: float
    memory_gib: float
    tasks_max: int
    cpu_weight: int
    max_instances: Optional[int] = None
    labels: tuple[str, ...] = ()
    environment: Mapping[str, object] = field(default_factory=dict)
    disk_gib: float = 64.0

    @property
    def directives(self) -> dict[str, str]:
        """The limits as settings of systemd.resource-control(5)."""
        memory_bytes = int(self.memory_gib * _GIB)
        return {
            "Slice": SLICE,
            "CPUQuota": f"{round(self.cores * 100)}%",
            "CPUWeight": str(self.cpu_weight),
            "MemoryHigh": str(int(memory_bytes * _HIGH_SHARE)),
            "MemoryMax": str(memory_bytes),
            "TasksMax": str(self.tasks_max),
            # The kernel limits each file; the watcher of jobs reads this as the bound of all (heal/disk.py).
            "LimitFSIZE": str(int(self.disk_gib * _GIB)) if self.disk_gib else "infinity",
        }


_KEYS = {
    "cores",
    "memory_gib",
    "disk_gib",
    "tasks_max",
    "cpu_weight",
    "max_instances",
    "labels",
    "environment",
}


def resource_class(name: str, classes: Mapping[str, Mapping[str, Any]]) -> ResourceClass:
    """Return the class ``name`` of ``classes``.

    Raises CiError if it is missing or invalid.
    """
    if name not in classes:
        known = ", ".join(sorted(classes)) or "none"
        raise CiError(f"Resource class '{name}' is not defined; define it (known: {known}).")
    data = dict(classes[name])
    unknown = sorted(set(data) - _KEYS)
    if unknown:
        raise CiError(
            f"Resource class '{name}' has unknown keys: {', '.join(unknown)}; use only: "
            f"{', '.join(sorted(_KEYS))}."
        )
    try:
        limits = ResourceClass(
            name=name,
            cores=float(data["cores"]),
            memory_gib=float(data["memory_gib"]),
            tasks_max=int(data.get("tasks_max", 4096)),
            cpu_weight=int(data.get("cpu_weight", 100)),
            max_instances=None if data.get("max_instances") is None else int(data["max_instances"]),
            labels=_labels(data.get("labels")),
            environment=dict(data.get("environment") or {}),
            disk_gib=float(data.get("disk_gib", ResourceClass.disk_gib)),
        )
    except KeyError as error:
        raise CiError(
            f"Resource class '{name}' lacks '{error.args[0]}'; give the cores and memory_gib of one instance."
        ) from error
    except (TypeError, ValueError) as error:
        raise CiError(
            f"Resource class '{name}' has a value that is not a number ({error}); write a number."
        ) from error
    _check_bounds(limits)
    return limits


def _check_bounds(limits: ResourceClass) -> None:
    """Raise CiError for values that systemd rejects (systemd.resource-control(5))."""
    if limits.cores <= 0 or limits.memory_gib <= 0 or limits.tasks_max <= 0:
        raise CiError(f"Resource class '{limits.name}' must have cores, memory_gib and tasks_max above 0.")
    if limits.disk_gib < 0:
        raise CiError(f"Resource class '{limits.name}' must have a disk_gib of 0 or more.")
    if not 1 <= limits.cpu_weight <= 10000:
        raise CiError(f"Resource class '{limits.name}' must have a cpu_weight from 1 to 10000.")


@dataclass(frozen=True)
class PoolDefaults:
    """Settings for all instances of a host.

    An instance or its class may override them. If ``enrols``, the host itself registers its JIT instances
    for their next jobs. ``keep`` names what may stay on disk for the next job (fresh_start.py).
    ``trust`` says who may start jobs: a TEAM, or STRANGERS, who get a new JIT registration for each job.
    """

    base_dir: str
    labels: Sequence[str] = ()
    resource_classes: Optional[Mapping[str, Mapping[str, Any]]] = None
    environment: Optional[Mapping[str, object]] = None
    path: Sequence[str] = ()
    state: str = "present"
    enrols: bool = False
    keep: Sequence[str] = ()
    trust: str = TEAM


@dataclass(frozen=True)
class PoolInstance:
    """One instance with its complete options."""

    options: dict[str, Any]
    layout: Layout
    limits: Optional[ResourceClass]
    enrols: bool

    @property
    def user(self) -> str:
        """The account that runs the jobs."""
        return str(self.options["user"])

    @property
    def drop_in_path(self) -> str:
        """The file of the drop-in."""
        return f"{_UNIT_DIR}/{instance_unit(self.options['name'])}.d/10-instance.conf"

    @property
    def drop_in(self) -> str:
        """The systemd drop-in with the unit's settings that differ between instances."""
        limits = self.limits.directives if self.limits else {"Slice": SLICE}
        lines = [
            f"User={self.user}",
            f"Group={self.user}",
            f'Environment="PATH={path_text(self.options["path"])}"',
        ]
        lines += [f"{key}={value}" for key, value in limits.items()]
        if os.path.isabs(self.options["work_dir"]):
            lines.append(f"ReadWritePaths={self.options['work_dir']}")
        if self.options["jit"]:
            config = self.layout.record(JIT)
            # The configuration serves one start. systemd reads it as root, before it changes to the account.
            lines += [f"EnvironmentFile=-{config}", f"ExecStartPost=+-/bin/rm -f {config}"]
            if self.enrols and self.options["state"] == "present":
                # The started unit itself checks whether there is anything to do.
                unit = enrolling_unit(self.options["name"])
                # The unit's own view of /run does not have the sockets of systemd.
                call = f"/usr/bin/nsenter --target=1 --mount -- /bin/systemctl start --no-block {unit}"
                lines.append(f"ExecStopPost=+-{call}")
        return _HEADER + "[Service]\n" + "\n".join(lines) + "\n"


def resolve_pool(instances: Sequence[Mapping[str, Any]], defaults: PoolDefaults) -> dict[str, Any]:
    """Return the pool as plain data.

    ``instances`` are the options for the module github_runner, including absent instances. The other keys
    leave absent instances out: ``users`` (name, home, description), ``directories`` (path, mode, owner,
    group), ``drop_ins`` (path, content). Raises CiError with the name of the instance for an invalid value.
    """
    check_base_dir(defaults.base_dir)
    _check_trust(defaults)
    pool = [_resolve(given, defaults) for given in instances]
    check_distinct([item.options["name"] for item in pool])
    kept = [item for item in pool if item.options["state"] != "absent"]
    _check_counts(kept)
    return {
        "instances": [item.options for item in pool],
        "users": [
            {
                "name": item.user,
                "home": item.layout.home,
                "description": f"GitHub runner {item.options['name']}",
            }
            for item in kept
        ],
        "directories": [
            directory._asdict()
            for item in kept
            for directory in instance_directories(item.layout, item.user, item.options["work_dir"])
        ],
        "drop_ins": [{"path": item.drop_in_path, "content": item.drop_in} for item in kept],
    }


def _check_trust(defaults: PoolDefaults) -> None:
    """Raise CiError if something would pass from a job of a stranger to the next."""
    if defaults.trust not in (TEAM, STRANGERS):
        raise CiError(f"The trust '{defaults.trust}' is unknown; use {TEAM} or {STRANGERS}.")
    if defaults.trust == STRANGERS and defaults.keep:
        raise CiError(
            f"Jobs of strangers must not keep {', '.join(defaults.keep)} for the next job; empty the list of "
            f"what is kept, or set the trust to {TEAM}."
        )


def _resolve(given: Mapping[str, Any], defaults: PoolDefaults) -> PoolInstance:
    name = check_name(plain_text(given.get("name"), "The name of a runner instance"))
    try:
        return _resolved(name, given, defaults)
    except CiError as error:
        raise CiError(f"Runner instance '{name}': {error}") from error


def _resolved(name: str, given: Mapping[str, Any], defaults: PoolDefaults) -> PoolInstance:
    layout = instance_layout(defaults.base_dir, name)
    class_name = str(given.get("resource_class") or "")
    limits = resource_class(class_name, defaults.resource_classes or {}) if class_name else None
    labels = [*_labels(defaults.labels), *_labels(given.get("labels")), *(limits.labels if limits else ())]
    state = str(given.get("state") or "present")
    if state not in STATES:
        raise CiError(f"The state '{state}' is unknown; use one of: {', '.join(STATES)}.")
    options = normal_instance(
        {
            "name": name,
            "labels": labels,
            "default_labels": bool(given.get("default_labels", True)),
            "group": str(given.get("group") or ""),
            "work_dir": str(given.get("work_dir") or "_work"),
            "ephemeral": bool(given.get("ephemeral", False)),
            "jit": bool(given.get("jit", defaults.trust == STRANGERS)),
            "state": state,
            "environment": _environment(given, defaults, limits, layout),
            # A job can write there, so the system's directories come first.
            "path": [
                *(plain_text(entry, "A path entry") for entry in defaults.path),
                f"{layout.home}/.cargo/bin",
            ],
        },
        defaults.state,
    )
    if defaults.trust == STRANGERS and not options["jit"]:
        raise CiError(
            "It keeps its registration, whose key a stranger's job can read; leave out jit: false, or set "
            f"the trust to {TEAM}."
        )
    if defaults.enrols and options["jit"] and os.path.isabs(options["work_dir"]):
        raise CiError(
            f"work_dir '{options['work_dir']}' cannot be emptied by the service that registers the instance "
            "for its next job; leave work_dir out, so that it is in the instance's own directory."
        )
    return PoolInstance(options, layout, limits, defaults.enrols)


def _labels(given: Optional[Iterable[object]]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise CiError(f"Labels must be a list and not the text '{given}'; write [{given}].")
    return tuple(plain_text(label, "A label") for label in given or ())


def _environment(
    given: Mapping[str, Any], defaults: PoolDefaults, limits: Optional[ResourceClass], layout: Layout
) -> dict[str, str]:
    """Return the job environment; each instance has its own cargo registry cache.

    A kept build directory is outside of the workspace, because actions/checkout empties that.

    The order of precedence, from low to high: the number of cargo jobs that follows from the cores of the
    class, the host, the class, the instance.
    """
    merged: dict[str, object] = {
        "CARGO_HOME": f"{layout.home}/.cargo",
        "LANG": "C.UTF-8",
        # A job's log is often the only trace of a panic.
        "RUST_BACKTRACE": "1",
    }
    if limits:
        merged["CARGO_BUILD_JOBS"] = max(1, int(limits.cores))
    if "target" in check_keep(defaults.keep):
        merged["CARGO_TARGET_DIR"] = f"{layout.home}/target"
    merged.update(defaults.environment or {})
    merged.update(limits.environment if limits else {})
    merged.update(given.get("environment") or {})
    return {key: variable_text(key, value) for key, value in merged.items()}


def _check_counts(kept: Sequence[PoolInstance]) -> None:
    """Raise CiError if a class has more instances on this host than it allows."""
    counts = Counter(item.limits.name for item in kept if item.limits)
    for item in kept:
        limits = item.limits
        if limits and limits.max_instances is not None and counts[limits.name] > limits.max_instances:
            raise CiError(
                f"Resource class '{limits.name}' allows {limits.max_instances} instances on a host, the pool "
                f"has {counts[limits.name]}; use another class or raise max_instances."
            )
