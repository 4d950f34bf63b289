"""The program ``Runner.Listener``: its commands and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Sequence

from . import dotenv, jit, registration
from .basics import (
    RETRYABLE,
    SUCCESS,
    TERMINATED,
    RunnerError,
    name_process,
    refuse_root,
    root_directory,
    version,
)
from .commandline import Settings, parse
from .configure import configure
from .diagnostics import Diagnostics
from .loop import ListenerLoop
from .remove import remove

USAGE = """
Commands:
 ./config.sh         Configures the runner
 ./config.sh remove  Unconfigures the runner
 ./run.sh            Runs the runner interactively. Does not require any options.

Options:
 --help     Prints the help for each command
 --version  Prints the runner version
 --commit   Prints the runner commit
"""


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    name_process("Runner.Listener")
    root = root_directory()
    dotenv.load(root / ".env", os.environ)
    line = parse(argv)
    settings = Settings(line, os.environ)
    unknown = line.unrecognized()
    if unknown:
        _warn(line.command, unknown)
    for flag, text in (("version", version()), ("help", USAGE), ("commit", "0" * 40)):
        if flag in line.flags:
            print(text)
            return SUCCESS
    terminal = Diagnostics(root, "Runner")
    try:
        return _perform(line.command, settings, root, terminal)
    except (RunnerError, ValueError) as error:
        terminal.complain(str(error))
        return TERMINATED
    except KeyboardInterrupt:
        return SUCCESS
    except Exception as error:
        # Like the original: an unexpected error may be temporary, so ask for another try.
        terminal.complain(f"An error occurred: {error}")
        return RETRYABLE


def _warn(command: str, unknown: Sequence[str]) -> None:
    listed = ", ".join(unknown)
    start = (
        f"Unrecognized command-line input arguments for command {command}:"
        if command
        else "This command does not recognize the command-line input arguments:"
    )
    print(
        f"{start} '{listed}'. For usage refer to: .\\config.cmd --help or ./config.sh --help", file=sys.stderr
    )


def _perform(command: str, settings: Settings, root: Path, terminal: Diagnostics) -> int:
    if command == "configure":
        return configure(settings, root, terminal)
    if command == "remove":
        return remove(settings, root, terminal)
    if command == "warmup":
        return SUCCESS
    return _run(settings, root, terminal)


def _run(settings: Settings, root: Path, terminal: Diagnostics) -> int:
    refuse_root()
    configuration = settings.argument("jitconfig")
    if configuration:
        jit.unpack(configuration, root)
    if not registration.is_configured(root):
        terminal.complain("Not configured. Run config.(sh/cmd) to configure the runner.")
        print(USAGE)
        return TERMINATED
    once = settings.flag("once")
    if once:
        terminal.say(
            "Warning: '--once' is going to be deprecated in the future, please consider using '--ephemeral'."
        )
    loop = ListenerLoop(root, terminal, once=once)
    signal.signal(signal.SIGINT, loop.interrupted)
    signal.signal(signal.SIGTERM, loop.interrupted)
    return loop.run()
