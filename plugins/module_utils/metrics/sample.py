"""One sample of a host: every source is asked once.

What cannot be read is null, and its key is in ``unavailable``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar

from ..errors import CiError
from ..host.paths import Paths
from . import instances as runners
from . import system
from .sources import Sources

if TYPE_CHECKING:
    from ..host.config import Config

T = TypeVar("T")
Sample = dict[str, Any]

# Long enough for a meaningful share of the CPU, short enough to wait for.
FIRST_WINDOW_SECONDS = 0.25


class Target(NamedTuple):
    """What to look at. Paths are absolute and have no slash at the end.

    ``instances`` names the runners; None means those that are unpacked in ``base_dir``. The model cache is
    available when each of ``models`` is in ``models_dir``, or any model when ``models`` is empty. The disk is
    that of ``work_dir``, or of ``base_dir`` when it is empty.
    """

    base_dir: str
    store_dir: str
    models_dir: str
    rust_dirs: Sequence[str]
    github_url: str
    instances: Optional[Sequence[str]] = None
    models: Sequence[str] = ()
    work_dir: str = ""


class Counters(NamedTuple):
    """The values whose difference to the sample before counts, by instance.

    None if unreadable.
    """

    at: float
    cpu: Optional[system.CpuTime]
    names: Optional[Sequence[str]]
    units: Optional[Mapping[str, runners.Unit]]


class Gaps:
    """The keys of a sample that could not be read."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def read(self, source: Callable[[], T], *keys: str) -> Optional[T]:
        """Return what ``source`` returns.

        When it fails, remember ``keys`` and return None.
        """
        try:
            return source()
        except (OSError, ValueError, LookupError, CiError):
            self.keys.extend(keys)
            return None


def take_samples(target: Target, sources: Sources, count: int, interval_seconds: float) -> Iterator[Sample]:
    """Yield ``count`` samples, the first after FIRST_WINDOW_SECONDS.

    Its CPU shares are those of that time. The Rust caches are walked only once: their size changes slowly,
    and they have many files.
    """
    series = Series(target, sources._replace(tree_bytes=_once(sources.tree_bytes)))
    for index in range(count):
        sources.sleep(interval_seconds if index else FIRST_WINDOW_SECONDS)
        yield series.take()


def _once(tree_bytes: Callable[[Sequence[str]], int]) -> Callable[[Sequence[str]], int]:
    known: list[int] = []

    def remembered(roots: Sequence[str]) -> int:
        if not known:
            known.append(tree_bytes(roots))
        return known[0]

    return remembered


class Series:
    """Samples of one machine. Each has the shares of the CPU since the sample before."""

    def __init__(self, target: Target, sources: Sources) -> None:
        self._target = target
        self._sources = sources
        self._before = _counters(target, sources)

    def take(self) -> Sample:
        """Return a sample of this moment."""
        target, sources, before = self._target, self._sources, self._before
        self._before = after = _counters(target, sources)
        gaps = Gaps()
        return {
            "timestamp": sources.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cpu_count": (cpu_count := sources.cpu_count()),
            **_processor(sources, gaps, before, after),
            **_memory(sources, gaps),
            **_disk(target, sources, gaps),
            **_pressure(sources, gaps),
            **_traffic(sources, gaps),
            **_sizes(target, sources, gaps),
            **_runners(target, sources, gaps, before, after, cpu_count),
            **_reach(target, sources, gaps),
            "unavailable": gaps.keys,
        }


def _counters(target: Target, sources: Sources) -> Counters:
    unread = Gaps()
    names = unread.read(lambda: _instance_names(target, sources))
    return Counters(
        at=sources.monotonic(),
        cpu=unread.read(sources.cpu_time),
        names=names,
        units=None if names is None else unread.read(lambda: sources.units(names)),
    )


def _instance_names(target: Target, sources: Sources) -> list[str]:
    if target.instances is not None:
        return list(target.instances)
    # A runner is unpacked where there is a bin, registered or not.
    return [name for name in _names(target.base_dir, sources) if _is_instance(target, name, sources)]


def _is_instance(target: Target, name: str, sources: Sources) -> bool:
    try:
        return "bin" in _names(f"{target.base_dir}/{name}", sources)
    except PermissionError:
        return True  # only an instance's own account and root may look into it


def _names(directory: str, sources: Sources) -> list[str]:
    """Return the names in ``directory``, sorted.

    None when it is missing, which is not a gap.
    """
    try:
        return sorted(sources.names(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _processor(sources: Sources, gaps: Gaps, before: Counters, after: Counters) -> Sample:
    def share() -> float:
        if before.cpu is None or after.cpu is None or before.cpu.total == after.cpu.total:
            raise LookupError("a share needs two readings and time between them")
        return system.cpu_percent(before.cpu, after.cpu)

    return {
        "load_1m": gaps.read(sources.load_1m, "load_1m"),
        "cpu_percent": gaps.read(share, "cpu_percent"),
    }


def _memory(sources: Sources, gaps: Gaps) -> Sample:
    keys = [f"memory_{name}" for name in ("total_bytes", "used_bytes", "available_bytes", "used_percent")]
    keys.append("swap_used_percent")
    memory = gaps.read(sources.memory, *keys)
    if memory is None:
        return dict.fromkeys(keys)
    gaps.keys.extend(key for key, value in zip(keys, memory) if value is None)
    return dict(zip(keys, memory))


def _disk(target: Target, sources: Sources, gaps: Gaps) -> Sample:
    keys = ("disk_total_bytes", "disk_used_bytes", "disk_used_percent", "disk_free_bytes")
    space = gaps.read(lambda: sources.disk_space(target.work_dir or target.base_dir), *keys)
    if space is None:
        return dict.fromkeys(keys)
    # The blocks reserved for root are neither used nor free, as in df(1).
    share = system.percent(space.used, space.used + space.free)
    return dict(zip(keys, (space.total, space.used, share, space.free)))


def _pressure(sources: Sources, gaps: Gaps) -> Sample:
    def some(resource: str) -> float:
        return system.pressure_some_avg60(sources.text(f"/proc/pressure/{resource}"))

    keys = {f"psi_{resource}_some_avg60": resource for resource in ("cpu", "memory", "io")}
    return {key: gaps.read(partial(some, resource), key) for key, resource in keys.items()}


def _traffic(sources: Sources, gaps: Gaps) -> Sample:
    """Return the traffic of each interface and each disk, and its sums.

    A sum falls when a device is pulled, so only the traffic of one device can be exported as a counter.
    """
    network, disk = ("network_rx_bytes", "network_tx_bytes"), ("disk_read_bytes", "disk_written_bytes")
    over_network = gaps.read(sources.network_traffic, *network, "interfaces")
    over_disk = gaps.read(sources.disk_traffic, *disk, "disks")
    return {
        **_sums(network, over_network),
        **_sums(disk, over_disk),
        "interfaces": _devices(("rx_bytes", "tx_bytes"), over_network),
        "disks": _devices(("read_bytes", "written_bytes"), over_disk),
    }


def _sums(keys: Sequence[str], devices: Optional[Mapping[str, system.Traffic]]) -> Sample:
    if devices is None:
        return dict.fromkeys(keys)
    return {key: sum(traffic[place] for traffic in devices.values()) for place, key in enumerate(keys)}


def _devices(keys: Sequence[str], devices: Optional[Mapping[str, system.Traffic]]) -> Optional[list[Sample]]:
    if devices is None:
        return None
    return [{"name": name, **dict(zip(keys, traffic))} for name, traffic in devices.items()]


def _sizes(target: Target, sources: Sources, gaps: Gaps) -> Sample:
    keys = ("store_bytes", "models_bytes")
    sizes = gaps.read(lambda: sources.store_sizes(target.store_dir), *keys)
    return {
        **dict(zip(keys, sizes or (None, None))),
        "rust_cache_bytes": gaps.read(lambda: sources.tree_bytes(target.rust_dirs), "rust_cache_bytes"),
    }


def _runners(
    target: Target, sources: Sources, gaps: Gaps, before: Counters, after: Counters, cpu_count: int
) -> Sample:
    keys = ("listeners", "active_jobs", "instances")

    def described() -> list[Sample]:
        if after.names is None:
            raise LookupError("the instances cannot be listed")
        units = after.units or {}
        processes = sources.processes(units) if after.names else []
        shares = runners.busy_shares(before.units or {}, units, after.at - before.at, cpu_count)
        return runners.describe(after.names, target.base_dir, processes, units, shares)

    instances = gaps.read(described, *keys)
    if instances is None:
        return dict.fromkeys(keys)
    for each in instances:
        use = _listener_use(sources, each["listener_pid"])
        each.update(listener_cpu_percent=use.cpu_percent, listener_memory_bytes=use.memory_bytes)
    gaps.keys.extend(
        f"instances.{key}" for key in runners.UNIT_KEYS if any(each[key] is None for each in instances)
    )
    return {
        "listeners": sum(each["listener_pid"] is not None for each in instances),
        "active_jobs": sum(each["busy"] for each in instances),
        "instances": instances,
    }


def _listener_use(sources: Sources, pid: Optional[int]) -> system.ProcessUse:
    """Return the use of a listener; it uses nothing where none runs, or it has just ended."""
    if pid is None:
        return system.ProcessUse(0.0, 0)
    return Gaps().read(lambda: sources.process_use(pid)) or system.ProcessUse(0.0, 0)


def _reach(target: Target, sources: Sources, gaps: Gaps) -> Sample:
    def models_are_there() -> bool:
        wanted = target.models or _names(target.models_dir, sources)
        return bool(wanted) and all(_names(f"{target.models_dir}/{name}", sources) for name in wanted)

    return {
        "model_cache_available": gaps.read(models_are_there, "model_cache_available"),
        "network_reachable": gaps.read(lambda: sources.reachable(target.github_url), "network_reachable"),
    }


def target_of(paths: Paths, config: Config) -> Target:
    """Return what a sample of this host looks at."""
    return Target(
        base_dir=paths.runners,
        store_dir=paths.store,
        models_dir=f"{paths.store}/models",
        rust_dirs=config.rust_dirs,
        github_url=config.github_url,
        models=config.models,
        work_dir=config.work_dir,
    )
