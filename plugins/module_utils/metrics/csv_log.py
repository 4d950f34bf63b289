"""The CSV of samples, in the 19 columns that ColdVox's reports read.

An unknown value is 0.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from ..host.directories import open_regular
from ..host.flock import Flock
from .system import percent

MIB = 1024 * 1024
# The unit of /proc/diskstats, independently of the device's own sectors.
SECTOR_BYTES = 512

COLUMNS = (
    "timestamp",
    "load_avg",
    "memory_mb",
    "memory_available_mb",
    "disk_pct",
    "runner_cpu",
    "runner_mem",
    "network_rx",
    "network_tx",
    "disk_read",
    "disk_write",
    "cache_size_mb",
    "vosk_model_mb",
    "rust_cache_mb",
    "active_jobs",
    "workflow_id",
    "job_name",
    "run_attempt",
    "step_name",
)

# The last four columns: the variable that GitHub sets in a job, and the value outside of a job.
_JOB_COLUMNS = (
    ("GITHUB_RUN_ID", "unknown"),
    ("GITHUB_JOB", "unknown"),
    ("GITHUB_RUN_ATTEMPT", "1"),
    ("GITHUB_STEP", "unknown"),
)

# A name that begins so is a formula to a spreadsheet (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@")
_LONGEST_NAME = 200
# Rows are written in milliseconds; the service must send its watchdog message in time.
_PATIENCE_SECONDS = 5.0


class Rotation(NamedTuple):
    """The size at which a new CSV begins, and how many old ones are kept."""

    bytes: int = 4 * MIB
    kept: int = 7


def job_columns(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the last four columns by name, from the ``environment`` of a job.

    A job chooses its own name: formulas and line breaks in it are made harmless.
    """
    return {
        column: _disarmed(environment.get(name) or default)
        for column, (name, default) in zip(COLUMNS[-len(_JOB_COLUMNS) :], _JOB_COLUMNS)
    }


def _disarmed(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)[:_LONGEST_NAME]
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def row(sample: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Return ``sample`` as the values of COLUMNS.

    ``environment`` is that of the job, if there is one. disk_pct is what df(1) shows, which rounds up.
    runner_cpu and runner_mem are what ps(1) shows of the listeners, added up: percent of one core since their
    start, and of all memory. disk_read and disk_write count sectors of 512 bytes, as did
    the script from which the reports come.
    """
    used, free = sample["disk_used_bytes"] or 0, sample["disk_free_bytes"] or 0
    values: list[Any] = [
        str(sample["timestamp"]).replace("T", " ").rstrip("Z"),
        sample["load_1m"] or 0,
        _mib(sample["memory_used_bytes"]),
        _mib(sample["memory_available_bytes"]),
        -(-100 * used // (used + free)) if used else 0,
        round(_sum(sample, "listener_cpu_percent"), 1),
        percent(_sum(sample, "listener_memory_bytes"), sample["memory_total_bytes"] or 0),
        sample["network_rx_bytes"] or 0,
        sample["network_tx_bytes"] or 0,
        (sample["disk_read_bytes"] or 0) // SECTOR_BYTES,
        (sample["disk_written_bytes"] or 0) // SECTOR_BYTES,
        _mib(sample["store_bytes"]),
        _mib(sample["models_bytes"]),
        _mib(sample["rust_cache_bytes"]),
        sample["active_jobs"] or 0,
        *job_columns(environment).values(),
    ]
    return [str(value) for value in values]


def _mib(size: Optional[int]) -> int:
    return (size or 0) // MIB


def _sum(sample: Mapping[str, Any], key: str) -> float:
    return sum(instance[key] or 0 for instance in sample["instances"] or ())


def append(path: str, rows: Iterable[list[str]], rotation: Optional[Rotation] = None) -> None:
    """Append ``rows`` to the CSV at ``path``, with the header when the file is new.

    With ``rotation`` a file that is large enough becomes ``path.1`` first, ``path.1`` becomes ``path.2``, and
    the oldest is removed. A link at ``path`` is not followed, because other users may be able to write to the
    directory. Raises CiError when the file cannot be written; then it has none of the rows.
    """
    directory, name = os.path.split(path)
    # Not the CSV itself: every reader of that file could hold its lock.
    lock = Flock(os.path.join(directory, f".{name}.lock"), mode=0o600)
    try:
        _opened(path).close()  # an error names the CSV and not the lock
        lock.acquire(_PATIENCE_SECONDS)  # so that two samplers that start together write one header
        if rotation and os.stat(path).st_size >= rotation.bytes:
            _rotate(path, rotation.kept)
        with _opened(path) as file:
            _write(file, rows)
    except OSError as error:
        raise CiError(
            f"The samples could not be appended to '{path}' ({error.strerror}); "
            "give csv_path as a file in a directory that exists and is writable."
        ) from error
    finally:
        lock.release()


def _opened(path: str) -> io.FileIO:
    return io.FileIO(path, "a", opener=_open_no_link)


def _write(file: io.FileIO, rows: Iterable[list[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        writer.writerow(COLUMNS)
    writer.writerows(rows)
    data = text.getvalue().encode("utf-8", "replace")
    written = 0
    try:
        while written < len(data):
            written += file.write(data[written:]) or 0
    except OSError:
        # A full disk takes half a line, and the next line would follow without a break.
        os.ftruncate(file.fileno(), size)
        raise


def _rotate(path: str, kept: int) -> None:
    for number in range(kept - 1, -1, -1):
        older = f"{path}.{number}" if number else path
        try:
            os.replace(older, f"{path}.{number + 1}")
        except FileNotFoundError:
            continue


def read(path: str, since: str = "", *, foreign: bool = True) -> Iterator[dict[str, str]]:
    """Yield the rows of the CSV at ``path`` and its rotated files, oldest first.

    Each row is a dictionary by column. Rows earlier than ``since`` and lines that are not samples are left
    out. A ``foreign`` file is one that another user writes: then no link and no pipe is opened. Raises
    CiError when there is no file, or a file cannot be read.
    """
    number = 1
    while os.path.exists(f"{path}.{number}"):
        number += 1
    for older in range(number - 1, -1, -1):
        name = f"{path}.{older}" if older else path
        try:
            opener = open_regular if foreign else None
            with open(name, encoding="utf-8", errors="replace", newline="", opener=opener) as file:
                for line in csv.reader(file):
                    if len(line) == len(COLUMNS) and line[0][:1].isdigit() and line[0] >= since:
                        yield dict(zip(COLUMNS, line))
        except FileNotFoundError as error:
            if number == 1:
                raise CiError(
                    f"There are no samples at '{path}'; start the sampler, or give another file with --csv."
                ) from error
        except PermissionError as error:
            raise CiError(
                f"Cannot read the samples at '{name}' ({error.strerror}); run as root, or as a member of the "
                "group of its directory."
            ) from error
        except (OSError, csv.Error) as error:
            raise CiError(f"Cannot read the samples at '{name}' ({error}); remove the file.") from error


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)
