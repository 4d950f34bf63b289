"""Ansible's programs as processes.

From the shell, or as forks of a server that has imported Ansible. Start and imports are half of a short
call's processor time. A server keeps them: see ansible_server.py.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Optional

import ansible_collections.coldvox.ci.plugins as collection_plugins

BIN = Path(sys.executable).parent
COLLECTIONS = Path(next(iter(collection_plugins.__path__))).parents[3]
SERVER = Path(__file__).with_name("ansible_server.py")
#: Ansible reads these only while it runs, if at all. All other variables may matter when it is imported.
READ_LATER = ("COLDVOX_", "PATH", "PYTEST_CURRENT_TEST")


def run_ansible(
    program: str,
    *arguments: str | Path,
    cwd: Path = Path("/"),
    environment: Optional[Mapping[str, str]] = None,
    warm: bool = True,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run ``ansible`` or ``ansible-playbook`` with this checkout's collection.

    No other configuration is read. ``warm`` forks a server; without it, the program starts as from the
    shell. An interrupted or late call is killed with all its processes. Raises ``subprocess.TimeoutExpired``
    after ``timeout`` seconds, and
    ``RuntimeError`` with the server's output when the server dies.
    """
    argv = [str(BIN / program), *map(str, arguments)]
    variables = {**_base_environment(), **(environment or {})}
    if not warm:
        return subprocess.run(
            argv, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=timeout
        )
    server = _take_server(variables)
    try:
        done = server.run(argv, cwd, variables, timeout)
    except BaseException:
        server.close()
        raise
    _idle.append(server)
    return done


class AnsibleServer:
    """A server that imported Ansible with ``environment``; it runs one call at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (close() closes it)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, SERVER, str(theirs.fileno())],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[theirs.fileno()],
                # Ctrl-C reaches pytest alone. The server ends when pytest's end of the channel closes.
                start_new_session=True,
            )

    def run(
        self, argv: list[str], cwd: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Return status and output of a call, after the warnings of the import."""
        request = {"argv": argv, "cwd": str(cwd), "environment": environment, "umask": _umask()}
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
        ):
            self._channel.settimeout(timeout)
            descriptors = [nothing.fileno(), output.fileno(), errors.fileno()]
            try:
                socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)
                status = self._channel.recv(64)
            except TimeoutError as error:
                raise subprocess.TimeoutExpired(argv, timeout) from error
            except (BrokenPipeError, ConnectionResetError):
                status = b""
            if not status:
                raise RuntimeError(f"The Ansible server has ended. Read its output: {_text(self._output)}")
            return subprocess.CompletedProcess(
                argv, int(status), _text(output), _text(self._output) + _text(errors)
            )

    def close(self) -> None:
        """End the server and the call that still runs."""
        self._channel.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._output.close()


_idle: list[AnsibleServer] = []
_homes: list[Path] = []


def _base_environment() -> dict[str, str]:
    # The same for all tests, so that a single server can be used by all of them.
    if not _homes:
        _homes.append(Path(tempfile.mkdtemp(prefix="coldvox-ansible-")))
        (_homes[0] / "ansible.cfg").write_text("[defaults]\n")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE", "COLDVOX"))},
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_CONFIG": str(_homes[0] / "ansible.cfg"),
        "ANSIBLE_HOME": str(_homes[0]),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _take_server(environment: dict[str, str]) -> AnsibleServer:
    """Return an idle server with the environment, or a new one.

    Close idle servers with another one.
    """
    imported = {key: value for key, value in environment.items() if not key.startswith(READ_LATER)}
    imported["PATH"] = os.environ["PATH"]
    # pop() is atomic: tests also call from several threads.
    with contextlib.suppress(IndexError):
        while True:
            server = _idle.pop()
            if server.environment == imported:
                return server
            server.close()
    return AnsibleServer(imported)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@atexit.register
def _end() -> None:
    while _idle:
        _idle.pop().close()
    for home in _homes:
        shutil.rmtree(home, ignore_errors=True)
