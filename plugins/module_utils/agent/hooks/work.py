"""The steps of the two hooks. Each may fail without the others."""

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

# The runner still needs these after the last hook. It removes them itself.
_RUNNERS_OWN = frozenset(["_runner_file_commands", "_github_workflow", "_github_home"])
_NOTE = "_coldvox_job.json"
# Far below the script's own limit. Root removes the rest when the job is over.
_CLEANING_SECONDS = 20.0
# A repair may hold a model longer. The job then gets no link, so that no build waits here.
_MODEL_PATIENCE_SECONDS = 5.0


class StartNote(NamedTuple):
    """A note of the first hook for the last: the records' number, and the unit's use."""

    number: int
    usage: Usage


def leave_note(job: Job, note: StartNote) -> None:
    """Keep ``note`` until the job's end."""
    data = {"number": note.number, **note.usage._asdict()}
    replace_file(os.path.join(job.temp, _NOTE), json.dumps(data), durable=False)


def read_note(job: Job) -> Optional[StartNote]:
    """Return the note of ``leave_note``, None if the job removed or damaged it."""
    data = read_json(os.path.join(job.temp, _NOTE)) or {}
    number, cpu, peak = (data.get(key) for key in ("number", "cpu_seconds", "peak_memory_bytes"))
    if not isinstance(number, int):
        return None
    usage = Usage(
        float(cpu) if isinstance(cpu, (int, float)) else None, peak if isinstance(peak, int) else None
    )
    return StartNote(number, usage)


def event_payload(job: Job) -> Optional[dict[str, Any]]:
    """Return the payload of the job's event, None when it cannot be read."""
    try:
        with open(job.event_path, encoding="utf-8") as stream:
            data = json.load(stream)
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def link_models(job: Job, store: str, names: Optional[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    """Hold the models ``names`` (None: all) until the job's end, and link to them.

    The links are in ``models`` below RUNNER_TEMP, because actions/checkout empties the workspace. Returns the
    linked names, and a sentence for each model without a link.
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


def set_variable(environment_file: str, name: str, value: str) -> None:
    """Set the environment variable ``name`` for the job's later steps."""
    with open(environment_file, "a", encoding="utf-8") as stream:
        stream.write(f"{name}={value}\n")


def clean(job: Job, now: Callable[[], float] = time.monotonic) -> sweep.Swept:
    """Empty the workspace and the temporary directory for the next job.

    Raises CiError for a workspace at another place than where the runner creates it.
    """
    repository, name = os.path.split(job.workspace)
    if not job.temp.startswith("/") or os.path.dirname(repository) != job.work_dir or name in ("", ".", ".."):
        raise CiError(
            f"The workspace '{job.workspace}' is not cleaned, because it is not two levels below the "
            f"runner's work directory '{job.work_dir}'; do not change GITHUB_WORKSPACE and RUNNER_TEMP."
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
            parent = kept(sweep.open_directory(repository))
            if sweep.discard(parent, name, trash):
                os.mkdir(name, 0o755, dir_fd=parent)
        with contextlib.suppress(FileNotFoundError):
            sweep.discard_all(kept(sweep.open_directory(job.temp)), trash, _RUNNERS_OWN)
        return sweep.empty(trash, lambda: now() > deadline)
