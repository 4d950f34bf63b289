"""Input of the status: reads every source of this host once.

A source that cannot be read gives None, and Facts.unknown says why. The functions at the top are pure. They
turn documents of the agent's services into facts and raise ValueError, LookupError or TypeError for a
document that has another shape.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Optional

from ...errors import CiError
from ...health.policy import SIGNALS
from ...host import systemd
from ...host.clock import boottime
from ...host.config import Config, read_config
from ...host.directories import load_json
from ...host.paths import paths_of
from ...host.process import Result, Run
from ...host.process import run as run_process
from ...metrics.instances import describe
from ...metrics.system import percent
from ...runner.instance_records import REGISTRATION, TREE, converged_path, read_record
from ...runner.layout import UNIT_TEMPLATE, instance_layout, instance_unit
from ...runner.worker import processes
from ...store.describe import active_downloads
from ...store.index import Index
from ...store.layout import Layout
from ..heal.rules import SPENT, Done, state_path
from ..heal.rules import read as read_state
from ..history.jobs import Job
from ..history.statistics import DAY_SECONDS, regressions
from .facts import Cache, Disk, Facts, Healing, Health, Instance, Reason, Sample, Timer
from .sources import Sources, read_jobs, read_text

# Texts for the boolean signals; other signals have the policy's name.
_BOOLEAN_REASONS = {
    "model_cache_available": "models are missing in the store",
    "network_reachable": "GitHub cannot be reached",
    "clock_synchronized": "the clock is not synchronized",
    "on_battery": "it runs on battery",
}
_CRON_FIELD = re.compile(r"[\d*/,-]+")
# systemd.time(7), as systemctl writes it.
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|min|h|d|w|month|y)")
_SPAN_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}
_OURS = re.compile(r"\b(coldvox|runnerctl|maintenance\.yml)\b")


def seconds(moment: Any) -> float:
    """Return ``moment`` in seconds since the epoch.

    It is ISO 8601 with ``Z`` or an offset, or already a number. Raises ValueError for another value.
    """
    if isinstance(moment, bool):
        raise ValueError(f"{moment} is no time")
    if isinstance(moment, (int, float)):
        return float(moment)
    # Python before 3.11 does not know the Z.
    return datetime.fromisoformat(str(moment).replace("Z", "+00:00")).timestamp()


def next_run(realtime: str, monotonic: str, booted_at: float) -> Optional[float]:
    """Return when a timer fires next (seconds since the epoch), None if unknown.

    Both are systemctl's output with TZ=UTC: ``realtime`` is a time (``Sun 2026-11-22 02:00:00 UTC``),
    ``monotonic`` the time since ``booted_at`` without suspend (``1h 2min 3.5s``).
    """
    words = realtime.split()
    if len(words) == 4 and words[3] == "UTC":
        return seconds(f"{words[1]}T{words[2]}Z")
    spans = [_SPAN.fullmatch(word) for word in monotonic.split()]
    known = [float(span[1]) * _SPAN_SECONDS[span[2]] for span in spans if span]
    return booted_at + sum(known) if known and len(known) == len(spans) else None


def health(document: Mapping[str, Any], penalties: Iterable[Mapping[str, Any]]) -> Health:
    """Return health.json as a fact; ``penalties`` are the reasons of its score."""
    score = document["score"]
    if not isinstance(score, int) or isinstance(score, bool):
        raise ValueError(f"the score {score!r} is no whole number")
    return Health(
        score=score,
        verdict=str(document["verdict"]),
        recommendation=str(document["recommendation"]),
        observed_at=seconds(document["observed_at"]),
        expires_at=seconds(document["expires_at"]),
        reasons=tuple(reason(penalty) for penalty in penalties),
    )


def reason(penalty: Mapping[str, Any]) -> Reason:
    """Return a penalty of the health score as text."""
    signal, value, threshold = str(penalty["signal"]), penalty["value"], penalty["threshold"]
    name = SIGNALS[signal][1] if signal in SIGNALS else signal.replace("_", " ")
    points = int(penalty["points"])
    if isinstance(value, bool):
        return Reason(points, _BOOLEAN_REASONS.get(signal, f"{name}: {'yes' if value else 'no'}"))
    return Reason(points, f"{name}: {value:g}, {'above' if value > threshold else 'below'} {threshold:g}")


def sample_document(document: Mapping[str, Any]) -> Sample:
    """Return a sample of runner_metrics as a fact."""
    models = document.get("model_cache_available")
    return Sample(
        at=seconds(document["timestamp"]),
        load=_number(document.get("load_1m")),
        memory_percent=_number(document.get("memory_used_percent")),
        models_available=models if isinstance(models, bool) else None,
    )


def _number(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def schedules(crontab: str) -> Iterator[str]:
    """Yield the schedules of this collection in a system's ``crontab`` (crontab(5))."""
    for line in crontab.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and _CRON_FIELD.fullmatch(fields[0]) and _OURS.search(fields[5]):
            yield " ".join(fields[:5])


# The time of which a job's baseline is computed.
_JOBS_SECONDS = 30 * DAY_SECONDS
_MOST_JOBS = 2000
_OWN_UNITS = "coldvox-ci-*"
_UNIT_PROPERTIES = "Id,ActiveState,UnitFileState,NextElapseUSecRealtime,NextElapseUSecMonotonic"
_SYSTEMD_SECONDS = 5.0
# The timer of the self-healing has run at least once this long after a boot.
_FIRST_PASS_SECONDS = 300.0
_DONE = "done"  # heal.act.DONE; that import would take longer than the whole status


def read_facts(places: Mapping[str, str], run: Run = run_process, etc: str = "/etc") -> Facts:
    """Return this host's facts; ``places`` are directories, ``etc`` has the crontabs.

    A source that is missing, damaged or not readable for this user raises nothing; ``unknown`` names it.
    """
    paths = paths_of(places)
    now = time.time()
    sources = Sources()
    run_dir, base_dir, store = paths.run, paths.runners, Layout(paths.store)
    config = sources.read("settings", partial(read_config, paths.config)) or Config()
    units = sources.read("runners", partial(_units, run, base_dir))
    if units is None:
        sources.unknown["timers"] = "systemd does not answer; see the runners"
    jobs = sources.read("jobs", partial(read_jobs, paths.history, now - _JOBS_SECONDS, _MOST_JOBS))
    healed = sources.read("healed", partial(_healed, run_dir, now - DAY_SECONDS))
    acknowledged_at = _time_of(acknowledgement(paths.state)) or 0.0
    sample = sources.read("sample", partial(load_json, paths.sample))
    disks = sources.read("disk", partial(_disks, config.work_dir or base_dir, store.root))
    return Facts(
        host=config.host or os.uname().nodename,
        now=now,
        midnight=time.mktime((*time.localtime(now)[:3], 0, 0, 0, 0, 0, -1)),
        instances=None
        if units is None
        else sources.read("runners", partial(_instances, units, base_dir, now)),
        jobs=None if jobs is None else [job for job in jobs if job.running or job.ended > now - DAY_SECONDS],
        health=sources.read("health", partial(_health, paths.health, sample, config.policy)),
        sample=None if sample is None else sources.read("sample", partial(sample_document, sample)),
        caches=sources.read("caches", partial(_caches, store)),
        downloads=active_downloads(store),
        disks=disks or (),
        timers=None if units is None else sources.read("timers", partial(_timers, units, etc)),
        failed_units=[name for name, unit in (units or {}).items() if _has_failed(unit)],
        healings=healed and healed[0],
        left_over=healed[1] if healed else (),
        out_of_service=healed[2] if healed else (),
        acknowledged_at=acknowledged_at,
        converged_at=_time_of(converged_path(base_dir)),
        maintained_at=_time_of(store.clock),
        lost_store=store.root if units and not os.path.isdir(store.area("refs")) else "",
        slower=[
            change.text
            for change in regressions(jobs or (), now)
            if change.kind == "duration" and _last_end(jobs or (), change.job) > acknowledged_at
        ],
        unknown=sources.unknown,
    )


def _health(path: str, sample: Optional[Mapping[str, Any]], policy: Mapping[str, Any]) -> Health:
    from ...health.score import health_score

    document = load_json(path)
    penalties = document.get("penalties")
    if penalties is None:  # written by an older version
        penalties = health_score(sample, policy)["penalties"] if sample else ()
    return health(document, penalties)


def _units(run: Run, base_dir: str) -> dict[str, systemd.Unit]:
    """Return the collection's own units by name, with those of all instances."""

    def bounded(argv: Sequence[str], **options: Any) -> Result:
        # In UTC, so that next_run() needs no names of time zones.
        given = {"timeout_seconds": _SYSTEMD_SECONDS, "environment": {**os.environ, "TZ": "UTC"}}
        return run(argv, **{**given, **options})

    names = [instance_unit(name) for name in instance_names(base_dir)]
    return systemd.show_loaded(bounded, [_OWN_UNITS, *names], _UNIT_PROPERTIES)


def instance_names(base_dir: str) -> list[str]:
    """Return the instances: directories with a ``bin``, or closed to this user."""
    try:
        names = sorted(os.listdir(base_dir))
    except FileNotFoundError:
        return []
    return [name for name in names if name[0] != "." and _is_instance(os.path.join(base_dir, name))]


def _is_instance(directory: str) -> bool:
    try:
        return "bin" in os.listdir(directory)
    except PermissionError:
        return True
    except OSError:
        return False


def _instances(units: Mapping[str, systemd.Unit], base_dir: str, now: float) -> list[Instance]:
    names = instance_names(base_dir)
    # With hidepid this user cannot see the processes of others, so their absence proves nothing.
    visible = os.path.exists("/proc/1/cgroup")
    instances = describe(names, base_dir, list(processes()) if visible and names else [], {}, {})
    pairs = [(instance, units.get(instance_unit(instance["name"]), systemd.Unit())) for instance in instances]
    return [
        Instance(
            name=instance["name"],
            unit=instance_unit(instance["name"]),
            state=unit.get("ActiveState", ""),
            drained="UnitFileState" in unit and not unit.enabled and not unit.active,
            listening=instance["listener_pid"] is not None if visible else None,
            busy=instance["busy"] if visible else None,
            busy_since=_started(instance["worker_pid"], now),
            registered=_was_registered(base_dir, instance["name"]),
            version=str(read_record(instance_layout(base_dir, instance["name"]), TREE).get("version", "")),
        )
        for instance, unit in pairs
    ]


def _time_of(path: str) -> Optional[float]:
    """Return when ``path`` was written, None without such a file."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def acknowledgement(state_dir: str) -> str:
    """Return the path of the file whose time is that of the last acknowledgement."""
    return os.path.join(state_dir, "acknowledged")


def _last_end(jobs: Iterable[Job], name: str) -> float:
    return max((job.ended for job in jobs if job.job == name and not job.running), default=0.0)


def _was_registered(base_dir: str, name: str) -> Optional[bool]:
    try:
        return REGISTRATION in os.listdir(instance_layout(base_dir, name).records)
    except FileNotFoundError:
        return False
    except OSError:
        return None


def _healed(run_dir: str, since: float) -> tuple[list[Healing], Sequence[str], Sequence[str]]:
    """Return the self-healing's actions ``since`` then, and its list for a person.

    The third part has the instances that take no jobs.
    """
    missing = not os.path.exists(state_path(run_dir))
    if missing and os.path.isdir(run_dir) and boottime() < _FIRST_PASS_SECONDS:
        return [], (), ()
    os.stat(state_path(run_dir))
    state = read_state(run_dir)
    if state is None:
        raise ValueError("it is damaged, or was not written by this version")
    done = [(seconds(action.time), action) for action in state.history.done]
    healings = [Healing(at, _sentence(action)) for at, action in done if at >= since]
    names = [sentence.partition(":")[0] for sentence in state.needs_person]
    waiting = {name for name, known in state.history.instances.items() if known.condition == SPENT}
    return healings, state.needs_person, [name for name in names if name not in waiting]


def _sentence(action: Done) -> str:
    outcome = "" if action.outcome == _DONE else f" ({action.outcome})"
    return f"{action.instance}: {action.action}, because {action.reason}{outcome}"


def _started(pid: Optional[int], now: float) -> Optional[float]:
    """Return when ``pid`` began in seconds since the epoch; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            ticks = int(stream.read().rpartition(")")[2].split()[19])  # starttime: proc_pid_stat(5)
    except (OSError, IndexError, ValueError):
        return None
    return now - (boottime() - ticks / os.sysconf("SC_CLK_TCK"))


def _caches(layout: Layout) -> list[Cache]:
    if not os.path.isdir(layout.area("refs")):
        raise CiError(f"There is no store at {layout.root}; mount its disk, or converge the host.")
    refs = Index(layout).refs().values()
    return [Cache(ref.name, ref.kind, ref.bytes) for ref in refs]


def _disks(*paths: str) -> list[Disk]:
    """Return the file systems of ``paths``, each once, by an existing directory."""
    disks: dict[int, Disk] = {}
    for path in map(os.path.abspath, paths):
        there = path
        while not os.path.isdir(there):
            there = os.path.dirname(there)
        space = shutil.disk_usage(there)
        # Space that is reserved for root is neither used nor free, as in df(1).
        used = percent(space.used, space.used + space.free)
        disks.setdefault(os.stat(there).st_dev, Disk(path, space.total, space.free, used))
    return list(disks.values())


def _timers(units: Mapping[str, systemd.Unit], etc: str) -> list[Timer]:
    """Return the active timers and the cron jobs."""
    booted_at = time.time() - time.monotonic()
    timers = []
    for unit in units.values():
        name, _dot, kind = unit.get("Id", "").rpartition(".")
        if kind == "timer" and unit.active:
            realtime, monotonic = (
                unit.get(f"NextElapseUSec{clock}", "") for clock in ("Realtime", "Monotonic")
            )
            timers.append(Timer(name, next_run(realtime, monotonic, booted_at)))
    return [*timers, *_cron_jobs(etc)]


def _cron_jobs(etc: str) -> Iterator[Timer]:
    """Yield the cron jobs of this collection; skip crontabs that cannot be read."""
    directory = os.path.join(etc, "cron.d")
    with suppress(OSError):
        for name in sorted(os.listdir(directory)):
            with suppress(OSError):
                text = read_text(os.path.join(directory, name))
                yield from (Timer(name, None, schedule) for schedule in schedules(text))


def _has_failed(unit: systemd.Unit) -> bool:
    """Return whether this is a failed unit of the agent, and not of an instance."""
    return unit.get("ActiveState") == "failed" and not unit["Id"].startswith(UNIT_TEMPLATE)
