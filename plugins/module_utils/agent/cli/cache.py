"""``runnerctl cache``: what the store has, and a model for a job."""

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
from .output import ATTENTION, CRITICAL, OK, plain, put, put_json, say, table

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
    listing = commands.add_parser("list", parents=[shared], help="what is stored, in use and on its way")
    listing.set_defaults(perform=show)
    verifying = commands.add_parser("verify", parents=[shared], help="compare the trees with their receipts")
    verifying.add_argument("--full", action="store_true", help="read every byte")
    verifying.add_argument("--repair", action="store_true", help="fetch anew what is damaged (as root)")
    verifying.set_defaults(perform=verify)
    collecting = commands.add_parser("collect", parents=[shared], help="make room (as root)")
    collecting.add_argument("--keep-bytes", metavar="N", type=int, default=0, help="at most this much stays")
    collecting.add_argument(
        "--max-unused-days", metavar="N", type=float, default=0, help="nothing unused for longer stays"
    )
    collecting.add_argument(
        "--min-free-percent", metavar="N", type=float, default=0, help="so much of the disk gets free"
    )
    collecting.add_argument("--dry-run", action="store_true", help="only say what would go")
    collecting.set_defaults(perform=collect)
    linking = commands.add_parser(
        "link",
        parents=[shared],
        help="hold a model for a job, and link to it",
        usage="runnerctl cache link NAME [--into DIR] [--hold-pid PID] [--json] [-- COMMAND...]",
        description="Holds NAME until COMMAND and all it started have ended; without COMMAND until the job's "
        "Runner.Worker ends, outside of jobs the process that called (or PID). Prints the path.",
    )
    linking.add_argument("name", metavar="NAME")
    linking.add_argument("--into", metavar="DIR", help="directory that gets a link NAME")
    linking.add_argument("--hold-pid", metavar="PID", type=int, help="hold until this process ends")
    linking.set_defaults(perform=link)


def show(options: argparse.Namespace) -> int:
    """List the store; attention when something on its way has lost its process."""
    from ...store.describe import active_downloads, describe

    layout = _existing(options)
    whole = describe(layout.root)
    downloads = active_downloads(layout)
    code = OK if all(one.alive for one in downloads) else ATTENTION
    if options.json:
        put_json({**whole._asdict(), "downloads": [one._asdict() for one in downloads]})
        return code
    rows = [
        (
            one["name"],
            one["kind"],
            size(one["bytes"]),
            one["last_used"] or "never",
            one["sha256"][:12],
            ", ".join(filter(None, ("pinned" if one["pinned"] else "", one["in_use"]))),
        )
        for one in whole.artifacts
    ]
    put(table(("NAME", "KIND", "SIZE", "LAST USED", "SHA256", ""), rows))
    put(f"{size(whole.total_bytes)} in {layout.root}, {size(whole.disk_free_bytes)} free")
    for one in downloads:
        put(_progress(one))
    return code


def _existing(options: argparse.Namespace) -> Layout:
    layout = Layout(options.store)
    if not layout.exists():
        raise CiError(
            f"There is no store at {layout.root}; converge the host, or name another one with --store."
        )
    return layout


def verify(options: argparse.Namespace) -> int:
    """Compare the trees with their receipts; critical while one stays damaged, attention after a repair."""
    from ...store import verify as store

    def report(_sha256: str, number: int, count: int) -> None:
        if options.full:
            say(f"reading tree {number} of {count}")

    done = store.verify(_existing(options).root, full=options.full, repair=options.repair, report=report)
    if options.json:
        put_json(plain(done))
    else:
        for bad in done.corrupt:
            put(f"{', '.join(bad.names) or bad.sha256}: {bad.problem}; {bad.outcome} {bad.detail}".rstrip())
        put(f"{len(done.sound)} sound, {len(done.corrupt)} damaged, {size(done.total_bytes)}")
        for warning in done.warnings:
            say(warning)
    if any(bad.outcome in (store.FOUND, store.KEPT) for bad in done.corrupt):
        return CRITICAL
    return ATTENTION if done.corrupt or done.warnings else OK


def collect(options: argparse.Namespace) -> int:
    """Remove what was not used for long, until the limits are met."""
    from ...store.collect import Policy
    from ...store.collect import collect as perform

    policy = Policy(options.keep_bytes, options.max_unused_days, options.min_free_percent)
    done = perform(_existing(options).root, policy, dry_run=options.dry_run)
    if options.json:
        put_json(plain(done))
        return ATTENTION if done.warnings else OK
    verb = "would remove" if options.dry_run else "removed"
    for item in done.removed:
        put(f"{verb} {', '.join(item.names) or item.sha256} ({size(item.bytes)}): {item.reason}")
    for item in done.kept:
        put(f"kept {', '.join(item.names) or item.sha256} ({size(item.bytes)}): {item.reason}")
    put(f"{verb} {size(done.freed_bytes + done.leftover_bytes)}, {size(done.total_bytes)} stay")
    for warning in done.warnings:
        say(warning)
    return ATTENTION if done.warnings else OK


def _progress(one: ActiveDownload) -> str:
    """Return how far a download is, for a person."""
    if not one.alive:
        return f"{one.name}: {one.phase} was interrupted at {size(one.bytes_done)}; converge again"
    text = f"{one.name}: {one.phase} {size(one.bytes_done)}"
    if one.bytes_total:
        text += f" of {size(one.bytes_total)} ({one.bytes_done * 100 // one.bytes_total} %)"
    if one.bytes_per_second:
        text += f", {size(one.bytes_per_second)}/s"
    if one.remaining_seconds is not None:
        text += f", {one.remaining_seconds:.0f} s to go"
    if one.next:
        more = one.next_count - len(one.next)
        text += f"; next {', '.join(one.next)}" + (f" and {more} more" if more > 0 else "")
    return text


def link(options: argparse.Namespace) -> int:
    """Hold an artifact for a job and put a link to it where the job wants it."""
    from ...store import links, use
    from .main import UsageError

    if options.command is not None and not options.command:
        raise UsageError("there is no command after '--'; give one, or leave '--' out.")
    if options.command and options.hold_pid:
        raise UsageError("a command holds by itself; give either --hold-pid or a command.")
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
        put_json(
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
        put(place or taken.path)
    return OK


def _run(command: list[str], lock: Flock) -> int:
    """Become the command; it inherits the lock, so the kernel frees it when the last that has it ends."""
    from ...host.process import become

    os.set_inheritable(lock.fileno(), True)
    become(command)


def _target(options: argparse.Namespace) -> Process:
    """Return the process whose end is the end of the use."""
    if options.hold_pid:
        return Process(options.hold_pid, parent_of(options.hold_pid)[0])
    return job_process(os.getppid())
