"""``runnerctl cache``: what the store has, and a model for a job."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Optional

from ..flock import Flock
from ..store.layout import DEFAULT_STORE, Layout
from ..store.overview import Flight, in_flight, stored
from ..until import Process, hold_until, job_process, parent_of
from .output import ATTENTION, IMPOSSIBLE, OK, put, put_json, say, size, table


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument(
        "--store", default=defaults.get("store", DEFAULT_STORE), help="directory of the store"
    )
    listing = commands.add_parser("list", parents=[shared], help="what is stored, in use and on its way")
    listing.set_defaults(perform=show)
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
    layout = Layout(options.store)
    if not layout.exists():
        say(f"there is no store at {layout.root}; converge the host, or name another one with --store.")
        return IMPOSSIBLE
    artifacts, flights = stored(layout), in_flight(layout)
    if options.json:
        put_json(
            {
                "store": layout.root,
                "artifacts": [
                    {**one.ref._asdict(), "last_used": one.last_used or None, "users": one.users}
                    for one in artifacts
                ],
                "in_flight": [one._asdict() for one in flights],
            }
        )
        return OK if all(one.alive for one in flights) else ATTENTION

    rows = [
        (
            one.ref.name,
            one.ref.kind,
            size(one.ref.bytes),
            one.last_used or "never",
            str(one.users or "-"),
            "pinned" if one.ref.pinned else "",
            one.ref.sha256[:12],
        )
        for one in artifacts
    ]
    put(table(("NAME", "KIND", "SIZE", "LAST USED", "USERS", "", "SHA256"), rows))
    trees = {one.ref.sha256: one.ref.bytes for one in artifacts}
    put(f"{len(rows)} names, {len(trees)} trees, {size(sum(trees.values()))} in {layout.root}")
    for one in flights:
        put(_told(one))
    return OK if all(one.alive for one in flights) else ATTENTION


def _told(one: Flight) -> str:
    """Return how far a download is, for a person."""
    if not one.alive:
        return f"{one.name}: {one.phase} was interrupted at {size(one.bytes_done)}; converge again"
    text = f"{one.name}: {one.phase} {size(one.bytes_done)}"
    if one.bytes_total:
        text += f" of {size(one.bytes_total)} ({one.bytes_done * 100 // one.bytes_total} %)"
    if one.bytes_per_second:
        text += f", {size(one.bytes_per_second)}/s"
    return text if one.remaining_seconds is None else f"{text}, {one.remaining_seconds:.0f} s to go"


def link(options: argparse.Namespace) -> int:
    """Hold an artifact for a job and put a link to it where the job wants it."""
    from ..store import links, use
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
    if taken.lock is None:
        say(f"the file system of {options.store} has no locks, so nothing keeps {options.name} but its use.")
    if target is None:
        return _run(command, taken.lock)
    holder = hold_until(target.pid, [taken.lock.fileno()]) if taken.lock else None
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
    return OK if taken.lock else ATTENTION


def _run(command: list[str], lock: Optional[Flock]) -> int:
    """Become the command; it inherits the lock, so the kernel frees it when the last that has it ends."""
    from ..supervise import become

    if lock:
        os.set_inheritable(lock.fileno(), True)
    become(command)


def _target(options: argparse.Namespace) -> Process:
    """Return the process whose end is the end of the use."""
    if options.hold_pid:
        return Process(options.hold_pid, parent_of(options.hold_pid)[0])
    return job_process(os.getppid())
