"""What needs a person: each reason is one small judgement of the facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...health.dispatch import SELF_HOSTED
from ..history.jobs import JUDGED, SUCCESS, Job
from .facts import Facts, Instance
from .words import count, lasting

ATTENTION, CRITICAL = "attention", "critical"

# Source: the health check and the alerts of ColdVox's own monitor.
_DISK_CRITICAL_PERCENT, _DISK_ATTENTION_PERCENT = 90, 80
_SUCCESS_ATTENTION_PERCENT = 80
# Fewer jobs than these say nothing yet.
_ALL_FAILED_LEAST, _SOME_FAILED_LEAST = 3, 5
# The sampler's usual interval is 5 s; a machine under full load is granted much more.
SAMPLE_OLD_SECONDS = 300.0


class Need(NamedTuple):
    """What is wrong, how bad that is (ATTENTION or CRITICAL), and what a person can do about it."""

    level: str
    what: str
    todo: str


def needs(facts: Facts) -> tuple[Need, ...]:
    """Return what needs a person, the worst first."""
    found = [need for judge in _JUDGES for need in judge(facts)]
    return tuple(sorted(found, key=lambda need: need.level != CRITICAL))


def is_down(instance: Instance) -> bool:
    """Tell whether ``instance`` ought to run and does not."""
    return instance.state in ("failed", "inactive", "deactivating") and not instance.drained


def _runners(facts: Facts) -> Iterator[Need]:
    instances = facts.instances or ()
    told = {sentence.partition(":")[0] for sentence in facts.left_over}
    down = [one for one in instances if is_down(one)]
    if down and len(down) == len(instances):
        units = " ".join(one.unit for one in down)
        yield Need(CRITICAL, "no runner of this machine runs", f"see: systemctl status {units}")
    else:
        for one in down:
            if one.name in told:
                continue
            what = f"runner {one.name}: its unit is {one.state}"
            yield Need(ATTENTION, what, f"see: journalctl -u {one.unit}")
    for one in instances:
        if one.state == "active" and one.listening is False and one.name not in told:
            yield Need(
                ATTENTION,
                f"runner {one.name}: its unit runs, its listener does not",
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
            f"the health check has been silent; its word expired {lasting(late)} ago",
            "see: systemctl status coldvox-ci-health.timer",
        )
    elif health.verdict == "unhealthy":
        yield Need(
            CRITICAL, f"the health score is {health.score}: unhealthy", "see the reasons at HEALTH below"
        )
    elif health.verdict == "degraded":
        yield Need(
            ATTENTION, f"the health score is {health.score}: degraded", "see the reasons at HEALTH below"
        )


def _sampler(facts: Facts) -> Iterator[Need]:
    sample = facts.sample
    if sample is None:
        return
    age = facts.now - sample.at
    if age > SAMPLE_OLD_SECONDS:
        yield Need(
            ATTENTION,
            f"the last sample is {lasting(age)} old",
            "see: systemctl status coldvox-ci-metrics.service",
        )
    elif sample.models_available is False:
        yield Need(ATTENTION, "models are missing in the store", "converge the host again")


def judged_here(jobs: Iterable[Job]) -> list[Job]:
    """Return those of ``jobs`` that ran on this machine and whose end says something about it."""
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
    for one in facts.downloads:
        if not one.alive:
            yield Need(ATTENTION, f"{one.name}: its {one.phase} was interrupted", "converge the host again")


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
