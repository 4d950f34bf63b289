"""``runnerctl job``: what the runner calls before and after each job.

A trouble of our own never fails a job: it is told in the job's log and in the record. Only what the host's
owner has ruled out ends a job, by an exit code that nothing else has.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional, Union

from ...errors import CiError
from ...host.paths import paths_of
from ...host.sizes import size
from .output import ATTENTION, OK, plain, put, put_json, say

if TYPE_CHECKING:
    import argparse

    from ..hooks.job import Job, Policy

    Options = Union[argparse.Namespace, SimpleNamespace]

#: As in sysexits.h for a right that is missing; the hook script turns it into the end of the job.
REFUSED = 77


def hook_call(words: Sequence[str], defaults: Mapping[str, str]) -> Optional[SimpleNamespace]:
    """Return what the parser would for ``words``, when they are but the name of a hook; None for others."""
    hooks = {"started": started, "completed": completed}
    if len(words) != 1 or words[0] not in hooks:
        return None
    paths = paths_of(defaults)
    return SimpleNamespace(
        perform=hooks[words[0]], json=False, run=paths.run, config=paths.config, store=paths.store
    )


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    import argparse

    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    paths = paths_of(defaults)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument("--run", default=paths.run, help="directory of records")
    hook = argparse.ArgumentParser(add_help=False)
    hook.add_argument("--config", default=paths.config, help="has hooks.json")
    hook.add_argument("--store", default=paths.store, help="the store")
    starting = commands.add_parser(
        "started",
        parents=[shared, hook],
        help="record the job that begins, and link its models",
        description="The runner's hook before a job. Exit code 77: the job must not run here.",
    )
    starting.set_defaults(perform=started)
    ending = commands.add_parser(
        "completed",
        parents=[shared, hook],
        help="record the job that ends, and clean up after it",
        description="The runner's hook after a job.",
    )
    ending.set_defaults(perform=completed)
    watching = commands.add_parser(
        "watch",
        parents=[shared],
        help="keep the machine awake while an instance's job runs, then clean up (as root)",
        description="Waits for the end of the job that INSTANCE runs, if any, and keeps this machine from "
        "falling asleep meanwhile. Then it removes what the job could not: files of other users in the work "
        "directory. It lets the history know how the job ended, which the listener says in the journal.",
    )
    watching.add_argument("instance", metavar="INSTANCE")
    watching.add_argument(
        "--runners",
        default=paths.runners,
        help="directory of the instances",
    )
    watching.set_defaults(perform=watch)
    preparing = commands.add_parser(
        "prepare", parents=[shared], help="make the directory of an instance's records (as root)"
    )
    preparing.add_argument("instance", metavar="INSTANCE")
    preparing.set_defaults(perform=prepare)


def prepare(options: Options) -> int:
    """Make the spool of an instance; its unit calls this before each start."""
    from ..hooks.spool import prepare as perform

    path = perform(options.run, options.instance)
    if options.json:
        put_json({"path": path})
    else:
        put(path)
    return OK


def watch(options: Options) -> int:
    """Stay by the job of an instance, and remove what it left."""
    from ...runner.layout import check_name
    from ..heal.watch import watch as perform

    cleaned = perform(options.runners, options.run, check_name(options.instance), say)
    if options.json:
        put_json({"cleaned": plain(cleaned)})
    elif cleaned and cleaned.swept.removed:
        put(
            f"{options.instance}: removed {cleaned.swept.removed} things that a job left "
            f"({size(cleaned.swept.freed_bytes)}), {cleaned.foreign} of them of other users"
        )
    return ATTENTION if cleaned and cleaned.swept.left else OK


class _Troubles(list[str]):
    """Sentences about what failed here, for the job's log and for its record."""

    @contextlib.contextmanager
    def noted(self, doing: str) -> Iterator[None]:
        """Take what goes wrong inside for a trouble, told as one of ``doing``."""
        try:
            yield
        except CiError as error:
            self.append(str(error))
        except OSError as error:
            where = f" at {error.filename}" if error.filename else ""
            self.append(f"{doing} failed{where}: {error.strerror or error}.")


def started(options: Options) -> int:
    """Record the job, link its models, and refuse what must not run here."""
    from ..hooks import job as pure
    from ..hooks.job import read_usage
    from ..hooks.work import Beginning, event_payload, leave_note

    job, at, troubles = pure.job_of(os.environ), time.time(), _Troubles()
    beginning = Beginning(int(at * 1000), read_usage())
    policy = _policy(options.config, troubles)
    refusal = pure.fork_refusal(job, event_payload(job)) if policy.refuse_forks else ""
    with troubles.noted("noting the beginning"):
        leave_note(job, beginning)
    linked = [] if refusal else _link(options, job, policy, troubles)
    note = " ".join([*([refusal] if refusal else []), *troubles])
    record = pure.record(job, "started", at, **({"note": note} if note else {}))
    _hand_over(options, job, beginning.number, record, troubles)
    _tell(options, {**record, "linked": linked, "refused": refusal or None}, troubles)
    if refusal:
        put(pure.annotation(refusal, "error"))
        return REFUSED
    return OK


def completed(options: Options) -> int:
    """Record the job's end and use, and leave nothing of it to the next."""
    from ..hooks import job as pure
    from ..hooks.job import Usage, read_usage, used_between
    from ..hooks.work import clean, find_note

    job, at, troubles = pure.job_of(os.environ), time.time(), _Troubles()
    beginning = find_note(job)
    used = used_between(beginning.usage, read_usage()) if beginning else Usage()
    freed = None
    if _policy(options.config, troubles).clean_workspace:
        with troubles.noted("cleaning the workspace"):
            swept = clean(job)
            freed = swept.freed_bytes
            if swept.left:
                # Not a trouble of the job's: root removes it as soon as the job is over.
                put(f"{swept.left} things that the job left are removed when it is over.")
    record = pure.record(
        job,
        "completed",
        at,
        cpu_seconds=used.cpu_seconds,
        peak_memory_bytes=used.peak_memory_bytes,
        workspace_bytes_freed=freed,
        **({"note": " ".join(troubles)} if troubles else {}),
    )
    _hand_over(options, job, beginning.number if beginning else int(at * 1000), record, troubles)
    _tell(options, record, troubles)
    return OK


def _policy(directory: str, troubles: _Troubles) -> Policy:
    from ..hooks.job import Policy, read_policy

    with troubles.noted("reading the policy"):
        return read_policy(directory)
    return Policy()


def _link(options: Options, job: Job, policy: Policy, troubles: _Troubles) -> list[str]:
    from ..hooks.work import link_models, models_directory, tell_steps

    linked: list[str] = []
    with troubles.noted("linking the models"):
        linked, problems = link_models(job, options.store, policy.models)
        troubles.extend(problems)
    if linked and os.environ.get("GITHUB_ENV"):
        with troubles.noted("telling the steps where the models are"):
            tell_steps(os.environ["GITHUB_ENV"], "COLDVOX_MODELS_DIR", models_directory(job))
    return linked


def _hand_over(
    options: Options, job: Job, number: int, record: Mapping[str, Any], troubles: _Troubles
) -> None:
    from ..hooks.job import record_name
    from ..hooks.spool import put_record

    with troubles.noted("recording the job"):
        put_record(options.run, job.instance, record_name(job, number, str(record["event"])), record)


def _tell(options: Options, record: Mapping[str, Any], troubles: _Troubles) -> None:
    from ..hooks.job import annotation

    if options.json:
        put_json({**record, "troubles": list(troubles)})
    for trouble in troubles:
        put(annotation(trouble))
