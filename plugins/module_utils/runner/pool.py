"""From the inventory's instances to everything that is derived from them: accounts, directories, units,
options.

Resource classes: what share of the host one instance may take, as systemd limits and job environment.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..errors import CiError
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
    instance_user,
)
from .options import check_work_dir, custom_labels, env_text, path_text

SLICE = "coldvox-ci.slice"
_GIB = 1024**3
# Above this share the kernel slows the job down and reclaims, before MemoryMax would end it.
_HIGH_SHARE = 0.9


@dataclass(frozen=True)
class ResourceClass:
    """Limits of every instance of the class; ``max_instances`` None means no bound."""

    name: str
    cores: float
    memory_gib: float
    tasks_max: int
    cpu_weight: int
    max_instances: Optional[int] = None
    labels: tuple[str, ...] = ()
    environment: Mapping[str, object] = field(default_factory=dict)

    @property
    def directives(self) -> dict[str, str]:
        """The class in the words of systemd.resource-control(5)."""
        memory_bytes = int(self.memory_gib * _GIB)
        return {
            "Slice": SLICE,
            "CPUQuota": f"{round(self.cores * 100)}%",
            "CPUWeight": str(self.cpu_weight),
            "MemoryHigh": str(int(memory_bytes * _HIGH_SHARE)),
            "MemoryMax": str(memory_bytes),
            "TasksMax": str(self.tasks_max),
        }

    @property
    def job_environment(self) -> dict[str, object]:
        """What jobs of the class find: as many cargo jobs as cores, and whatever the class adds."""
        return {"CARGO_BUILD_JOBS": str(max(1, int(self.cores))), **self.environment}


_KEYS = {"cores", "memory_gib", "tasks_max", "cpu_weight", "max_instances", "labels", "environment"}


def resource_class(name: str, classes: Mapping[str, Mapping[str, Any]]) -> ResourceClass:
    """Return the class ``name`` out of ``classes``; raises CiError when it is missing or makes no sense."""
    if name not in classes:
        known = ", ".join(sorted(classes)) or "none"
        raise CiError(f"Resource class '{name}' is not defined; known are: {known}.")
    data = dict(classes[name])
    unknown = sorted(set(data) - _KEYS)
    if unknown:
        raise CiError(
            f"Resource class '{name}' has unknown keys: {', '.join(unknown)}; known are: "
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
            labels=tuple(str(label) for label in data.get("labels") or ()),
            environment=dict(data.get("environment") or {}),
        )
    except KeyError as error:
        raise CiError(
            f"Resource class '{name}' lacks '{error.args[0]}'; give the cores and memory_gib of one instance."
        ) from error
    except (TypeError, ValueError) as error:
        raise CiError(f"Resource class '{name}' has a value that is not a number: {error}.") from error
    _check_bounds(limits)
    return limits


def _check_bounds(limits: ResourceClass) -> None:
    """Raise CiError for values that systemd would refuse (systemd.resource-control(5))."""
    if limits.cores <= 0 or limits.memory_gib <= 0 or limits.tasks_max <= 0:
        raise CiError(f"Resource class '{limits.name}' must have cores, memory_gib and tasks_max above 0.")
    if not 1 <= limits.cpu_weight <= 10000:
        raise CiError(f"Resource class '{limits.name}' must have a cpu_weight from 1 to 10000.")


STATES = ("present", "absent", "drained")
_HEADER = "# This file is kept by Ansible (coldvox.ci). What is changed here by hand is overwritten.\n"


@dataclass(frozen=True)
class PoolDefaults:
    """What holds for every instance of a host unless the instance or its class says otherwise.

    A host that ``enrols`` registers its JIT instances for their next jobs itself.
    """

    base_dir: str
    labels: Sequence[str] = ()
    resource_classes: Optional[Mapping[str, Mapping[str, Any]]] = None
    environment: Optional[Mapping[str, object]] = None
    path: Sequence[str] = ()
    state: str = "present"
    unit_dir: str = "/etc/systemd/system"
    enrols: bool = False


@dataclass(frozen=True)
class PoolInstance:
    """One instance, complete."""

    options: dict[str, Any]
    layout: Layout
    limits: Optional[ResourceClass]
    enrols: bool

    @property
    def user(self) -> str:
        return str(self.options["user"])

    @property
    def drop_in(self) -> str:
        """The unit's settings that differ from instance to instance, as a systemd drop-in."""
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
            # Read by systemd as root, before the account of the instance has any part in it; for one start.
            lines += [f"EnvironmentFile=-{config}", f"ExecStartPost=+-/bin/rm -f {config}"]
            if self.enrols and self.options["state"] == "present":
                # Whether there is something to do, it finds out itself.
                unit = enrolling_unit(self.options["name"])
                lines.append(f"ExecStopPost=+-/bin/systemctl start --no-block {unit}")
        return _HEADER + "[Service]\n" + "\n".join(lines) + "\n"


def resolve_pool(instances: Sequence[Mapping[str, Any]], defaults: PoolDefaults) -> dict[str, Any]:
    """Return the pool as plain data.

    ``instances``: options for the module, absent ones included; and for the ones to be kept ``users`` (name,
    home, description), ``directories`` (path, mode, owner, group) and ``drop_ins`` (path, content). Raises
    CiError with the name of the instance for everything that cannot work.
    """
    check_base_dir(defaults.base_dir)
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
        "drop_ins": [
            {"path": drop_in_path(defaults.unit_dir, item.options["name"]), "content": item.drop_in}
            for item in kept
        ],
    }


def drop_in_path(unit_dir: str, name: str) -> str:
    """Return where the settings of the instance ``name`` lie."""
    return f"{unit_dir}/{instance_unit(name)}.d/10-instance.conf"


def _resolve(given: Mapping[str, Any], defaults: PoolDefaults) -> PoolInstance:
    name = check_name(str(given.get("name", "")))
    try:
        return _resolved(name, given, defaults)
    except CiError as error:
        raise CiError(f"Runner instance '{name}': {error}") from error


def _resolved(name: str, given: Mapping[str, Any], defaults: PoolDefaults) -> PoolInstance:
    layout = instance_layout(defaults.base_dir, name)
    wanted = str(given.get("resource_class") or "")
    limits = resource_class(wanted, defaults.resource_classes or {}) if wanted else None
    default_labels = bool(given.get("default_labels", True))
    labels = [*defaults.labels, *(given.get("labels") or ()), *(limits.labels if limits else ())]
    environment = _environment(given, defaults, limits, layout)
    path = [f"{layout.home}/.cargo/bin", *(str(entry) for entry in defaults.path)]
    env_text(environment)
    path_text(path)
    options: dict[str, Any] = {
        "name": name,
        "user": instance_user(name),
        "labels": list(custom_labels([str(label) for label in labels], default_labels=default_labels)),
        "default_labels": default_labels,
        "group": str(given.get("group") or ""),
        "work_dir": check_work_dir(str(given.get("work_dir") or "_work")),
        "ephemeral": bool(given.get("ephemeral", False)) or bool(given.get("jit", False)),
        "jit": bool(given.get("jit", False)),
        "state": _state(given, defaults),
        "environment": environment,
        "path": path,
    }
    if defaults.enrols and options["jit"] and os.path.isabs(options["work_dir"]):
        raise CiError(
            f"work_dir '{options['work_dir']}' cannot be emptied by the service that registers it for its "
            "next job; leave it out, so that it lies in the instance's own directory."
        )
    return PoolInstance(options, layout, limits, defaults.enrols)


def _state(given: Mapping[str, Any], defaults: PoolDefaults) -> str:
    """Return the instance's state; a pool that is to go or to rest takes all its instances along."""
    state = str(given.get("state") or "present")
    if state not in STATES:
        raise CiError(f"state '{state}' is not one of {', '.join(STATES)}.")
    return state if defaults.state == "present" or state == "absent" else defaults.state


def _environment(
    given: Mapping[str, Any], defaults: PoolDefaults, limits: Optional[ResourceClass], layout: Layout
) -> dict[str, str]:
    """Return the job environment, the more specific over the more general; cargo's registry cache is the
    instance's own.
    """
    merged: dict[str, object] = {"CARGO_HOME": f"{layout.home}/.cargo", "LANG": "C.UTF-8"}
    merged.update(limits.job_environment if limits else {})
    merged.update(defaults.environment or {})
    merged.update(limits.environment if limits else {})
    merged.update(given.get("environment") or {})
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in merged.items()
    }


def _check_counts(kept: Sequence[PoolInstance]) -> None:
    """Raise CiError when a class has more instances on this host than it allows at once."""
    counts = Counter(item.limits.name for item in kept if item.limits)
    for item in kept:
        limits = item.limits
        if limits and limits.max_instances is not None and counts[limits.name] > limits.max_instances:
            raise CiError(
                f"Resource class '{limits.name}' allows {limits.max_instances} instances on a host, the pool "
                f"has {counts[limits.name]}; use another class or raise max_instances."
            )
