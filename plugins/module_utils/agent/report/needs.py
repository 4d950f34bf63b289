"""Needs of a host: what a person should look at, a function per kind. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...health.dispatch import SELF_HOSTED
from ..history.jobs import JUDGED, SUCCESS, Job
from .facts import Facts, Instance
from .words import count, duration

ATTENTION, CRITICAL = "attention", "critical"
_VERDICTS = {"degraded": ATTENTION, "unhealthy": CRITICAL}

# Source: the health check and the alerts of ColdVox's own monitor.
_DISK_CRITICAL_PERCENT, _DISK_ATTENTION_PERCENT = 90, 80
_SUCCESS_ATTENTION_PERCENT = 80
_HISTORY = "see: runnerctl history; to take note of it: sudo runnerctl status --acknowledge"
_MOST_SLOWER = 2  # more would hide the rest of the screen
# Fewer jobs are no evidence.
_ALL_FAILED_LEAST, _SOME_FAILED_LEAST = 3, 5
# The sampler's usual interval is 5 s; under full load it may take much longer.
SAMPLE_OLD_SECONDS = 300.0
# A laptop may be off for a weekend.
MAINTENANCE_LATE_SECONDS = 4 * 86400.0


class Need(NamedTuple):
    """A fault, its level (ATTENTION or CRITICAL), and what a person can do."""

    level: str
    what: str
    todo: str


def needs(facts: Facts) -> tuple[Need, ...]:
    """Return what a person should look at: CRITICAL first, and runners before jobs."""
    wanted = [need for judge in _JUDGES for need in judge(facts)]
    return tuple(sorted(wanted, key=lambda need: need.level != CRITICAL))


def is_down(instance: Instance) -> bool:
    """Return whether ``instance`` should run and does not."""
    at_rest = instance.drained or instance.registered is False
    return instance.state in ("failed", "inactive", "deactivating") and not at_rest


def _runners(facts: Facts) -> Iterator[Need]:
    instances = facts.instances or ()
    reported = {sentence.partition(":")[0] for sentence in facts.left_over}
    down = [instance for instance in instances if is_down(instance)]
    if down and len(down) == len(instances):
        units = " ".join(instance.unit for instance in down)
        yield Need(CRITICAL, "no runner of this machine runs", f"see: systemctl status {units}")
    else:
        for instance in down:
            if instance.name in reported:
                continue
            what = f"runner {instance.name}: its unit is {instance.state}"
            yield Need(CRITICAL, what, f"see: journalctl -u {instance.unit}")
    for instance in instances:
        if instance.registered is False and not instance.busy and instance.name not in reported:
            yield Need(
                CRITICAL,
                f"runner {instance.name}: it was never registered at GitHub",
                "converge the host again, and read the last message of that run",
            )
    for instance in instances:
        if instance.state == "active" and instance.listening is False and instance.name not in reported:
            yield Need(
                ATTENTION,
                f"runner {instance.name}: its unit runs, its listener does not",
                "healing restarts it when no job runs; see: sudo runnerctl heal --dry-run",
            )


def _health(facts: Facts) -> Iterator[Need]:
    health = facts.health
    if health is None:
        return
    late = facts.now - health.expires_at
    if late > 0:
        yield Need(
            ATTENTION,
            f"the health check gives no new result; its last one expired {duration(late)} ago",
            "see: systemctl status coldvox-ci-health.timer",
        )
    elif health.verdict in _VERDICTS:
        what = f"the health score is {health.score}: {health.verdict}"
        yield Need(_VERDICTS[health.verdict], what, "see the reasons at HEALTH below")


def _sampler(facts: Facts) -> Iterator[Need]:
    sample = facts.sample
    if sample is None:
        return
    age = facts.now - sample.at
    if age > SAMPLE_OLD_SECONDS:
        yield Need(
            ATTENTION,
            f"the last sample is {duration(age)} old",
            "see: systemctl status coldvox-ci-metrics.service",
        )
    elif sample.models_available is False:
        yield Need(ATTENTION, "models are missing in the store", "converge the host again")


def judged_here(jobs: Iterable[Job]) -> list[Job]:
    """Return those of ``jobs`` that ran here and whose result depends on the machine."""
    return [job for job in jobs if job.kind == SELF_HOSTED and job.result in JUDGED]


def _jobs(facts: Facts) -> Iterator[Need]:
    ended = [job for job in judged_here(facts.jobs or ()) if job.ended > facts.acknowledged_at]
    failed = [job for job in ended if job.result != SUCCESS]
    if len(failed) == len(ended) >= _ALL_FAILED_LEAST:
        yield Need(CRITICAL, f"all {len(ended)} jobs of the last 24 hours failed here", _HISTORY)
    elif len(ended) >= _SOME_FAILED_LEAST:
        success = 100 * (len(ended) - len(failed)) / len(ended)
        if success < _SUCCESS_ATTENTION_PERCENT:
            yield Need(
                ATTENTION,
                f"{len(failed)} of {count(len(ended), 'job')} of the last 24 hours failed here",
                _HISTORY,
            )
    if len(facts.slower) > _MOST_SLOWER:
        yield Need(ATTENTION, f"{len(facts.slower)} jobs took much longer than usual", _HISTORY)
    else:
        yield from (Need(ATTENTION, sentence, _HISTORY) for sentence in facts.slower)


def _disks(facts: Facts) -> Iterator[Need]:
    for disk in facts.disks:
        if disk.used_percent > _DISK_ATTENTION_PERCENT:
            level = CRITICAL if disk.used_percent > _DISK_CRITICAL_PERCENT else ATTENTION
            yield Need(
                level,
                f"the disk of {disk.path} is {disk.used_percent:.0f} % full",
                "see what can go: sudo runnerctl cache collect --min-free-percent 20 --dry-run; what the "
                "inventory lists stays",
            )
    if facts.lost_store:
        yield Need(
            CRITICAL,
            f"the store {facts.lost_store} is not there, so jobs have no models",
            "mount its disk, or converge the host again",
        )


def _downloads(facts: Facts) -> Iterator[Need]:
    for download in facts.downloads:
        if not download.alive:
            yield Need(
                ATTENTION, f"{download.name}: its {download.phase} was interrupted", "converge the host again"
            )


def _maintenance(facts: Facts) -> Iterator[Need]:
    if facts.maintained_at is not None and facts.now - facts.maintained_at > MAINTENANCE_LATE_SECONDS:
        yield Need(
            ATTENTION,
            f"the nightly maintenance did not come for {duration(facts.now - facts.maintained_at)}",
            "see the log of maintenance.yml on the controller",
        )


def _units(facts: Facts) -> Iterator[Need]:
    for unit in facts.failed_units:
        yield Need(ATTENTION, f"{unit} failed", f"see: journalctl -u {unit}")


def _left_over(facts: Facts) -> Iterator[Need]:
    for sentence in facts.left_over:
        yield Need(
            CRITICAL if sentence.partition(":")[0] in facts.out_of_service else ATTENTION,
            f"runner {sentence}",
            "the self-healing leaves it to you; see: sudo runnerctl heal --dry-run",
        )


# In the order of the screen, for needs of the same level.
_JUDGES = (_runners, _left_over, _disks, _health, _sampler, _units, _downloads, _maintenance, _jobs)
