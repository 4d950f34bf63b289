"""Facts about a host at a moment, as plain data; None where unknown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Optional

from ...store.describe import ActiveDownload
from ..history.jobs import Job


class Instance(NamedTuple):
    """A runner instance; ``state`` is its unit's ActiveState, empty if unknown.

    ``listening`` and ``busy`` say whether its listener and a worker run, ``busy_since`` when the worker
    began; all three are None where this user cannot see the processes. ``drained``: a person stopped it.
    ``registered`` says whether it ever was, None where this user cannot see that. ``version`` is that of its
    program, empty if unknown.
    """

    name: str
    unit: str
    state: str
    listening: Optional[bool] = None
    busy: Optional[bool] = None
    busy_since: Optional[float] = None
    drained: bool = False
    registered: Optional[bool] = None
    version: str = ""


class Cache(NamedTuple):
    """An artifact in the store, which jobs need not download."""

    name: str
    kind: str
    bytes: int


class Disk(NamedTuple):
    """A file system; ``used_percent`` is of the space for users, as in df(1)."""

    path: str
    total_bytes: int
    free_bytes: int
    used_percent: float


class Timer(NamedTuple):
    """A timer or a cron job.

    ``next_at`` is in seconds since the epoch, where systemd gives it; ``schedule`` is that of a crontab
    (``15 3 * * *``).
    """

    name: str
    next_at: Optional[float]
    schedule: str = ""


class Healing(NamedTuple):
    """An action of the self-healing, and when (seconds since the epoch)."""

    at: float
    what: str


class Reason(NamedTuple):
    """The points that a signal takes off the health score, and the reason as text."""

    points: int
    what: str


class Health(NamedTuple):
    """The last result of the health check; times in seconds since the epoch."""

    score: int
    verdict: str
    recommendation: str
    observed_at: float
    expires_at: float
    reasons: Sequence[Reason] = ()


class Sample(NamedTuple):
    """The last sample of the machine; ``at`` is in seconds since the epoch."""

    at: float
    load: Optional[float] = None
    memory_percent: Optional[float] = None
    models_available: Optional[bool] = None


class Facts(NamedTuple):
    """All that the status judges; ``unknown`` gives, by part, why a fact is None.

    ``downloads`` are the downloads into the store, ``jobs`` those of the last 24 hours and those that run.
    ``midnight`` is when today began on the host. ``failed_units`` are the collection's own units that failed,
    ``left_over`` is what the self-healing leaves to a person (``instance: what``), ``out_of_service`` the
    instances of these that take no jobs. ``slower`` has sentences about jobs that became slower.
    ``acknowledged_at`` is when a person took note of all failed and slow jobs. ``lost_store`` is the path of
    a store that should be there and is not. ``converged_at`` and ``maintained_at`` are when a converge and a
    maintenance last ended here.
    """

    host: str
    now: float
    midnight: float
    instances: Optional[Sequence[Instance]] = None
    jobs: Optional[Sequence[Job]] = None
    health: Optional[Health] = None
    sample: Optional[Sample] = None
    caches: Optional[Sequence[Cache]] = None
    downloads: Sequence[ActiveDownload] = ()
    disks: Sequence[Disk] = ()
    timers: Optional[Sequence[Timer]] = None
    failed_units: Sequence[str] = ()
    healings: Optional[Sequence[Healing]] = None
    left_over: Sequence[str] = ()
    out_of_service: Collection[str] = ()
    acknowledged_at: float = 0.0
    lost_store: str = ""
    converged_at: Optional[float] = None
    maintained_at: Optional[float] = None
    slower: Sequence[str] = ()
    unknown: Mapping[str, str] = {}
