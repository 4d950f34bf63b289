"""``runnerctl``: which command is meant, and what its end means.

Exit codes: 0 ok, 1 something needs attention, 2 critical or a wrong call, 3 not possible. Each group of
commands is imported only when it is called.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, Optional, Union

from ...errors import CiError
from .output import CRITICAL, IMPOSSIBLE, OK, put_json, say

if TYPE_CHECKING:
    import argparse
    from types import SimpleNamespace

    Options = Union[argparse.Namespace, SimpleNamespace]

_PROGRAM = "runnerctl"
# By name, with what the help says; each is the module of that name beside this one.
_GROUPS = {
    "advice": "whether this host should take one more job now",
    "cache": "what is in the store, and models for jobs",
    "decide": "whether the next run of a job should be here",
    "drain": "let an instance finish its job, then rest (as root)",
    "enrol": "register a JIT instance for its next job (its service calls it)",
    "heal": "look after the instances once, as the timer does (as root)",
    "health": "how fit this host is, and why",
    "history": "what ran here, how long it took, and how it ended",
    "job": "what the runner's job hooks call",
    "lock": "kernel locks by name, for commands of jobs",
    "metrics": "what the machine does, and did",
    "package": "this program itself (the role agent calls it)",
    "report": "the last weeks as one page, against the goals",
    "resume": "let a drained instance work again (as root)",
    "status": "one screen: is this machine all right, what does it do",
}


class UsageError(CiError):
    """The call makes no sense as it is."""


def main(argv: Optional[Sequence[str]] = None, defaults: Optional[Mapping[str, str]] = None) -> int:
    """Run the command that ``argv`` (default: the process's) asks for and return its exit code.

    ``defaults`` are the directories of this host: ``store``, ``run``, ``state``, ``runners`` and ``config``.
    What follows ``--`` is a command to run and is left as it is.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    command: Optional[list[str]] = None
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    debug = "--debug" in words
    if debug:
        from .debug import show_events

        words.remove("--debug")
        show_events()
    options = _options(words, defaults or {})
    options.command, options.debug = command, debug
    code = OK
    try:
        code = _perform(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return code


def run(defaults: Mapping[str, str]) -> NoReturn:
    """Be the program ``runnerctl``: run the command that the process was called with, and end.

    Nothing is taken apart before, as sys.exit would do: the kernel does it faster, no command leaves a thread
    or a file that must be waited for, and a hook shares its memory with the process that holds a job's
    models, so that every object freed would be copied first.
    """
    code = main(defaults=defaults)
    with contextlib.suppress(OSError):  # nobody reads any more
        sys.stdout.flush()
    os._exit(code)


def _perform(options: Options) -> int:
    try:
        code: int = options.perform(options)
    except CiError as error:
        from ...store.use import DamageError

        if options.debug:
            from .debug import show_traceback

            show_traceback()
        if options.json:
            put_json({"error": str(error)})
        else:
            say(str(error))
        return CRITICAL if isinstance(error, (UsageError, DamageError)) else IMPOSSIBLE
    return code


def _options(words: Sequence[str], defaults: Mapping[str, str]) -> Options:
    """Return what ``words`` ask for; ends the process by SystemExit for a wrong call and for help."""
    name = words[0] if words else ""
    if name not in _GROUPS:
        return _overview().parse_args(words)
    group = importlib.import_module(f".{name}", __package__)
    # What every job waits for is called by its name alone, and waits for no parser.
    call: Optional[SimpleNamespace] = group.hook_call(words[1:], defaults) if name == "job" else None
    if call:
        return call
    import argparse

    # Of its own: to make the parsers of all other groups as well takes longer than most commands.
    parser = argparse.ArgumentParser(prog=f"{_PROGRAM} {name}", allow_abbrev=False)
    group.add_commands(parser, defaults)
    return parser.parse_args(words[1:])


def _overview() -> argparse.ArgumentParser:
    """Return the parser that knows what groups there are, and nothing of what is in them."""
    import argparse

    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="What a CI host has and does. Exit codes: 0 ok, 1 attention, 2 critical or a wrong call, "
        "3 not possible.",
        allow_abbrev=False,
    )
    debug_help = "show on standard error what a command runs, reads and writes, and where an error comes from"
    parser.add_argument("--debug", action="store_true", help=debug_help)
    groups = parser.add_subparsers(prog=parser.prog, metavar="COMMAND", required=True)
    for name, help_text in _GROUPS.items():
        groups.add_parser(name, help=help_text, allow_abbrev=False)
    return parser


def require_command(command: Optional[Sequence[str]], usage: str) -> list[str]:
    """Return the words after ``--``; raises UsageError when there are none."""
    if not command:
        raise UsageError(f"there is no command to run; call it as: {usage}")
    return list(command)
