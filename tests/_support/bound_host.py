"""A host with egress rules: a network of its own, and a network outside.

Programs run there as any user id, without accounts. It needs root and nft.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from testbed.docker_engine import this_machine
from testbed.errors import TestbedError
from testbed.paths import testbed_paths
from testbed.programs import KERNEL_TEST_PROGRAMS, ensure_programs, missing_programs
from testbed.progress import Progress

OUTSIDE = ("203.0.113.1/24", "140.82.112.5/32", "169.254.169.254/32", "fd00:ec2::254/128", "2001:db8::1/64")
HOST = ("203.0.113.2/24", "2001:db8::2/64")
ROUTES = ("140.82.112.0/20", "169.254.169.254/32", "fd00:ec2::254/128")
# A server that repeats what it gets; it prints a line when it listens.
SERVER = """
import socket, sys
family, kind, address, port, backlog = sys.argv[1:]
with socket.socket(int(family), int(kind)) as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, int(port)))
    if int(kind) == socket.SOCK_STREAM:
        server.listen(int(backlog))
    print("ready", flush=True)
    while True:
        if int(kind) == socket.SOCK_STREAM:
            with server.accept()[0] as peer:
                peer.sendall(peer.recv(9))
        else:
            try:
                server.sendto(*server.recvfrom(9))
            except OSError:
                pass
"""
# Asks all servers at the same time, so that the silent ones cost their time only once.
CLIENT = """
import concurrent.futures, errno, json, socket, sys, time

def ask(family, kind, address, port, source, count):
    began = time.monotonic()
    for _ in range(count):
        with socket.socket(family, kind) as client:
            client.settimeout(4)
            try:
                if source:
                    client.bind((source, 0))
                client.connect((address, port))
                client.sendall(b"hello")
                answer = "yes" if client.recv(9) == b"hello" else "other"
            except socket.timeout:
                answer = "silence"
            except OSError as error:
                answer = errno.errorcode[error.errno]
    return answer, time.monotonic() - began

targets = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(list(pool.map(lambda target: ask(*target), targets))))
"""
STREAM, DATAGRAM = 1, 2


class Target(NamedTuple):
    """A server, the address to ask from, and how often."""

    address: str
    port: int
    kind: int = STREAM
    source: str = ""
    times: int = 1


class Answer(NamedTuple):
    """ "yes", "silence", or the error's name; and the seconds that it took."""

    text: str
    seconds: float


def require_nft() -> None:
    """Have nft, or fail where it may not be installed.

    Skips a test for users other than root.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can make a network and load rules")
    missing = missing_programs(programs=KERNEL_TEST_PROGRAMS)
    if missing:
        try:
            ensure_programs(this_machine(), testbed_paths(), Progress(), missing)
        except TestbedError as error:
            pytest.fail(f"The rules cannot be judged without a kernel that has them. {error}")


class BoundHost:
    """The host's side of the two networks; ``outside`` is a process in the other one."""

    def __init__(self, inside: int, outside: int) -> None:
        self.inside, self.outside = inside, outside
        self._servers: list[subprocess.Popen[str]] = []

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run ``argv`` as root in the host's network."""
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.inside}/ns/net", *argv],
            text=True,
            capture_output=True,
            check=False,
        )

    def _command(self, user: int, outside: bool, script: str, arguments: Sequence[object]) -> list[str]:
        process = self.outside if outside else self.inside
        identity = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        python = ["/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable, "-I"]
        words = [str(argument) for argument in arguments]
        namespace = f"--net=/proc/{process}/ns/net"
        return ["nsenter", namespace, "setpriv", *identity, "--", *python, "-c", script, *words]

    def serve(
        self, user: int, address: str, port: int, kind: int = STREAM, outside: bool = False, backlog: int = 9
    ) -> None:
        """Start a server of ``user`` and return when it listens."""
        command = self._command(user, outside, SERVER, [_family(address), kind, address, port, backlog])
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._servers.append(server)
        assert server.stdout
        assert server.stdout.readline() == "ready\n"

    def ask(self, user: int, *targets: Target, outside: bool = False) -> dict[Target, Answer]:
        """Return what a client of ``user`` gets from each of the servers."""
        arguments = json.dumps(
            [[_family(t.address), t.kind, t.address, t.port, t.source, t.times] for t in targets]
        )
        command = self._command(user, outside, CLIENT, [arguments])
        done = subprocess.run(command, text=True, capture_output=True, check=True)
        return {target: Answer(*answer) for target, answer in zip(targets, json.loads(done.stdout))}

    def close(self) -> None:
        """End the servers."""
        for server in self._servers:
            server.kill()
            server.wait()


def _family(address: str) -> int:
    return 10 if ":" in address else 2


@contextmanager
def bound_host() -> Iterator[BoundHost]:
    """Make the two networks, and remove them."""
    keepers = [
        subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for keeper in keepers:
            assert keeper.stdout
            keeper.stdout.readline()
        host = BoundHost(keepers[0].pid, keepers[1].pid)
        _connect(*(keeper.pid for keeper in keepers))
        try:
            yield host
        finally:
            host.close()
    finally:
        for keeper in keepers:
            keeper.kill()
            keeper.wait()


def _connect(inside: int, outside: int) -> None:
    def ip(process: int, text: str) -> None:
        subprocess.run(["nsenter", f"--net=/proc/{process}/ns/net", "ip", *text.split()], check=True)

    ip(inside, f"link add name veth0 type veth peer name veth0 netns {outside}")
    for process, addresses in ((inside, HOST), (outside, OUTSIDE)):
        ip(process, "link set lo up")
        ip(process, "link set veth0 up")
        for address in addresses:
            ip(process, f"address add {address} dev veth0{' nodad' if ':' in address else ''}")
    for route in ROUTES:
        ip(inside, f"route add {route} dev veth0")
