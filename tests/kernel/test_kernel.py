"""Limits that bite, records of the audit, and linger with a real polkit."""

from __future__ import annotations

import time

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.runner.pool import resource_class

from .conftest import ACCOUNT, ROOT, Guest

#: The kernel has 1 GiB, so the class is smaller than those of the role.
SMALL = {"small": {"cores": 0.5, "memory_gib": 0.0625, "tasks_max": 40}}
LIMITS = {name: value for name, value in resource_class("small", SMALL).directives.items() if name != "Slice"}
LINGER = f"""
units=$HOME/.config/systemd/user
mkdir -p "$units/default.target.wants"
cat >"$units/escape.service" <<END
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'grep NoNewPrivs /proc/self/status >{ROOT}/escaped'
END
ln -sf ../escape.service "$units/default.target.wants/escape.service"
# With the name: logind finds no session of the caller.
loginctl enable-linger {ACCOUNT} && echo accepted
sleep 4
"""


@pytest.fixture
def forgotten(bare_guest: Guest) -> None:
    """Remove what an earlier escape left."""
    bare_guest.root(
        f"loginctl disable-linger {ACCOUNT}; systemctl stop user@$(id -u {ACCOUNT}).service\n"
        f"rm -rf {ROOT}/escaped {ROOT}/_home/.config\ntrue"
    )


def escaped(guest: Guest) -> bool:
    return "NoNewPrivs" in guest.root(f"cat {ROOT}/escaped", check=False)


@pytest.mark.usefixtures("forgotten")
def test_linger_escapes_under_polkit_without_our_files(bare_guest: Guest) -> None:
    """A control: without our rules, polkit's shipped policy lets a job escape."""
    output = bare_guest.job(LINGER, NoNewPrivileges="true", ProtectSystem="strict", RestrictNamespaces="true")
    assert "accepted" in output
    assert escaped(bare_guest)


@pytest.mark.usefixtures("forgotten")
def test_linger_is_refused_in_the_sandbox(guest: Guest) -> None:
    assert "accepted" not in guest.job(LINGER)
    assert not escaped(guest)
    assert guest.root(f"ls /var/lib/systemd/linger/{ACCOUNT} 2>/dev/null || true") == ""


@pytest.mark.usefixtures("forgotten")
def test_linger_is_refused_by_polkit_outside_of_the_sandbox(guest: Guest) -> None:
    """The rule alone holds too: it does not depend on the sandbox."""
    refused = guest.root(f"runuser -u {ACCOUNT} -- loginctl enable-linger {ACCOUNT} && echo accepted; true")
    assert "accepted" not in refused
    # A rule that refuses everybody would prove nothing.
    other = "useradd --system other; runuser -u other -- loginctl enable-linger other && echo accepted; true"
    assert "accepted" in guest.root(other)


def test_memory_limit_ends_the_program_and_not_the_host(guest: Guest) -> None:
    hungry = "python3 -c 'bytes(bytearray(90 << 20))' 2>&1; echo status $?"
    assert "status 0" in guest.job(hungry)
    output = guest.job(hungry, OOMPolicy="continue", MemorySwapMax="0", **LIMITS)
    assert "status 137" in output, "the kernel killed the program, and the job went on"


def test_tasks_limit_stops_a_fork_bomb(guest: Guest) -> None:
    bomb = "for number in $(seq 60); do sleep 20 & done; jobs -r | wc -l"
    output = guest.job(bomb, **LIMITS)
    assert "Resource temporarily unavailable" in output
    free = guest.job("for number in $(seq 60); do sleep 1 & done; jobs -r | wc -l")
    assert "Resource temporarily unavailable" not in free


def test_processor_limit_holds(guest: Guest) -> None:
    spin = (
        "timeout 4 sh -c 'while :; do :; done'; cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.stat"
    )
    counted = dict(line.split() for line in guest.job(spin, **LIMITS).splitlines())
    assert int(counted["nr_throttled"]) > 0
    assert int(counted["usage_usec"]) < 3_000_000, "half of a processor for four seconds"
    free = dict(line.split() for line in guest.job(spin).splitlines())
    assert int(free.get("nr_throttled", 0)) == 0


def test_audit_records_who_changed_sudo_rules(guest: Guest) -> None:
    guest.root("touch /etc/sudoers.d/planted; rm /etc/sudoers.d/planted")
    deadline = time.monotonic() + 20
    while "/etc/sudoers.d" not in (
        records := guest.root("ausearch --input-logs -k coldvox_sudo </dev/null", check=False)
    ):
        assert time.monotonic() < deadline, records[-2000:]
        time.sleep(1)
    assert "auid=1000" in records.replace("auid=admin", "auid=1000")


def test_network_filter_of_a_unit_acts(guest: Guest) -> None:
    """The kernel enforces systemd's filter of addresses.

    It needs control groups of version 2 and BPF.
    """
    guest.root("systemctl is-active ssh || systemctl start ssh")
    connect = "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && head -c 4 <&3'"
    assert "SSH-" in guest.job(connect)
    assert "SSH-" not in guest.job(connect, IPAddressDeny="any")
