"""Input of the report: reads the history, the samples and the store of this host."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator, Mapping
from typing import Optional

from ...host.config import Config, read_config
from ...host.directories import open_regular
from ...host.paths import paths_of
from ...store.index import Index
from ...store.layout import Layout
from ..history.database import MOST_JOBS
from ..history.statistics import DAY_SECONDS
from .curve import Curve
from .figures import Figures, Period, figures
from .goals import Policy
from .sources import Sources, read_jobs

# GitHub ends a job of a self-hosted runner after five days, so a job that ended in the period began at most
# five days before it.
_LONGEST_JOB_SECONDS = 5 * DAY_SECONDS


def read_figures(places: Mapping[str, str], days: int, policy: Policy) -> Figures:
    """Return this host's figures for the last ``days``; ``places`` are directories.

    A source that is missing, damaged or not readable for this user raises nothing; ``unknown`` names it.
    """
    paths = paths_of(places)
    now = time.time()
    offset = time.localtime(now).tm_gmtoff
    # Whole days of the host's calendar, so that no bar of a chart shows half a day.
    begins_at = (now + offset) // DAY_SECONDS * DAY_SECONDS - offset - (days - 1) * DAY_SECONDS
    period = Period(begins_at, now, offset)
    sources = Sources()
    config = sources.read("settings", lambda: read_config(paths.config)) or Config()
    since = begins_at - _LONGEST_JOB_SECONDS
    return figures(
        config.host or os.uname().nodename,
        period,
        sources.read("jobs", lambda: read_jobs(paths.history, since, MOST_JOBS)),
        sources.read("samples", lambda: _curve(paths.samples, period, config)),
        policy,
        sources.read("models", lambda: _model_seconds(Layout(paths.store))),
        sources.unknown,
    )


def _curve(newest: str, period: Period, config: Config) -> Curve:
    curve = Curve(
        period.begins_at, period.ends_at, utc_offset_seconds=period.utc_offset_seconds, policy=config.policy
    )
    for path in _samples(newest):
        # The curve leaves out a line that was cut off, like every damaged line.
        with open(path, encoding="utf-8", errors="replace", newline="", opener=open_regular) as stream:
            curve.add(csv.reader(stream))
    return curve


def _samples(newest: str) -> Iterator[str]:
    """Yield the paths of the sampler's files, with those that were set aside."""
    directory, first = os.path.split(newest)
    names = sorted(name for name in os.listdir(directory) if name.startswith(first))
    if not names:
        raise FileNotFoundError(2, "no samples", newest)
    yield from (os.path.join(directory, name) for name in names)


def _model_seconds(layout: Layout) -> Optional[float]:
    """Return the seconds that the check of the slowest model takes; None without one.

    Measured here by running the check, which is the same for every job and changes nothing.
    """
    records = Index(layout)
    slowest = None
    for ref in records.refs().values():
        if ref.kind == "model":
            begun = time.perf_counter()
            records.condition(ref.sha256, full=False)
            slowest = max(slowest or 0.0, time.perf_counter() - begun)
    return slowest
