"""Resource classes: what share of the host one instance may take, as systemd limits and job environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..errors import CiError

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
