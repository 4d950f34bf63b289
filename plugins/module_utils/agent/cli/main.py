"""``runnerctl``: choose the command, run it, and return its exit code.

Exit codes: 0 ok, 1 something needs attention, 2 critical or a wrong call, 3 not possible. Each command is a
module of its name in this directory, which is imported only when the command is called.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, Optional, Union

from ...errors import CiError
from .output import CRITICAL, IMPOSSIBLE, OK, log, print_json

if TYPE_CHECKING:
    import argparse
    from types import SimpleNamespace

    Options = Union[argparse.Namespace, SimpleNamespace]

_PROGRAM = "runnerctl"
# The text for --help by the name of the command.
_GROUPS = {
    "advice": "answer whether this host should take one more job now",
    "cache": "list, check and clean the artifact store, and link models for jobs",
    "changes": "list who changed what on this machine (as root)",
    "decide": "decide whether the next run of a job should be here",
    "drain": "stop an instance after its job (as root)",
    "egress": "load the rules that bound what jobs can reach in the network (as root)",
    "enrol": "register a JIT instance for its next job (its service calls this)",
    "heal": "check and heal all instances once, as the timer does (as root)",
    "health": "rate this host, with reasons",
    "history": "list the jobs of this host with duration and result",
    "job": "the hooks that the runner calls for each job",
    "lock": "run a command of a job under a kernel lock with a name",
    "metrics": "sample this machine, and summarize the samples",
    "package": "maintain this program (the role agent calls this)",
    "report": "compare the last weeks with the goals on one page",
    "resume": "start a drained instance again (as root)",
    "security": "check who and what could take over this machine (as root)",
    "status": "show problems, runners, jobs and health on one screen",
}


class UsageError(CiError):
    """A call with words that do not fit together."""


def main(argv: Optional[Sequence[str]] = None, defaults: Optional[Mapping[str, str]] = None) -> int:
    """Run the command in ``argv`` (default: the process's) and return its exit code.

    ``defaults`` are the directories of this host: ``store``, ``run``, ``state``, ``runners`` and ``config``.
    The words after ``--`` are a command to run and stay as they are.
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
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    options = _options(words, defaults or {})
    options.command, options.debug = command, debug
    if sys.stdout is None:  # the caller has closed it, as in the shell's '>&-'
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    code = OK
    try:
        code = _perform(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as head(1) does
        _drop_output()
    except OSError as error:
        _drop_output()
        log(f"The output cannot be written ({error.strerror}); free space where it goes, then run again.")
        return IMPOSSIBLE
    except KeyboardInterrupt:
        return 130
    return code


def _drop_output() -> None:
    """Let nothing that is still to be written fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(defaults: Mapping[str, str]) -> NoReturn:
    """Run the command of this process, and end the process.

    os._exit instead of sys.exit: the kernel frees memory faster, and no command leaves a thread or a file
    that must be waited for. A hook also shares its memory with the process that holds a job's models, so
    each freed object would be copied first.
    """
    code = main(defaults=defaults)
    with contextlib.suppress(OSError):  # the reader is gone
        sys.stdout.flush()
    os._exit(code)


def _perform(options: Options) -> int:
    try:
        code: int = options.perform(options)
    except CiError as error:
        return _report(options, error)
    except OSError as error:
        if error.filename is None:  # standard output
            raise
        remedy = "call it with sudo" if isinstance(error, PermissionError) else "correct that, then run again"
        return _report(options, CiError(f"'{error.filename}' cannot be used ({error.strerror}); {remedy}."))
    return code


def _report(options: Options, error: CiError) -> int:
    """Print ``error`` for a person or a program and return its exit code."""
    from ...store.use import DamageError

    if options.debug:
        from .debug import show_traceback

        show_traceback()
    if options.json:
        print_json({"error": str(error)})
    else:
        log(str(error))
    return CRITICAL if isinstance(error, (UsageError, DamageError)) else IMPOSSIBLE


def _options(words: Sequence[str], defaults: Mapping[str, str]) -> Options:
    """Return the parsed ``words``; raises SystemExit for a wrong call and for help."""
    name = words[0] if words else ""
    if name not in _GROUPS:
        return _overview().parse_args(words)
    group = importlib.import_module(f".{name}", __package__)
    # Every job waits for its hooks, so a hook called by its name alone does without a parser.
    call: Optional[SimpleNamespace] = group.hook_call(words[1:], defaults) if name == "job" else None
    if call:
        return call
    import argparse

    # Only this group's parser: the parsers of all groups take longer than most commands.
    parser = argparse.ArgumentParser(prog=f"{_PROGRAM} {name}", allow_abbrev=False)
    group.add_commands(parser, defaults)
    return parser.parse_args(words[1:])


def _overview() -> argparse.ArgumentParser:
    """Return a parser of the groups' names, without their options."""
    import argparse

    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Show and control a CI host. Exit codes: 0 ok, 1 attention, 2 critical or a wrong call, "
        "3 not possible.",
        allow_abbrev=False,
    )
    debug_help = "show on standard error what a command runs, reads and writes, and where an error comes from"
    parser.add_argument("--debug", action="store_true", help=debug_help)
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {_version()}")
    groups = parser.add_subparsers(prog=parser.prog, metavar="COMMAND", required=True)
    for name, help_text in _GROUPS.items():
        groups.add_parser(name, help=help_text, allow_abbrev=False)
    return parser


def _version() -> str:
    from ..release import VERSION

    release = os.path.basename(os.path.realpath(__file__).split(f"{os.sep}coldvox_ci{os.sep}")[0])
    return f"{VERSION} ({release[:12]})"


def require_command(command: Optional[Sequence[str]], usage: str) -> list[str]:
    """Return the words after ``--``; raises UsageError when there are none."""
    if not command:
        raise UsageError(f"There is no command to run; call it as: {usage}")
    return list(command)
