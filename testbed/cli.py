"""The command line of the testbed: ``python -m testbed COMMAND``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed import lifecycle, process
from testbed import status as world_status
from testbed.caches import ensure_caches
from testbed.docker_engine import check_machine, stop_engine, this_machine
from testbed.errors import TestbedError
from testbed.job import JobRequest, run_job
from testbed.paths import Paths, testbed_paths
from testbed.prepare import DEFAULT_MODEL_MIB
from testbed.progress import Progress
from testbed.world import REPOSITORY, WORLDS, World

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    world = argparse.ArgumentParser(add_help=False)
    world.add_argument("--world", choices=sorted(WORLDS), default="demo", help="which world (default: demo)")
    size = argparse.ArgumentParser(add_help=False)
    size.add_argument(
        "--model-mib", type=int, default=DEFAULT_MODEL_MIB, help="size of the large model (default: 64)"
    )

    up = commands.add_parser("up", parents=[world, size], help="start hosts and services")
    up.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="start this host only (repeatable)"
    )
    up.add_argument(
        "--hosts", type=int, default=0, metavar="N", help="start N further Debian hosts, runner-01…"
    )
    up.add_argument(
        "--like",
        metavar="NAME",
        default="",
        help="make further hosts that are missing as copies of this host",
    )
    up.add_argument(
        "--fresh", action="store_true", help="remove the named hosts first; without --host, the whole world"
    )
    down = commands.add_parser("down", parents=[world], help="stop and remove what up started")
    down.add_argument(
        "--engine", action="store_true", help="also stop the Docker daemon if the testbed started it"
    )
    down.add_argument("--caches", action="store_true", help="also remove images and volumes from Docker")
    status = commands.add_parser("status", parents=[world], help="show the state of the world")
    status.add_argument("--json", action="store_true", help="as JSON")
    commands.add_parser("build", parents=[size], help="build images, packages and artifacts only")
    job = commands.add_parser("job", parents=[world], help="run a job on the runners of the world")
    job.add_argument(
        "--runs-on", required=True, help="labels that the runner must have, with commas between them"
    )
    job.add_argument(
        "--script", required=True, metavar="FILE", help="the shell script to run, - for standard input"
    )
    job.add_argument("--name", help="the job's name (default: the script's)")
    job.add_argument("--repository", default=REPOSITORY)
    job.add_argument(
        "--timeout", type=float, default=600, metavar="SECONDS", help="give up after this (default: 600)"
    )
    return top


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit status.

    0: success, 1: failure, 2: wrong usage, 3: impossible on this machine, 130: interrupted.
    """
    arguments = parser().parse_args(argv)
    progress = Progress()
    try:
        status: int = COMMANDS[arguments.command](arguments, testbed_paths(), progress)
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        process.terminate_children()
        print(
            "\ntestbed: Interrupted; run the same command to continue, or 'down' to remove what runs.",
            file=sys.stderr,
        )
        return INTERRUPTED
    finally:
        progress.close()
    return status


def chosen_world(arguments: argparse.Namespace) -> World:
    """Return the world that the command line names."""
    return WORLDS[arguments.world]


def up(arguments: argparse.Namespace, paths: Paths, progress: Progress) -> int:
    """Start a world."""
    wish = lifecycle.Wish(
        tuple(arguments.host), arguments.hosts, arguments.model_mib, arguments.fresh, arguments.like
    )
    world = chosen_world(arguments)
    lifecycle.up(world, wish, this_machine(), paths, progress)
    config = world_status.short_path(paths.world(world.name) / "ssh_config")
    progress.line("world", f"{world.name} is up; log in with 'ssh -F {config} HOST'")
    return 0


def down(arguments: argparse.Namespace, paths: Paths, progress: Progress) -> int:
    """Remove a world."""
    world = chosen_world(arguments)
    lifecycle.down(world, paths, progress, caches=arguments.caches)
    if arguments.engine and stop_engine(paths):
        progress.line("docker", "stopped the daemon that the testbed had started")
    progress.line("world", f"{world.name} is down")
    return 0


def status(arguments: argparse.Namespace, paths: Paths, _progress: Progress) -> int:
    """Print the state of a world; return 0 when everything in it runs, else 1."""
    answer = world_status.read(chosen_world(arguments), paths)
    print(json.dumps(answer, indent=2) if arguments.json else world_status.describe(answer))
    return 0 if answer["up"] else 1


def build(arguments: argparse.Namespace, paths: Paths, progress: Progress) -> int:
    """Build everything that the worlds share."""
    machine = this_machine()
    check_machine(machine)
    lifecycle.ensure_machine(machine, paths, progress)
    ensure_caches(machine, paths, arguments.model_mib, progress)
    progress.line("caches", "complete")
    return 0


def job(arguments: argparse.Namespace, _paths: Paths, progress: Progress) -> int:
    """Run a job; return 0 when it succeeded, else 1."""
    try:
        script = (
            sys.stdin.read()
            if arguments.script == "-"
            else Path(arguments.script).read_text(encoding="utf-8")
        )
    except OSError as error:
        raise TestbedError(
            f"The script {arguments.script} cannot be read: {error.strerror}. "
            "Name a readable file with --script."
        ) from error
    labels = tuple(label.strip() for label in arguments.runs_on.split(",") if label.strip())
    name = arguments.name or Path(arguments.script).stem.lstrip("-") or "job"
    request = JobRequest(name, labels, script, arguments.repository)
    succeeded = run_job(
        chosen_world(arguments), request, arguments.timeout, lambda text: progress.line("job", text)
    )
    return 0 if succeeded else 1


COMMANDS: dict[str, Callable[[argparse.Namespace, Paths, Progress], int]] = {
    "up": up,
    "down": down,
    "status": status,
    "build": build,
    "job": job,
}
