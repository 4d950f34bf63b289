"""``runnerctl``: which command is meant, and what its end means.

Exit codes: 0 ok, 1 something needs attention, 2 critical or a wrong call, 3 not possible. Each group of
commands is imported only when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Optional

from ..errors import CiError
from .output import CRITICAL, IMPOSSIBLE, put_json, say

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

    ``defaults`` are the directories of this host: ``store``, ``locks``, ``run``, ``state``, ``runners`` and
    ``config``. What follows ``--`` is a command to run
    and is left as it is.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    command: Optional[list[str]] = None
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    options = _parser(words, defaults or {}).parse_args(words)
    options.command = command
    try:
        code: int = options.perform(options)
        sys.stdout.flush()
    except CiError as error:
        from ..store.use import DamageError

        if options.json:
            put_json({"error": str(error)})
        else:
            say(str(error))
        return CRITICAL if isinstance(error, (UsageError, DamageError)) else IMPOSSIBLE
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser(words: Sequence[str], defaults: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runnerctl",
        description="What a CI host has and does. Exit codes: 0 ok, 1 attention, 2 critical or a wrong call, "
        "3 not possible.",
        allow_abbrev=False,
    )
    # With a prog given, argparse has no need to lay out a usage text, which costs milliseconds.
    groups = parser.add_subparsers(prog=parser.prog, metavar="COMMAND", required=True)
    for name, help_text in _GROUPS.items():
        group = groups.add_parser(name, help=help_text, allow_abbrev=False)
        if name in words[:1]:
            importlib.import_module(f".{name}", __package__).add_commands(group, defaults)
    return parser


def require_command(command: Optional[Sequence[str]], usage: str) -> list[str]:
    """Return the words after ``--``; raises UsageError when there are none."""
    if not command:
        raise UsageError(f"there is no command to run; call it as: {usage}")
    return list(command)
