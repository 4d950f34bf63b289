"""Registration by the runner's own ``config.sh``; a failure restores the files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from ..errors import CiError
from ..host.process import Run
from .account import Account, as_account, clean_environment, private_umask
from .layout import Layout
from .options import Registration

_TIMEOUT_SECONDS = 300.0
# All files that config.sh writes. It rewrites .env and .path too, which belong to root by then.
_MADE_BY_CONFIG = (
    ".runner",
    ".runner_migrated",
    ".credentials",
    ".credentials_migrated",
    ".credentials_rsaparams",
    ".env",
    ".path",
)
_RUNNER_FILE_LIMIT_BYTES = 65536
# A job can write anything: no text, no JSON, no object, no number, Infinity, a million brackets.
_SPOILT = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class Settings(NamedTuple):
    """What ``.runner`` says about a registration; texts are empty if it does not."""

    agent_id: int
    name: str
    url: str
    group: str
    work_dir: str
    ephemeral: bool
    updates_disabled: bool


def read_agent(layout: Layout) -> tuple[Optional[int], str]:
    """Return id and name of the registration in ``.runner``; (None, "") without one."""
    settings = read_settings(layout)
    return (settings.agent_id, settings.name) if settings else (None, "")


def read_settings(layout: Layout) -> Optional[Settings]:
    """Return the registration in ``.runner``; None without one.

    The file starts with a byte order mark. Its keys may be of any case, its numbers may be texts (runner
    2.336.0). Jobs can write it. So do not follow links, and treat a broken file as missing.
    """
    for name in (".runner_migrated", ".runner"):
        with contextlib.suppress(*_SPOILT):
            read = json.loads(read_start(layout.file(name)).decode("utf-8-sig"))
            data = {key.lower(): value for key, value in read.items()}
            return Settings(
                agent_id=int(data["agentid"]),
                name=str(data.get("agentname", "")),
                url=str(data.get("githuburl", "")),
                group=str(data.get("poolname", "")),
                work_dir=str(data.get("workfolder", "")),
                ephemeral=bool(data.get("ephemeral")),
                updates_disabled=bool(data.get("disableupdate")),
            )
    return None


def read_start(path: str) -> bytes:
    """Return the first 64 KiB of a file that a job can write; empty if it is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _RUNNER_FILE_LIMIT_BYTES)
    except OSError:  # a directory, or a pipe with a writer
        return b""
    finally:
        os.close(descriptor)


def configure_argv(registration: Registration, *, replace: bool) -> list[str]:
    """Return the command line of ``config.sh``: switches only."""
    flags = {
        "--replace": replace,
        "--ephemeral": registration.ephemeral,
        "--no-default-labels": not registration.default_labels,
    }
    return [
        "./config.sh",
        "--unattended",
        "--disableupdate",
        *(flag for flag, wanted in flags.items() if wanted),
    ]


def configure_inputs(registration: Registration, labels: Sequence[str], token: str) -> dict[str, str]:
    """Return the values for ``config.sh`` as environment variables.

    The runner reads and removes them, so no secret is visible in /proc as an argument.
    """
    values = {
        "URL": registration.url,
        "TOKEN": token,
        "NAME": registration.name,
        "WORK": registration.work_dir,
        "RUNNERGROUP": registration.group,
        "LABELS": ",".join(labels),
    }
    return {f"ACTIONS_RUNNER_INPUT_{key}": value for key, value in values.items() if value}


def configure(
    run: Run,
    layout: Layout,
    account: Account,
    registration: Registration,
    *,
    labels: Sequence[str],
    token: str,
    replace: bool,
) -> int:
    """Register the instance and return its id at GitHub.

    On failure restore the former configuration and raise CiError with the last output of ``config.sh``,
    without the token.
    """
    environment = clean_environment(account, layout.home)
    environment.update(configure_inputs(registration, labels, token))
    with _set_former_aside(layout):
        with private_umask():
            result = run(
                as_account(account, configure_argv(registration, replace=replace)),
                environment=environment,
                cwd=layout.root,
                timeout_seconds=_TIMEOUT_SECONDS,
            )
        agent_id, agent_name = read_agent(layout)
        if result.status != 0 or agent_id is None or agent_name.lower() != registration.name.lower():
            output = _tail(result.stdout + "\n" + result.stderr, token)
            raise CiError(
                f"Runner '{registration.name}' could not be registered with {registration.url}: config.sh "
                f"ended with status {result.status} ({output}). The former configuration is "
                "restored; correct the cause and run again."
            )
    return agent_id


def forget_configuration(layout: Layout) -> None:
    """Remove the files of ``config.sh``, so that no old file passes for a new one."""
    for name in _MADE_BY_CONFIG:
        _remove(layout.file(name))


@contextlib.contextmanager
def _set_former_aside(layout: Layout) -> Iterator[None]:
    """Move the former configuration aside; move it back if the body fails."""
    aside = layout.record("former")
    os.makedirs(aside, mode=0o700, exist_ok=True)
    _move(layout.root, aside)
    try:
        yield
    except BaseException:
        forget_configuration(layout)
        _move(aside, layout.root)
        raise
    for name in _MADE_BY_CONFIG:
        _remove(os.path.join(aside, name))
    os.rmdir(aside)


def _move(source: str, target: str) -> None:
    for name in _MADE_BY_CONFIG:
        if os.path.lexists(os.path.join(source, name)):
            _remove(os.path.join(target, name))
            os.rename(os.path.join(source, name), os.path.join(target, name))


def _remove(path: str) -> None:
    """Remove the file or directory; a job may have made a directory of this name."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        shutil.rmtree(path)


def _tail(output: str, token: str) -> str:
    """Return the last lines of ``output`` that are not empty, without the token."""
    lines = [" ".join(line.split()) for line in output.replace(token, "***").splitlines() if line.strip()]
    return "; ".join(lines[-3:])[-400:] or "no output"
