"""Status of a host: what needs a person, what runs, and what ran today. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

from ...health.dispatch import SELF_HOSTED
from ...host.clock import timestamp
from ...store.describe import ActiveDownload
from ..history import statistics
from ..history.jobs import Job
from .facts import Cache, Disk, Facts, Healing, Instance, Reason
from .needs import ATTENTION, CRITICAL, Need, is_down, judged_here, needs
from .words import tenth

OK = "ok"
# The exit codes of every command of runnerctl.
EXIT_CODES = {OK: 0, ATTENTION: 1, CRITICAL: 2}
BUSY, IDLE, DOWN, DRAINED, UNKNOWN = "busy", "idle", "down", "drained", "unknown"


class Runner(NamedTuple):
    """A runner instance, its state (BUSY to UNKNOWN), and its job where that is known."""

    name: str
    state: str
    job: Optional[str] = None
    workflow: Optional[str] = None
    repository: Optional[str] = None
    since: Optional[str] = None
    seconds: Optional[int] = None
    version: str = ""


class Today(NamedTuple):
    """Jobs that ended here since midnight; rate and mean are None without jobs.

    ``untold`` counts further jobs that ended with a result that is still unknown.
    """

    jobs: int
    successes: int
    success_percent: Optional[float]
    mean_seconds: Optional[float]
    untold: int = 0


class Score(NamedTuple):
    """The health score and the reasons for the points that it lost."""

    score: int
    verdict: str
    recommendation: str
    observed_at: str
    expired: bool
    reasons: tuple[Reason, ...]


class Coming(NamedTuple):
    """The next run of a timer: ``at``, ``seconds`` from now, or its ``schedule``."""

    name: str
    at: Optional[str]
    seconds: Optional[int]
    schedule: Optional[str]


class Healed(NamedTuple):
    """An action of the self-healing, and how many seconds ago."""

    at: str
    seconds: int
    what: str


class View(NamedTuple):
    """All that the status shows; ``unknown`` gives, by part, why a value is None."""

    host: str
    at: str
    level: str
    exit_code: int
    needs: tuple[Need, ...]
    runners: Optional[tuple[Runner, ...]]
    today: Optional[Today]
    health: Optional[Score]
    load: Optional[float]
    memory_percent: Optional[float]
    caches: Optional[tuple[Cache, ...]]
    cache_bytes: Optional[int]
    cache_hit_percent: Optional[float]
    downloads: tuple[ActiveDownload, ...]
    disks: tuple[Disk, ...]
    coming: Optional[tuple[Coming, ...]]
    healed: Optional[tuple[Healed, ...]]
    converged_at: Optional[str]
    maintained_at: Optional[str]
    unknown: Mapping[str, str]


def view(facts: Facts) -> View:
    """Return the status of a host with ``facts``."""
    wanted = needs(facts)
    level = wanted[0].level if wanted else OK
    jobs = facts.jobs
    caches = None if facts.caches is None else tuple(sorted(facts.caches, key=lambda cache: -cache.bytes))
    return View(
        host=facts.host,
        at=timestamp(facts.now),
        level=level,
        exit_code=EXIT_CODES[level],
        needs=wanted,
        runners=None
        if facts.instances is None
        else tuple(_runner(instance, facts) for instance in facts.instances),
        today=None if jobs is None else _today(jobs, facts.midnight),
        health=_score(facts),
        load=facts.sample.load if facts.sample else None,
        memory_percent=facts.sample.memory_percent if facts.sample else None,
        caches=caches,
        cache_bytes=None if caches is None else sum(cache.bytes for cache in caches),
        cache_hit_percent=None if jobs is None else tenth(statistics.summary(jobs).cache_hit_rate),
        downloads=tuple(facts.downloads),
        disks=tuple(facts.disks),
        coming=None if facts.timers is None else _coming(facts),
        healed=None if facts.healings is None else _healed(facts.healings, facts),
        converged_at=None if facts.converged_at is None else timestamp(facts.converged_at),
        maintained_at=None if facts.maintained_at is None else timestamp(facts.maintained_at),
        unknown=dict(facts.unknown),
    )


def _runner(instance: Instance, facts: Facts) -> Runner:
    return _state(instance, facts)._replace(version=instance.version)


def _state(instance: Instance, facts: Facts) -> Runner:
    if is_down(instance) or _takes_no_jobs(instance, facts):
        return Runner(instance.name, DOWN)
    if instance.drained and not instance.busy:
        return Runner(instance.name, DRAINED)
    if not instance.state or instance.busy is None:
        return Runner(instance.name, UNKNOWN)
    if not instance.busy:
        return Runner(instance.name, IDLE if instance.listening or instance.state != "active" else DOWN)
    job = _running(instance, facts.jobs or ())
    since = (job.started_at if job else None) or instance.busy_since
    return Runner(
        name=instance.name,
        state=BUSY,
        job=job.job if job else None,
        workflow=job.workflow if job else None,
        repository=job.repository if job else None,
        since=None if since is None else timestamp(since),
        seconds=None if since is None else max(0, round(facts.now - since)),
    )


def _takes_no_jobs(instance: Instance, facts: Facts) -> bool:
    """Return whether GitHub sends no job to ``instance``, although its unit may run."""
    return not instance.busy and (instance.registered is False or instance.name in facts.out_of_service)


def _running(instance: Instance, jobs: Sequence[Job]) -> Optional[Job]:
    """Return the newest job that runs on ``instance``; older ones were cut off."""
    own = (job for job in jobs if job.kind == SELF_HOSTED and job.instance == instance.name and job.running)
    return max(own, key=lambda job: job.began, default=None)


def _today(jobs: Sequence[Job], midnight: float) -> Today:
    ended = [job for job in jobs if job.ended >= midnight]
    sums = statistics.summary(judged_here(ended))
    untold = sum(job.kind == SELF_HOSTED and job.completed_at is not None and not job.result for job in ended)
    return Today(sums.judged, sums.successes, tenth(sums.success_rate), tenth(sums.mean_seconds), untold)


def _score(facts: Facts) -> Optional[Score]:
    health = facts.health
    if health is None:
        return None
    return Score(
        score=health.score,
        verdict=health.verdict,
        recommendation=health.recommendation,
        observed_at=timestamp(health.observed_at),
        expired=facts.now > health.expires_at,
        reasons=tuple(health.reasons),
    )


def _coming(facts: Facts) -> tuple[Coming, ...]:
    known = sorted((timer.next_at, timer.name) for timer in facts.timers or () if timer.next_at is not None)
    dated = [Coming(name, timestamp(at), max(0, round(at - facts.now)), None) for at, name in known]
    others = [
        Coming(timer.name, None, None, timer.schedule) for timer in facts.timers or () if timer.schedule
    ]
    return (*dated, *others)


def _healed(healings: Sequence[Healing], facts: Facts) -> tuple[Healed, ...]:
    done = sorted(healings, key=lambda healing: -healing.at)
    return tuple(
        Healed(timestamp(healing.at), max(0, round(facts.now - healing.at)), healing.what) for healing in done
    )
