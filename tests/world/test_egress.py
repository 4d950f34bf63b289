"""What real jobs of the laptop reach in the network, and that SSH goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testbed.github.client import AdminClient
from testbed.world import MIRROR_PORT

from .conftest import WORLD, Play

Shell = Callable[..., str]
HOST = "laptop-extra"
LABELS = ["fedora", "nobara", "fast-lint"]
# Each line of the output is a destination and "yes" or the error's name.
PROBE = """python3 - <<'END'
import errno, socket
def probe(name, address, port):
    try:
        socket.create_connection((address, port), 5).close()
        print("probe", name, "yes")
    except OSError as error:
        print("probe", name, errno.errorcode.get(error.errno, "silence"))
own = socket.create_server(("127.0.0.1", 0))
probe("own", *own.getsockname())
probe("mirror", {gateway!r}, {mirror})
probe("another host", {another!r}, 22)
probe("metadata", "169.254.169.254", 80)
probe("ssh", "127.0.0.1", 22)
probe("ssh on the host's address", {host!r}, 22)
probe("neighbour", "127.0.0.1", 7321)
END"""
ALWAYS = {
    "own": "yes",
    "mirror": "yes",
    "metadata": "ECONNREFUSED",
    "ssh": "ECONNREFUSED",
    "ssh on the host's address": "ECONNREFUSED",
    "neighbour": "ECONNREFUSED",
}


@pytest.fixture
def neighbour(shell: Shell) -> Iterator[None]:
    """A server on loopback that belongs to another instance."""
    server = "import socket; s = socket.create_server(('127.0.0.1', 7321))\nwhile True: s.accept()"
    shell(f'systemd-run --unit=coldvox-test-server -p User=ci-{HOST}-test -q python3 -c "{server}"')
    shell("until ss -ltn | grep -q 127.0.0.1:7321; do sleep 0.1; done")
    yield
    shell("systemctl stop coldvox-test-server")


@pytest.fixture
def restored(play: Play) -> Iterator[None]:
    """Restore the policy of the inventory after a test with another one."""
    yield
    converge(play)


def converge(play: Play, **variables: Any) -> None:
    more = ("-e", json.dumps(variables)) if variables else ()
    outcome = play("-l", HOST, "--tags", "agent", *more)
    assert outcome.status == 0, outcome.output[-4000:]


def probes(github: AdminClient) -> dict[str, str]:
    """Return what a job reaches, by the name of the destination."""
    script = PROBE.format(
        gateway=WORLD.gateway, mirror=MIRROR_PORT, another=address_of("debian-builder"), host=address_of(HOST)
    )
    job = github.wait_for_job(github.queue_job(LABELS, script), status="completed")
    lines = [line.partition("probe ")[2] for line in job["log"].splitlines() if "probe " in line]
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("("))


def address_of(name: str) -> str:
    (octet,) = [host.octet for host in WORLD.hosts() if host.name == name]
    return WORLD.address(octet)


@pytest.mark.usefixtures("neighbour")
def test_job_reaches_its_own_server_and_no_other_on_the_host(github: AdminClient) -> None:
    assert probes(github) == {**ALWAYS, "another host": "yes"}


@pytest.mark.usefixtures("neighbour", "restored")
def test_policy_of_one_instance_opens_only_github_and_the_mirrors(play: Play, github: AdminClient) -> None:
    converge(play, agent_egress_instances={f"{HOST}-lint": "github"})
    assert probes(github) == {**ALWAYS, "another host": "ECONNREFUSED"}


def test_rules_that_another_program_flushed_come_back(shell: Shell) -> None:
    shell("nft flush ruleset && systemctl start coldvox-ci-egress.service")
    assert "goto away-ci-laptop-extra" in shell("nft list map inet coldvox_ci away_of")


def test_faulty_rules_leave_ssh_and_the_old_rules(shell: Shell) -> None:
    table = "nft --stateless list map inet coldvox_ci away_of"
    before = shell(table)
    spoilt = "sed 's/goto away-ci-laptop-extra-lint/goto nowhere/' /run/coldvox-ci/egress/rules.nft"
    assert "refused" in shell(f"{spoilt} | nft -f - 2>&1 || echo refused")
    # Each call of shell is a connection by SSH of its own.
    assert shell(table) == before


def test_no_policy_cuts_off_ssh(shell: Shell) -> None:
    settings = "/etc/coldvox-ci/egress.json"
    shell(f"cp {settings} /run/egress.json && sed -i 's/open/none/' {settings}")
    try:
        assert f"{HOST}: none" in shell("runnerctl egress load")
        assert shell("echo goes on") == "goes on\n"
    finally:
        shell(f"cp /run/egress.json {settings} && runnerctl egress load")


def test_runner_does_not_start_without_rules(shell: Shell) -> None:
    name = f"{HOST}-lint"
    unit, ready = f"coldvox-runner@{name}.service", f"/run/coldvox-ci/egress/ready/{name}"
    settings = "/etc/coldvox-ci/egress.json"
    shell(f"systemctl stop {unit} && rm {ready} && mv {settings} /run/egress.json")
    try:
        assert "not started" in shell(f"systemctl start {unit} 2>&1 || echo not started")
        assert "No egress rules for this account" in shell(f"journalctl -o cat -n 20 -u {unit}")
    finally:
        shell(f"mv /run/egress.json {settings}; systemctl start {unit}")
    assert shell(f"systemctl is-active {unit}") == "active\n"
    assert shell(f"cat {ready}") == shell(f"id -u ci-{name}")
