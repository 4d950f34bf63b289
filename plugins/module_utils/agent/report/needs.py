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
# Fewer jobs are no evidence.
_ALL_FAILED_LEAST, _SOME_FAILED_LEAST = 3, 5
# The sampler's usual interval is 5 s; under full load it may take much longer.
SAMPLE_OLD_SECONDS = 300.0


class Need(NamedTuple):
    """A fault, its level (ATTENTION or CRITICAL), and what a person can do."""

    level: str
    what: str
    todo: str


def needs(facts: Facts) -> tuple[Need, ...]:
    """Return what a person should look at, CRITICAL first."""
    wanted = [need for judge in _JUDGES for need in judge(facts)]
    return tuple(sorted(wanted, key=lambda need: need.level != CRITICAL))


def is_down(instance: Instance) -> bool:
    """Return whether ``instance`` should run and does not."""
    return instance.state in ("failed", "inactive", "deactivating") and not instance.drained


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
            yield Need(ATTENTION, what, f"see: journalctl -u {instance.unit}")
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
    ended = judged_here(facts.jobs or ())
    failed = [job for job in ended if job.result != SUCCESS]
    if len(failed) == len(ended) >= _ALL_FAILED_LEAST:
        yield Need(
            CRITICAL, f"all {len(ended)} jobs of the last 24 hours failed here", "see: runnerctl history"
        )
    elif len(ended) >= _SOME_FAILED_LEAST:
        success = 100 * (len(ended) - len(failed)) / len(ended)
        if success < _SUCCESS_ATTENTION_PERCENT:
            yield Need(
                ATTENTION,
                f"{len(failed)} of {count(len(ended), 'job')} of the last 24 hours failed here",
                "see: runnerctl history",
            )
    for sentence in facts.slower:
        yield Need(ATTENTION, sentence, "see: runnerctl history")


def _disks(facts: Facts) -> Iterator[Need]:
    for disk in facts.disks:
        if disk.used_percent > _DISK_ATTENTION_PERCENT:
            level = CRITICAL if disk.used_percent > _DISK_CRITICAL_PERCENT else ATTENTION
            yield Need(
                level,
                f"the disk of {disk.path} is {disk.used_percent:.0f} % full",
                "make room: sudo runnerctl cache collect --min-free-percent 20",
            )


def _downloads(facts: Facts) -> Iterator[Need]:
    for download in facts.downloads:
        if not download.alive:
            yield Need(
                ATTENTION, f"{download.name}: its {download.phase} was interrupted", "converge the host again"
            )


def _units(facts: Facts) -> Iterator[Need]:
    for unit in facts.failed_units:
        yield Need(ATTENTION, f"{unit} failed", f"see: journalctl -u {unit}")


def _left_over(facts: Facts) -> Iterator[Need]:
    for sentence in facts.left_over:
        yield Need(
            ATTENTION,
            f"runner {sentence}",
            "the self-healing leaves it to you; see: sudo runnerctl heal --dry-run",
        )


_JUDGES = (_runners, _health, _sampler, _jobs, _disks, _downloads, _units, _left_over)
