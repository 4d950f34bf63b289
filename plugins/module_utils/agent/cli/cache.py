"""``runnerctl cache``: list, check and clean the store, and link models for jobs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...errors import CiError
from ...host.flock import Flock
from ...host.process import Process, hold_until, job_process, parent_of
from ...host.sizes import size
from ...store.layout import DEFAULT_STORE, Layout
from .output import ATTENTION, CRITICAL, OK, log, plain, print_json, print_line, table

if TYPE_CHECKING:
    from ...store.describe import ActiveDownload


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument(
        "--store", default=defaults.get("store", DEFAULT_STORE), help="directory of the store"
    )
    listing = commands.add_parser("list", parents=[shared], help="list artifacts, their users and downloads")
    listing.set_defaults(perform=show)
    verifying = commands.add_parser("verify", parents=[shared], help="compare the trees with their receipts")
    verifying.add_argument("--full", action="store_true", help="read every byte")
    verifying.add_argument("--repair", action="store_true", help="download damaged trees again (as root)")
    verifying.set_defaults(perform=verify)
    collecting = commands.add_parser("collect", parents=[shared], help="free space (as root)")
    collecting.add_argument("--keep-bytes", metavar="N", type=int, default=0, help="most bytes to keep")
    collecting.add_argument(
        "--max-unused-days", metavar="N", type=float, default=0, help="remove trees unused for longer"
    )
    collecting.add_argument(
        "--min-free-percent",
        metavar="N",
        type=float,
        default=0,
        help="least free space of the disk afterwards",
    )
    collecting.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    collecting.set_defaults(perform=collect)
    linking = commands.add_parser(
        "link",
        parents=[shared],
        help="hold a model for a job, and link to it",
        usage="runnerctl cache link NAME [--into DIR] [--hold-pid PID] [--json] [-- COMMAND...]",
        description="Holds NAME until COMMAND and all its children have ended. Without COMMAND it holds NAME "
        "until the job's Runner.Worker ends, outside of jobs the calling process (or PID). Prints the path.",
    )
    linking.add_argument("name", metavar="NAME")
    linking.add_argument("--into", metavar="DIR", help="create a link NAME in this directory")
    linking.add_argument("--hold-pid", metavar="PID", type=int, help="hold until this process ends")
    linking.set_defaults(perform=link)


def show(options: argparse.Namespace) -> int:
    """List the store; return ATTENTION if the process of a download is gone."""
    from ...store.describe import active_downloads, describe

    layout = _existing(options)
    whole = describe(layout.root)
    downloads = active_downloads(layout)
    code = OK if all(download.alive for download in downloads) else ATTENTION
    if options.json:
        print_json({**whole._asdict(), "downloads": [download._asdict() for download in downloads]})
        return code
    rows = [
        (
            artifact["name"],
            artifact["kind"],
            size(artifact["bytes"]),
            artifact["last_used"] or "never",
            artifact["sha256"][:12],
            ", ".join(filter(None, ("pinned" if artifact["pinned"] else "", artifact["in_use"]))),
        )
        for artifact in whole.artifacts
    ]
    print_line(table(("NAME", "KIND", "SIZE", "LAST USED", "SHA256", ""), rows))
    print_line(f"{size(whole.total_bytes)} in {layout.root}, {size(whole.disk_free_bytes)} free")
    for download in downloads:
        print_line(_progress(download))
    return code


def _existing(options: argparse.Namespace) -> Layout:
    layout = Layout(options.store)
    if not layout.exists():
        raise CiError(
            f"There is no store at {layout.root}; converge the host, or name another store with --store."
        )
    return layout


def verify(options: argparse.Namespace) -> int:
    """Compare the trees with their receipts.

    Returns CRITICAL while a tree stays damaged, ATTENTION after a repair or with warnings.
    """
    from ...store import verify as store

    def report(_sha256: str, number: int, count: int) -> None:
        if options.full:
            log(f"reading tree {number} of {count}")

    done = store.verify(_existing(options).root, full=options.full, repair=options.repair, report=report)
    if options.json:
        print_json(plain(done))
    else:
        for bad in done.corrupt:
            print_line(
                f"{', '.join(bad.names) or bad.sha256}: {bad.problem}; {bad.outcome} {bad.detail}".rstrip()
            )
        print_line(f"{len(done.sound)} sound, {len(done.corrupt)} damaged, {size(done.total_bytes)}")
        for warning in done.warnings:
            log(warning)
    if any(bad.outcome in (store.FOUND, store.KEPT) for bad in done.corrupt):
        return CRITICAL
    return ATTENTION if done.corrupt or done.warnings else OK


def collect(options: argparse.Namespace) -> int:
    """Remove the least recently used artifacts until the limits are met."""
    from ...store.collect import Policy
    from ...store.collect import collect as perform

    policy = Policy(options.keep_bytes, options.max_unused_days, options.min_free_percent)
    done = perform(_existing(options).root, policy, dry_run=options.dry_run)
    if options.json:
        print_json(plain(done))
        return ATTENTION if done.warnings else OK
    verb = "would remove" if options.dry_run else "removed"
    for item in done.removed:
        print_line(f"{verb} {', '.join(item.names) or item.sha256} ({size(item.bytes)}): {item.reason}")
    for item in done.kept:
        print_line(f"kept {', '.join(item.names) or item.sha256} ({size(item.bytes)}): {item.reason}")
    print_line(f"{verb} {size(done.freed_bytes + done.leftover_bytes)}, {size(done.total_bytes)} stay")
    for warning in done.warnings:
        log(warning)
    return ATTENTION if done.warnings else OK


def _progress(download: ActiveDownload) -> str:
    """Return the progress of a download for a person."""
    if not download.alive:
        done = size(download.bytes_done)
        return f"{download.name}: {download.phase} was interrupted at {done}; converge again"
    text = f"{download.name}: {download.phase} {size(download.bytes_done)}"
    if download.bytes_total:
        text += f" of {size(download.bytes_total)} ({download.bytes_done * 100 // download.bytes_total} %)"
    if download.bytes_per_second:
        text += f", {size(download.bytes_per_second)}/s"
    if download.remaining_seconds is not None:
        text += f", {download.remaining_seconds:.0f} s to go"
    if download.next:
        more = download.next_count - len(download.next)
        text += f"; next {', '.join(download.next)}" + (f" and {more} more" if more > 0 else "")
    return text


def link(options: argparse.Namespace) -> int:
    """Hold an artifact for a job, and link to it in the directory ``--into``."""
    from ...store import links, use
    from .main import UsageError

    if options.command is not None and not options.command:
        raise UsageError("There is no command after '--'; give a command, or leave out '--'.")
    if options.command and options.hold_pid:
        raise UsageError("A command holds the artifact itself; give either --hold-pid or a command.")
    command: list[str] = options.command or []
    target = None if command else _target(options)
    taken = use.take(Layout(options.store), options.name)
    place = os.path.join(os.path.abspath(options.into), options.name) if options.into is not None else ""
    if place:
        links.swap(place, taken.path, durable=False)
    if target is None:
        return _run(command, taken.lock)
    holder = hold_until(target.pid, [taken.lock.fileno()])
    if options.json:
        print_json(
            {
                "name": taken.name,
                "sha256": taken.sha256,
                "path": taken.path,
                "link": place or None,
                "holder_pid": holder,
                "until_pid": target.pid,
                "until_name": target.name,
            }
        )
    else:
        print_line(place or taken.path)
    return OK


def _run(command: list[str], lock: Flock) -> int:
    """Replace this process by the command.

    The command and its children inherit the lock, so the kernel frees it when the last of them ends.
    """
    from ...host.process import become

    os.set_inheritable(lock.fileno(), True)
    become(command)


def _target(options: argparse.Namespace) -> Process:
    """Return the process whose end also ends the use."""
    if options.hold_pid:
        return Process(options.hold_pid, parent_of(options.hold_pid)[0])
    return job_process(os.getppid())
