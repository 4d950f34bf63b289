"""The sampler service: every few seconds a sample, for people, reports, Prometheus and the health.

Alerts while sampling: once when something begins, once when it is over. Pure.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional

from ..errors import CiError
from ..host.directories import read_json
from ..host.durable import replace_file
from ..host.paths import Paths
from ..host.systemd import Notifier
from ..metrics import csv_log, prometheus
from ..metrics.sample import Sample, Series

MB = 1024 * 1024
# Source: ColdVox's own monitor. Comparisons are strict; memory as free -m counts it.
LIMITS = (
    ("load_1m", 8.0, 1, "load over one minute", ""),
    ("memory_used_bytes", 25000 * MB, MB, "memory in use", " MB"),
)
# A load that swings around its limit is one episode: over is what stayed below for a minute of samples.
CALM_SAMPLES = 12


class Message(NamedTuple):
    """One line for the journal; ``begins`` false says that it is over."""

    begins: bool
    text: str


class Episodes:
    """Remembers which limit is passed at the moment."""

    def __init__(self) -> None:
        self._calm: dict[str, int] = {}

    def step(self, sample: Mapping[str, Any]) -> list[Message]:
        """Return what is to be said of ``sample``; what is null neither begins nor ends anything."""
        said = []
        for key, limit, unit, words, suffix in LIMITS:
            value = sample.get(key)
            if value is None:
                continue
            shown, bound = f"{value / unit:g}{suffix}", f"{limit / unit:g}{suffix}"
            if value > limit:
                if key not in self._calm:
                    said.append(Message(True, f"{words} is {shown}, above {bound}"))
                self._calm[key] = 0
            elif key in self._calm:
                self._calm[key] += 1
                if self._calm[key] >= CALM_SAMPLES:
                    del self._calm[key]
                    said.append(Message(False, f"{words} is {shown} again, no longer above {bound}"))
        return said


_HISTORY_EVERY_SECONDS = 60.0
# syslog(3) levels as systemd reads them at the beginning of a line: sd-daemon(3).
WARNING, NOTICE = "<4>", "<5>"


class Journal:
    """Says what goes wrong once, and again when it went well in between: a full disk fills no journal."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._wrong: dict[str, str] = {}

    def say(self, level: str, text: str) -> None:
        self._write(f"{level}{text}")

    def attempt(self, name: str, work: Callable[[], None]) -> None:
        """Do ``work``; what it cannot do is said, and nothing else depends on it."""
        try:
            work()
        except (CiError, OSError) as error:
            if self._wrong.get(name) != str(error):
                self._wrong[name] = str(error)
                self.say(WARNING, f"{name}: {error}")
        else:
            if self._wrong.pop(name, None):
                self.say(NOTICE, f"{name}: works again")


class Sampler:
    """Takes samples and gives them to everybody who reads them."""

    def __init__(
        self,
        series: Series,
        paths: Paths,
        journal: Journal,
        ingest: Optional[Callable[[], None]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._series = series
        self._paths = paths
        self._journal = journal
        self._ingest = ingest
        self._clock = clock
        self._next_ingest = clock()
        self._episodes = Episodes()

    def tick(self) -> Sample:
        """Take one sample and publish it."""
        sample = self._series.take()
        attempt, paths = self._journal.attempt, self._paths
        attempt("sample.json", lambda: _put(paths.sample, json.dumps(sample) + "\n"))
        rows = [csv_log.row(sample, {})]
        attempt("samples.csv", lambda: csv_log.append(paths.samples, rows, csv_log.Rotation()))
        attempt(
            "Prometheus",
            lambda: _put(paths.prometheus, prometheus.text(sample, read_json(paths.health) or {})),
        )
        for message in self._episodes.step(sample):
            self._journal.say(WARNING if message.begins else NOTICE, message.text)
        if self._ingest and self._clock() >= self._next_ingest:
            self._next_ingest = self._clock() + _HISTORY_EVERY_SECONDS
            attempt("history", self._ingest)
        return sample


def serve(
    sampler: Sampler,
    interval_seconds: float,
    notifier: Notifier,
    wait: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Sample until ``wait`` (seconds) returns true; at a fixed rate, and after a sleep not all at once."""
    due = clock()
    ready = False
    while True:
        sample = sampler.tick()
        notifier.send(*(() if ready else ("READY=1",)), "WATCHDOG=1", f"STATUS={status_line(sample)}")
        ready = True
        due = max(due + interval_seconds, clock())
        if wait(due - clock()):
            notifier.send("STOPPING=1")
            return


def status_line(sample: Mapping[str, Any]) -> str:
    """Return what ``systemctl status`` shows of the last sample."""
    load, memory = sample["load_1m"], sample["memory_used_percent"]
    return f"load {load}, memory {memory} %, {sample['active_jobs']} jobs at {sample['timestamp']}"


def fresh_sample(paths: Paths, most_seconds: float, now: float) -> Optional[Sample]:
    """Return the sampler's latest sample unless it is older than ``most_seconds`` at ``now`` (wall clock)."""
    try:
        age = now - os.stat(paths.sample).st_mtime
    except OSError:
        return None
    sample = read_json(paths.sample) if 0 <= age <= most_seconds else None
    return sample if sample and "timestamp" in sample else None


def _put(path: str, text: str) -> None:
    try:
        replace_file(path, text, durable=False)
    except OSError as error:
        # Without the name of the temporary file, which is another each time.
        raise CiError(f"'{path}' cannot be written ({error.strerror}).") from error
