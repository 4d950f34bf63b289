"""Limits that bite, records of the audit, address filters, and Debian's polkit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from tests.attacks import batch
from tests.attacks.campaign import BLOCKED, BY_DESIGN

from .conftest import Attacks, Laptop, named

#: An instance with limits that a test can reach (molecule/inventory/kernel), and its labels.
INSTANCE, LABELS = "laptop-extra-test", ["nobara", "light-test"]
ACCOUNT = f"ci-{INSTANCE}"
CONTROL_GROUP = "cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"


def test_job_escapes_through_polkit_without_our_files(bare_laptop: Laptop) -> None:
    """A control: polkit's shipped policy and a usual sandbox do not stop the attack."""
    attack = named("lingering_user_unit")
    variables = {"NONCE": "attack-bare", "ACCOUNT": "probe", "MINE": "/home/probe"}
    sandbox = (
        "User=probe",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "ReadWritePaths=/home/probe",
    )
    properties = " ".join(f"--property={each}" for each in sandbox)
    bare_laptop.root("useradd --create-home probe")
    bare_laptop.root(
        f"cat >/run/attack.sh <<'END-OF-ATTACK'\n{batch.script([attack], 'job', variables)}\nEND-OF-ATTACK\n"
        f"systemd-run --quiet --wait --pipe {properties} /bin/bash /run/attack.sh"
    )
    after = bare_laptop.root(batch.script([attack], "after", variables))
    assert batch.read(after, attack.name, variables["NONCE"]).won
    # The program of the attack writes its marker only if it runs outside of the sandbox.
    outside = "for _ in $(seq 60); do grep won ~probe/escaped && break; sleep 0.5; done"
    assert f"won {attack.name}" in bare_laptop.root(outside)
    bare_laptop.root(batch.script([attack], "restore", variables))


def test_polkit_refuses_linger_to_the_accounts_of_runners_alone(laptop: Laptop) -> None:
    """The rule holds outside of the sandbox too, where the bus is in reach."""
    ask = "runuser -u {0} -- loginctl enable-linger {0} && echo accepted; true"
    assert "accepted" not in laptop.root(ask.format(ACCOUNT))
    assert "accepted" in laptop.root(ask.format("probe"))
    laptop.root("loginctl disable-linger probe")


@pytest.mark.parametrize(("scope", "verdict"), [(1, BLOCKED), (0, BY_DESIGN)])
def test_yama_decides_whether_a_job_traces_its_listener(
    laptop: Laptop, attacks: Attacks, scope: int, verdict: str
) -> None:
    laptop.root(f"sysctl -w kernel.yama.ptrace_scope={scope}")
    attack = named("trace_own_listener")
    outcome = attacks([attack])[attack.name]
    assert outcome.verdict == verdict, f"{outcome.reason}\n{outcome.output}"


def test_memory_limit_ends_the_program_and_not_the_runner(laptop: Laptop) -> None:
    hungry = "if python3 -c 'bytearray({} << 20)'; then echo fits; else echo status $?; fi"
    assert "fits" in laptop.job(LABELS, hungry.format(20))
    assert "status 137" in laptop.job(LABELS, hungry.format(160))
    assert "fits" in laptop.root(hungry.format(160)), "the host has that much"
    killed = laptop.root("journalctl --dmesg --no-pager --grep 'Memory cgroup out of memory'")
    assert "(python3)" in killed


def test_tasks_limit_stops_a_fork_bomb(laptop: Laptop) -> None:
    bomb = """python3 - <<'END'
import subprocess
started = []
try:
    for _ in range(80):
        started.append(subprocess.Popen(["sleep", "60"]))
except BlockingIOError as error:
    print("refused:", error)
print(len(started), "started")
for each in started:
    each.kill()
END
"""
    seen = laptop.job(LABELS, f"{bomb}{CONTROL_GROUP}; cat pids.max pids.events")
    assert "refused:" in seen
    assert re.search(r"^60\nmax [1-9]", seen, re.M), "the control group refused, and no other limit"
    assert "80 started" in laptop.root(bomb)


def test_processor_limit_throttles(laptop: Laptop) -> None:
    spin = "cat cpu.stat; timeout 4 sh -c 'while :; do :; done' || cat cpu.stat"
    used, throttled = growth(laptop.job(LABELS, f"{CONTROL_GROUP}; {spin}"))
    assert throttled > 0
    assert used < 3_000_000, "half of a processor for four seconds"


def growth(output: str) -> Sequence[int]:
    """Return by how much two counters of cpu.stat grew."""
    values = [re.findall(rf"^{name} (\d+)$", output, re.M) for name in ("usage_usec", "nr_throttled")]
    return [int(last) - int(first) for first, last in values]


def test_filter_of_a_unit_refuses_addresses(laptop: Laptop) -> None:
    connect = "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && head -c 4 <&3'"

    def answer(*properties: str) -> str:
        words = " ".join(f"--property={each}" for each in properties)
        return laptop.root(f"systemd-run --quiet --wait --pipe {words} {connect}", check=False)

    assert "SSH-" in answer()
    assert "SSH-" not in answer("IPAddressDeny=any")
    assert "SSH-" in answer("IPAddressDeny=any", "IPAddressAllow=localhost")


def test_changes_says_who_changed_what(laptop: Laptop) -> None:
    planted = {
        "sudo": "/etc/sudoers.d/planted",
        "ssh": "/etc/ssh/authorized_keys/planted",
        "units": "/etc/systemd/system/planted.service",
    }
    laptop.root("\n".join(f"echo '# planted' >{path}" for path in planted.values()))
    # Nobody logged in to change this one.
    laptop.root("systemd-run --quiet --wait sh -c 'echo >/etc/sudoers.d/by-service'")
    try:
        answer = json.loads(laptop.root("runnerctl changes --json --since 1h"))
    finally:
        laptop.root(f"rm -f {' '.join(planted.values())} /etc/sudoers.d/by-service")
    assert answer["unrecorded"] == ""
    found = {
        path: (change["topic"], change["login"], change["account"])
        for change in answer["changes"]
        for path in change["files"]
    }
    for topic, path in planted.items():
        assert found[path] == (topic, "admin", "root")
    assert found["/etc/sudoers.d/by-service"] == ("sudo", "", "root")
