"""What is known of a host at one moment, as plain data; a source that is silent is None and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

from ...store.describe import Flight
from ..history.jobs import Job


class Instance(NamedTuple):
    """A runner instance. ``state`` is systemd's ActiveState of its unit, empty while systemd is silent.

    ``listening`` and ``busy`` tell whether its listener and a worker run, ``busy_since`` when the worker
    began; all three are None where the processes cannot be seen. ``drained``: it rests because a person
    asked for it.
    """

    name: str
    unit: str
    state: str
    listening: Optional[bool] = None
    busy: Optional[bool] = None
    busy_since: Optional[float] = None
    drained: bool = False


class Cache(NamedTuple):
    """Something on the disk that jobs do not have to fetch."""

    name: str
    kind: str
    bytes: int


class Disk(NamedTuple):
    """A file system and what is used of it, in percent of what users can have."""

    path: str
    total_bytes: int
    free_bytes: int
    used_percent: float


class Timer(NamedTuple):
    """Something that runs by itself: when next (seconds since the epoch) where systemd tells, or when at all,
    as a crontab has it (``15 3 * * *``).
    """

    name: str
    next_at: Optional[float]
    schedule: str = ""


class Healing(NamedTuple):
    """Something that the self-healing did, and when."""

    at: float
    what: str


class Reason(NamedTuple):
    """What a signal costs of the health score, in points and in words."""

    points: int
    what: str


class Health(NamedTuple):
    """The last word of the health check, with what it took points for; times in seconds since the epoch."""

    score: int
    verdict: str
    recommendation: str
    observed_at: float
    expires_at: float
    reasons: Sequence[Reason] = ()


class Sample(NamedTuple):
    """What the last sample of the machine says that nothing else here does."""

    at: float
    load: Optional[float] = None
    memory_percent: Optional[float] = None
    models_available: Optional[bool] = None


class Facts(NamedTuple):
    """Everything that the status judges. ``unknown`` says by part why nothing is known of it.

    ``downloads`` are what is on its way into the store, ``jobs`` those of the last 24 hours and those that
    run. ``midnight`` is when today began at the host. ``failed_units`` are the collection's own units that
    failed, ``left_over`` what the self-healing leaves to a person (``instance: what``), ``slower`` sentences
    about jobs that got slower.
    """

    host: str
    now: float
    midnight: float
    instances: Optional[Sequence[Instance]] = None
    jobs: Optional[Sequence[Job]] = None
    health: Optional[Health] = None
    sample: Optional[Sample] = None
    caches: Optional[Sequence[Cache]] = None
    downloads: Sequence[Flight] = ()
    disks: Sequence[Disk] = ()
    timers: Optional[Sequence[Timer]] = None
    failed_units: Sequence[str] = ()
    healings: Optional[Sequence[Healing]] = None
    left_over: Sequence[str] = ()
    slower: Sequence[str] = ()
    unknown: Mapping[str, str] = {}
