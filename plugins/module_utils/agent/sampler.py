"""The sampler service: a sample every few seconds for all its readers.

Readers are people, reports, Prometheus and the health check. It also writes an alert to the journal when a
limit is passed, and when that is over.
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
# Source: ColdVox's own monitor. Comparisons are strict; memory is counted as in free -m.
LIMITS = (
    ("load_1m", 8.0, 1, "load over one minute", ""),
    ("memory_used_bytes", 25000 * MB, MB, "memory in use", " MB"),
)
# A load that swings around its limit is one alert: it ends after a minute of samples below the limit.
CALM_SAMPLES = 12


class Message(NamedTuple):
    """One line for the journal; ``begins`` is false when the alert is over."""

    begins: bool
    text: str


class Alerts:
    """The limits that are passed at the moment."""

    def __init__(self) -> None:
        self._calm: dict[str, int] = {}

    def step(self, sample: Mapping[str, Any]) -> list[Message]:
        """Return the messages after ``sample``.

        A null value neither begins nor ends an alert.
        """
        messages = []
        for key, limit, unit, words, suffix in LIMITS:
            value = sample.get(key)
            if value is None:
                continue
            shown, bound = f"{value / unit:g}{suffix}", f"{limit / unit:g}{suffix}"
            if value > limit:
                if key not in self._calm:
                    messages.append(Message(True, f"{words} is {shown}, above {bound}"))
                self._calm[key] = 0
            elif key in self._calm:
                self._calm[key] += 1
                if self._calm[key] >= CALM_SAMPLES:
                    del self._calm[key]
                    messages.append(Message(False, f"{words} is {shown} again, no longer above {bound}"))
        return messages


_HISTORY_EVERY_SECONDS = 60.0
# syslog(3) levels as systemd reads them at the beginning of a line: sd-daemon(3).
WARNING, NOTICE = "<4>", "<5>"


class Journal:
    """Log an error once until it is over or changes.

    Otherwise a full disk would fill the journal too.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._wrong: dict[str, str] = {}

    def say(self, level: str, text: str) -> None:
        """Write one line at ``level``."""
        self._write(f"{level}{text}")

    def attempt(self, name: str, work: Callable[[], None]) -> None:
        """Do ``work``; log an error, and log when it works again."""
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
    """Takes samples and writes them to the files of all readers."""

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
        self._alerts = Alerts()

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
        for message in self._alerts.step(sample):
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
    """Sample at a fixed rate until ``wait`` (seconds) returns true.

    After a sleep of the machine the missed samples are not made up for.
    """
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
    """Return the line about the last sample that ``systemctl status`` shows."""
    load, memory = sample["load_1m"], sample["memory_used_percent"]
    return f"load {load}, memory {memory} %, {sample['active_jobs']} jobs at {sample['timestamp']}"


def fresh_sample(paths: Paths, most_seconds: float, now: float) -> Optional[Sample]:
    """Return the sampler's latest sample, None if older than ``most_seconds``.

    ``now`` is the time in seconds since the epoch.
    """
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
        # Without the name of the temporary file: it differs each time, and each new text would be logged.
        raise CiError(
            f"Cannot write '{path}' ({error.strerror}); check its directory and the disk."
        ) from error
