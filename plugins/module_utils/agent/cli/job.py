"""``runnerctl job``: the hooks that the runner calls before and after each job.

An error of the hooks never fails a job: the job's log and its record show it. Only a job that the owner of
the host has forbidden ends, with an exit code that nothing else has.
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
from .output import ATTENTION, OK, log, plain, print_json, print_line, require_root

if TYPE_CHECKING:
    import argparse

    from ..hooks.job import Job, Policy

    Options = Union[argparse.Namespace, SimpleNamespace]

#: EX_NOPERM of sysexits.h. The hook script ends the job on it.
REFUSED = 77


def hook_call(words: Sequence[str], defaults: Mapping[str, str]) -> Optional[SimpleNamespace]:
    """Return the parser's result if ``words`` is only a hook's name, else None."""
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
    hook.add_argument("--config", default=paths.config, help="directory of hooks.json")
    hook.add_argument("--store", default=paths.store, help="directory of the store")
    starting = commands.add_parser(
        "started",
        parents=[shared, hook],
        help="record the start of a job, and link its models",
        description="The runner's hook before a job. Exit code 77: the job must not run here.",
    )
    starting.set_defaults(perform=started)
    ending = commands.add_parser(
        "completed",
        parents=[shared, hook],
        help="record the end of a job, and clean up after it",
        description="The runner's hook after a job.",
    )
    ending.set_defaults(perform=completed)
    watching = commands.add_parser(
        "watch",
        parents=[shared],
        help="keep the machine awake while an instance's job runs, then clean up (as root)",
        description="Waits for the end of the job that INSTANCE runs, if any, and keeps this machine from "
        "sleeping meanwhile. Then it removes what the job could not remove: files of other users in the work "
        "directory. It reads the job's result from the listener's lines in the journal and leaves it for the "
        "history.",
    )
    watching.add_argument("instance", metavar="INSTANCE")
    watching.add_argument("--config", default=paths.config, help="directory of runner.json")
    watching.add_argument("--runners", default=paths.runners, help="directory of the instances")
    watching.set_defaults(perform=watch)
    preparing = commands.add_parser(
        "prepare",
        parents=[shared],
        help="make an instance ready for its next listener (as root)",
        description="Its unit calls this before each start. It creates the directory of the records. With "
        "github_runner_one_job it removes everything that the last job left, except what github_runner_keep "
        "names, restores the files of the registration, and waits if the last listeners ended without a job.",
    )
    preparing.add_argument("instance", metavar="INSTANCE")
    preparing.add_argument("--config", default=paths.config, help="directory of runner.json")
    preparing.add_argument("--runners", default=paths.runners, help="directory of the instances")
    preparing.set_defaults(perform=prepare)


def prepare(options: Options) -> int:
    """Make an instance ready for its next listener.

    Its unit calls this before each start.

    Without a spool jobs run unrecorded. With files of the last job, no listener starts.
    """
    from ...runner.fresh_start import read_settings
    from ...runner.layout import check_name
    from ..heal.prepare import prepare as perform
    from ..hooks.spool import prepare as prepare_spool

    require_root("prepare an instance, as its unit does before each start")
    name, path = check_name(options.instance), None
    try:
        path = prepare_spool(options.run, name)
    except OSError as error:
        log(
            f"The jobs of {name} have no records, because {error.filename} cannot be made "
            f"({error.strerror}); converge the host with the role agent."
        )
    fresh = perform(options.runners, name, read_settings(options.config), log)
    if options.json:
        print_json({"path": path, "fresh": plain(fresh)})
    return OK


def watch(options: Options) -> int:
    """Watch the jobs of an instance, and remove the files that they leave."""
    from ...runner.fresh_start import read_settings
    from ...runner.layout import check_name
    from ..heal.watch import watch as perform

    require_root("watch the jobs of an instance")
    one_job = read_settings(options.config).one_job
    cleaned = perform(options.runners, options.run, check_name(options.instance), log, one_job=one_job)
    if options.json:
        print_json({"cleaned": plain(cleaned)})
    elif cleaned and cleaned.swept.removed:
        print_line(
            f"{options.instance}: removed {cleaned.swept.removed} files and directories of a job "
            f"({size(cleaned.swept.freed_bytes)}), {cleaned.foreign} of them of other users"
        )
    return ATTENTION if cleaned and cleaned.swept.left else OK


class _Problems(list[str]):
    """Sentences about errors of the hook, for the job's log and for its record."""

    @contextlib.contextmanager
    def collect(self, doing: str, remedy: str) -> Iterator[None]:
        """Add the error of the block instead of raising it.

        An OSError becomes the sentence "``doing`` failed ...; ``remedy``.".
        """
        try:
            yield
        except CiError as error:
            self.append(str(error))
        except OSError as error:
            where = f" at {error.filename}" if error.filename else ""
            self.append(f"{doing} failed{where} ({error.strerror or error}); {remedy}.")


def started(options: Options) -> int:
    """Record the job, link its models, and refuse a job that must not run here."""
    from ..hooks import job as hook
    from ..hooks.work import StartNote, event_payload, leave_note

    job, at, problems = hook.job_of(os.environ), time.time(), _Problems()
    note = StartNote(int(at * 1000), hook.read_usage())
    policy = _policy(options.config, problems)
    refusal = hook.fork_refusal(job, event_payload(job)) if policy.refuse_forks else ""
    with problems.collect("Keeping the note of the start", f"make {job.temp} writable for jobs"):
        leave_note(job, note)
    linked = [] if refusal else _link(options, job, policy, problems)
    text = " ".join([*([refusal] if refusal else []), *problems])
    record = hook.record(job, "started", at, **({"note": text} if text else {}))
    _hand_over(options, job, note.number, record, problems)
    _print(options, {**record, "linked": linked, "refused": refusal or None}, problems)
    if refusal:
        print_line(hook.annotation(refusal, "error"))
        return REFUSED
    return OK


def completed(options: Options) -> int:
    """Record the end of the job and its use, and clean up for the next job."""
    from ..hooks import job as hook
    from ..hooks.work import clean, read_note

    job, at, problems = hook.job_of(os.environ), time.time(), _Problems()
    note = read_note(job)
    used = hook.used_between(note.usage, hook.read_usage()) if note else hook.Usage()
    freed = None
    if _policy(options.config, problems).clean_workspace:
        with problems.collect("Cleaning the workspace", "remove the files of the job in its last step"):
            swept = clean(job)
            freed = swept.freed_bytes
            if swept.left:
                # Not a problem of the job: root removes them as soon as the job is over.
                print_line(f"{swept.left} files of the job are left; root removes them when it is over.")
    record = hook.record(
        job,
        "completed",
        at,
        cpu_seconds=used.cpu_seconds,
        peak_memory_bytes=used.peak_memory_bytes,
        workspace_bytes_freed=freed,
        **({"note": " ".join(problems)} if problems else {}),
    )
    _hand_over(options, job, note.number if note else int(at * 1000), record, problems)
    _print(options, record, problems)
    return OK


def _policy(directory: str, problems: _Problems) -> Policy:
    from ..hooks.job import Policy, read_policy

    with problems.collect("Reading the policy", "converge the host with the role agent"):
        return read_policy(directory)
    return Policy()


def _link(options: Options, job: Job, policy: Policy, problems: _Problems) -> list[str]:
    from ..hooks.work import link_models, models_directory, set_variable

    linked: list[str] = []
    with problems.collect("Linking the models", "run 'runnerctl cache link' in a step"):
        linked, failed = link_models(job, options.store, policy.models)
        problems.extend(failed)
    if linked and os.environ.get("GITHUB_ENV"):
        with problems.collect("Setting COLDVOX_MODELS_DIR", f"use {models_directory(job)}"):
            set_variable(os.environ["GITHUB_ENV"], "COLDVOX_MODELS_DIR", models_directory(job))
    return linked


def _hand_over(
    options: Options, job: Job, number: int, record: Mapping[str, Any], problems: _Problems
) -> None:
    from ..hooks.job import record_name
    from ..hooks.spool import put_record

    with problems.collect("Recording the job", "restart the runner's unit"):
        put_record(options.run, job.instance, record_name(job, number, str(record["event"])), record)


def _print(options: Options, record: Mapping[str, Any], problems: _Problems) -> None:
    from ..hooks.job import annotation

    if options.json:
        print_json({**record, "problems": list(problems)})
    for problem in problems:
        print_line(annotation(problem))
