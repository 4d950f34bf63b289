"""The steps of the two hooks, each of which may fail without the others; all as the job's account."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Callable, NamedTuple, Optional

from ...errors import CiError
from ...host import sweep
from ...host.directories import read_json
from ...host.durable import replace_file
from .job import Job, Usage

# What the runner itself still needs after the last hook; then it empties the directory itself.
_RUNNERS_OWN = frozenset(["_runner_file_commands", "_github_workflow", "_github_home"])
_NOTE = "_coldvox_job.json"
# Far below the script's own limit; what takes longer is finished by root, when the job is over.
_CLEANING_SECONDS = 20.0
# A model that is being repaired: the job finds no link then, and no build waits for it here.
_MODEL_PATIENCE_SECONDS = 5.0


class Beginning(NamedTuple):
    """What the first hook leaves for the last: the number of the records, and the unit's use so far."""

    number: int
    usage: Usage


def leave_note(job: Job, beginning: Beginning) -> None:
    """Keep ``beginning`` until the job's end."""
    data = {"number": beginning.number, **beginning.usage._asdict()}
    replace_file(os.path.join(job.temp, _NOTE), json.dumps(data), durable=False)


def find_note(job: Job) -> Optional[Beginning]:
    """Return what ``leave_note`` kept, None when the job took it away or spoilt it."""
    data = read_json(os.path.join(job.temp, _NOTE)) or {}
    number, cpu, peak = (data.get(key) for key in ("number", "cpu_seconds", "peak_memory_bytes"))
    if not isinstance(number, int):
        return None
    usage = Usage(
        float(cpu) if isinstance(cpu, (int, float)) else None, peak if isinstance(peak, int) else None
    )
    return Beginning(number, usage)


def event_payload(job: Job) -> Optional[dict[str, Any]]:
    """Return what GitHub sent with the event, None when it cannot be read."""
    try:
        with open(job.event_path, encoding="utf-8") as stream:
            data = json.load(stream)
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def link_models(job: Job, store: str, names: Optional[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    """Hold the models ``names`` (None: all models) of ``store`` until the job's end and link to them.

    The links are in ``models`` below RUNNER_TEMP, because actions/checkout empties the workspace. Returns
    what was linked, and a sentence for each that was not.
    """
    from ...host.process import hold_until, job_process
    from ...store import links, use
    from ...store.index import Index
    from ...store.layout import Layout

    layout = Layout(store)
    if names is None:
        refs = Index(layout).refs() if layout.exists() else {}
        names = tuple(name for name, ref in refs.items() if ref.kind == "model")
    linked, problems, locks = [], [], []
    for name in names:
        try:
            taken = use.take(layout, name, _MODEL_PATIENCE_SECONDS)
            links.swap(os.path.join(models_directory(job), name), taken.path, durable=False)
        except (CiError, OSError) as error:
            problems.append(str(error))
            continue
        linked.append(name)
        locks.append(taken.lock.fileno())
    if locks:
        hold_until(job_process(os.getppid()).pid, locks)
    return linked, problems


def models_directory(job: Job) -> str:
    """Return the directory of the links."""
    return os.path.join(job.temp, "models")


def tell_steps(environment_file: str, name: str, value: str) -> None:
    """Let the job's steps find ``value`` as the variable ``name``."""
    with open(environment_file, "a", encoding="utf-8") as stream:
        stream.write(f"{name}={value}\n")


def clean(job: Job, now: Callable[[], float] = time.monotonic) -> sweep.Swept:
    """Leave the next job an empty workspace and an empty temporary directory; return what went.

    Raises CiError when the workspace does not lie where the runner makes it.
    """
    repository, name = os.path.split(job.workspace)
    if not job.temp.startswith("/") or os.path.dirname(repository) != job.work_dir or name in ("", ".", ".."):
        raise CiError(
            f"the workspace '{job.workspace}' is not cleaned, because it does not lie two levels below the "
            f"runner's work directory '{job.work_dir}'."
        )
    deadline = now() + _CLEANING_SECONDS
    with contextlib.ExitStack() as opened:

        def kept(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        os.chdir("/")
        work = kept(sweep.open_directory(job.work_dir))
        trash = kept(sweep.open_trash(work))
        with contextlib.suppress(FileNotFoundError):
            above = kept(sweep.open_directory(repository))
            if sweep.discard(above, name, trash):
                os.mkdir(name, 0o755, dir_fd=above)
        with contextlib.suppress(FileNotFoundError):
            sweep.discard_all(kept(sweep.open_directory(job.temp)), trash, _RUNNERS_OWN)
        return sweep.empty(trash, lambda: now() > deadline)
