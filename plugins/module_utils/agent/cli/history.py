"""``runnerctl history``: list the jobs of this host with duration and result."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import CiError
from ...host.paths import Paths, paths_of
from ..report.words import count
from .output import ATTENTION, OK, log, plain, print_json, print_line, table

if TYPE_CHECKING:
    from ..history.database import History
    from ..history.jobs import Job
    from ..history.statistics import Regression, Summary

_LISTED = 20
# The summary below the table counts at most these.
_CONSIDERED = 10_000
_MOST_IMPORT_BYTES = 256 * 2**20
_WIDEST = 40
_PERIOD = re.compile(r"([0-9]{1,6})([mhdw])")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of the command to its parser."""
    group.description = (
        "Adds the new records of the job hooks to the history, lists the latest jobs and the regressions. "
        "Exit code: 1 when there is a regression, else 0."
    )
    group.add_argument("job", metavar="JOB", nargs="?", default="", help="only this job, with its matrix")
    group.add_argument(
        "--limit", metavar="N", type=_count, default=_LISTED, help=f"list at most N (default: {_LISTED})"
    )
    group.add_argument(
        "--since", metavar="TIME", type=since, help="as in 90m, 24h, 7d, 4w, or a UTC day such as 2026-01-31"
    )
    group.add_argument(
        "--import",
        metavar="FILE",
        dest="source",
        help="add the jobs of github_jobs_info, or the JSON history of older scripts (as root)",
    )
    add_shared_options(group, defaults)
    group.set_defaults(perform=show)


def add_shared_options(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options that the readers of the history share."""
    paths = paths_of(defaults)
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--state", default=paths.state, help="directory of the history")
    group.add_argument("--run", default=paths.run, help="directory of the latest records")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _CONSIDERED:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {_CONSIDERED}.")
    return int(text)


def since(text: str) -> float:
    """Return the Unix time of ``text``: a period before now, a day or a time of UTC."""
    period = _PERIOD.fullmatch(text)
    if period:
        return time.time() - int(period[1]) * _UNIT_SECONDS[period[2]]
    from ..history.jobs import moment

    with contextlib.suppress(CiError):
        at = moment(f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text)
        if at is not None:
            return at
    raise argparse.ArgumentTypeError(
        f"{text} is not a time; give 90m, 24h, 7d, 4w, 2026-01-31 or 2026-01-31T12:00:00Z."
    )


@contextlib.contextmanager
def open_history(options: argparse.Namespace, writing: bool = False) -> Iterator[History]:
    """Open the history; a caller who may write it first adds the records of the hooks.

    With ``writing`` it raises CiError for a caller who may not.
    """
    from ..history.database import History
    from ..history.spool import ingest

    paths = Paths(run=options.run, state=options.state)
    path = paths.history
    permitted = os.access(path if os.path.exists(path) else os.path.dirname(path), os.W_OK)
    with History(path, read_only=not (permitted or writing)) as history:
        if permitted:
            try:
                for reason in ingest(history, paths.jobs).reasons:
                    log(f"A job's record was rejected: {reason}")
            except CiError as error:  # the jobs in the database can still be shown
                log(str(error))
        yield history
        if history.notice:
            log(history.notice)


def show(options: argparse.Namespace) -> int:
    """List the latest jobs; return ATTENTION if there is a regression."""
    from ..history import statistics

    # Read this first: the history is open with the rights of its owner, who may not read the file.
    given = _read(options.source) if options.source else None
    with open_history(options, writing=bool(options.source)) as history:
        imported = _import(history, options.source, given, options.job) if options.source else None
        jobs = history.jobs(options.since, options.job, _CONSIDERED)
    regressions = statistics.regressions(jobs, time.time())
    whole = statistics.summary(jobs)
    listed = jobs[: options.limit]
    if options.json:
        print_json(
            {
                **({} if imported is None else {"imported": imported}),
                "jobs": plain(listed),
                "summary": plain(whole),
                "regressions": plain(regressions),
            }
        )
    else:
        _print(listed, whole, regressions)
        if imported is not None:
            print_line(f"{imported} new entries imported from {options.source}")
    return ATTENTION if regressions else OK


def _print(jobs: Sequence[Job], whole: Summary, regressions: Sequence[Regression]) -> None:
    if not jobs:
        print_line("no job is recorded")
        return
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M", time.localtime(job.began)),
            _short(job.job),
            _short(job.instance),
            f"{job.run_id}/{job.run_attempt}",
            "running" if job.running else job.result or "unknown",
            duration(job.duration_seconds),
        )
        for job in jobs
    ]
    print_line(table(("BEGAN", "JOB", "RUNNER", "RUN", "RESULT", "TOOK"), rows))
    rate = "-" if whole.success_rate is None else f"{whole.success_rate:.0f} %"
    print_line(
        f"{count(whole.total, 'job')}, {rate} of {whole.judged} succeeded; half took at most "
        f"{duration(whole.p50_seconds)}, 90 % at most {duration(whole.p90_seconds)}"
    )
    for regression in regressions:
        print_line(f"{regression.level}: {regression.text}")


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def duration(seconds: float | None) -> str:
    """Return ``seconds`` in words for a person, "-" for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _import(history: History, source: str, whole: Any, job: str) -> int:
    """Add the content ``whole`` of the file ``source``; return the new entries' count.

    ``job`` names the job of a file that does not.
    """
    from ..history.jobs import RecordError
    from ..history.json_history import sums_of

    rows = whole.get("jobs") if isinstance(whole, dict) else whole
    try:
        if isinstance(rows, list):
            return history.add_hosted(rows)
        if isinstance(whole, dict):
            sums = sums_of(whole, job, source)
            history.add_sums(sums)
            return len(sums)
        raise RecordError("it is neither a list nor an object")
    except RecordError as error:
        raise CiError(
            f"{source} cannot be imported ({error}); give the jobs that github_jobs_info returned, or the "
            "JSON history of the older scripts."
        ) from error


def _read(source: str) -> Any:
    import json

    try:
        with open(source, "rb") as stream:
            text = stream.read(_MOST_IMPORT_BYTES + 1)
        if len(text) > _MOST_IMPORT_BYTES:
            raise ValueError(f"it is larger than {_MOST_IMPORT_BYTES} bytes")
        return json.loads(text)
    except OSError as error:
        raise CiError(
            f"{source} cannot be read ({error.strerror}); name a file with JSON that you may read."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CiError(f"{source} is not JSON ({error}); name a file with JSON.") from error
