"""``runnerctl lock``: run one command at a time under a lock of the kernel."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ...host import named_lock
from ...host.kernel_locks import describe_holders
from ...host.paths import paths_of
from .main import UsageError, require_command
from .output import OK, log, print_json, print_line, table

# The first message comes soon, so that the wait is explained; later ones come rarely, to keep logs short.
_FIRST_MESSAGE_SECONDS = 1.0
_NEXT_MESSAGE_SECONDS = 10.0


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument("--dir", default=paths_of(defaults).locks, help="directory of the lock files")
    running = commands.add_parser(
        "run",
        parents=[shared],
        help="run a command while holding a lock",
        usage="runnerctl lock run NAME [--timeout SECONDS] [--shared] -- COMMAND...",
        description="Waits for the lock NAME and runs COMMAND while holding it. Exit code: COMMAND's, "
        "128 + n when signal n ended it, 3 when the lock was not free in time.",
    )
    running.add_argument("name", metavar="NAME")
    running.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, help="longest wait; default: unlimited"
    )
    running.add_argument("--shared", action="store_true", help="hold it together with other shared holders")
    running.set_defaults(perform=run)
    listing = commands.add_parser("list", parents=[shared], help="list held locks and their holders")
    listing.set_defaults(perform=show)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    # Python cannot wait longer (threading.TIMEOUT_MAX). The comparison also rejects NaN.
    if not 0 <= seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 1e9.")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Run the command under the lock and return its exit code."""
    from ...host.process import run_command

    command = require_command(options.command, "runnerctl lock run NAME -- COMMAND...")
    path = named_lock.check(options.dir, options.name)
    next_message = _FIRST_MESSAGE_SECONDS

    def waiting(seconds: float) -> None:
        nonlocal next_message
        if seconds >= next_message:
            next_message = seconds + _NEXT_MESSAGE_SECONDS
            holders = describe_holders(path, start=named_lock.offset(options.name))
            log(f"waiting {seconds:.0f} s for the lock {options.name}: {holders} holds it.")

    lock = named_lock.acquire(
        options.dir,
        options.name,
        shared=options.shared,
        timeout_seconds=options.timeout,
        waiting=waiting,
    )
    try:
        return run_command(command)
    finally:
        lock.release()


def show(options: argparse.Namespace) -> int:
    """List the locks with holders or waiters."""
    if options.command is not None:
        raise UsageError("'lock list' runs no command; leave out '--'.")
    locks = list(named_lock.listed(options.dir))
    if options.json:
        print_json(
            [
                {
                    "name": lock.name,
                    "holders": [holder._asdict() for holder in lock.holders],
                    "waiters": [waiter._asdict() for waiter in lock.waiters],
                }
                for lock in locks
            ]
        )
        return OK
    rows = [
        (
            lock.name,
            "shared" if lock.holders and not lock.holders[0].exclusive else "exclusive",
            ", ".join(map(str, lock.holders)) or "-",
            str(len(lock.waiters) or "-"),
        )
        for lock in locks
    ]
    print_line(
        table(("LOCK", "MODE", "HELD BY", "WAITING"), rows) if rows else f"no lock in {options.dir} is held"
    )
    return OK
