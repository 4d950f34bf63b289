"""Ways out of the sandbox, each tried as a job of a real unit.

Every attack must fail, and must succeed as soon as the directives against it are left out: that shows that
the test can fail.
"""

from __future__ import annotations

import dataclasses

import pytest

from tests._support.hardening_role import profiles, variables
from tests._support.workshop import ACCOUNT, Workshop

HIDDEN = ("TemporaryFileSystem=/run:ro", "BindReadOnlyPaths=-/run")


@dataclasses.dataclass(frozen=True)
class Attack:
    """A script of a job, which ends with 0 if it won.

    ``walls`` are the directives against it, and ``trace`` is what the host has if it won; ``setting`` is what
    the host has before.
    """

    script: str
    walls: tuple[str, ...]
    trace: str = "true"
    setting: str = "true"


ATTACKS = {
    "write below /run": Attack(
        "echo left > /run/probe/file",
        ("TemporaryFileSystem=/run:ro", "BindReadOnlyPaths=-/run"),
        "grep left /run/probe/file",
        "install -d -m 1777 /run/probe",
    ),
    "leave a file in /dev/shm": Attack(
        "echo left > /dev/shm/file", ("TemporaryFileSystem=/dev/shm", "RemoveIPC="), "grep left /dev/shm/file"
    ),
    "leave a file in /run/lock": Attack(
        "echo left > /run/lock/file",
        ("TemporaryFileSystem=/run", "BindReadOnlyPaths=-/run"),
        "grep left /run/lock/file",
        "chmod 1777 /run/lock; rm -f /run/lock/file",
    ),
    "leave a file in /var/tmp": Attack(
        "echo left > /var/tmp/file", ("PrivateTmp=", "ProtectSystem="), "grep left /var/tmp/file"
    ),
    "leave a file in /tmp": Attack(
        "echo left > /tmp/file", ("PrivateTmp=", "ProtectSystem="), "grep left /tmp/file", "rm -f /tmp/file"
    ),
    "hold a lock of the history": Attack(
        "flock --exclusive --nonblock /var/lib/coldvox-ci/history/history.db true",
        ("InaccessiblePaths=",),
        setting="install -D -m 644 /dev/null /var/lib/coldvox-ci/history/history.db",
    ),
    "read the metrics": Attack(
        "cat /var/lib/coldvox-ci/metrics/samples.csv",
        ("InaccessiblePaths=",),
        setting="install -D -m 644 /dev/null /var/lib/coldvox-ci/metrics/samples.csv",
    ),
    "write to the journal in the name of sshd": Attack(
        "logger --tag sshd 'Accepted publickey for root'", HIDDEN, "journalctl -t sshd | grep 'for root'"
    ),
    "use System V memory of others": Attack(
        "ipcs -m | grep root", ("PrivateIPC=",), setting="ipcmk -M 4096 -p 0666 >/dev/null"
    ),
    "ask the system bus": Attack("busctl --system --no-pager list | grep login1", HIDDEN),
    "ask the manager of the system": Attack("systemctl show --property=Version | grep Version", HIDDEN),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_job_cannot_get_out(host: Workshop, attack: Attack) -> None:
    host.must(attack.setting)
    script = f"{{ {attack.script}; }} && echo WON"

    blocked = host.job(script)
    assert "WON" not in blocked.output or host.root(attack.trace).status != 0, blocked.output

    weak = host.job(script, without=attack.walls)
    assert "WON" in weak.output, weak.output
    host.must(attack.trace)


#: A user manager of the account would start this outside of the sandbox.
ESCAPE = """
mkdir -p ~/.config/systemd/user/default.target.wants
cat > ~/.config/systemd/user/escape.service <<END
[Service]
ExecStart=/bin/sh -c 'grep -E "NoNewPrivs|Seccomp:" /proc/self/status > /var/tmp/escaped'
END
ln -s ../escape.service ~/.config/systemd/user/default.target.wants/
"""
# With the name: logind finds no session of the caller.
LINGER = f"{ESCAPE} loginctl enable-linger {ACCOUNT}; sleep 5"
SSH = f"""{ESCAPE}
mkdir -p -m 700 ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id
cp ~/.ssh/id.pub ~/.ssh/authorized_keys
timeout 6 ssh -N -i ~/.ssh/id -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {ACCOUNT}@127.0.0.1
"""
OUTSIDE = "NoNewPrivs:\t0\nSeccomp:\t0\n"
VALUES = variables("build")
POLKIT, MANAGER, SSHD = (VALUES[f"__hardening_{name}"] for name in ("polkit", "manager", "sshd"))
#: The wall that is no file: the unit does not see the socket of the system bus.
BUS = "the hidden bus"
WALLS = {"linger": (BUS, POLKIT, MANAGER), "ssh": (SSHD, MANAGER)}
SCRIPTS = {"linger": LINGER, "ssh": SSH}
RELOAD = "systemctl daemon-reload; systemctl reload ssh; sleep 1"


def try_for_manager(host: Workshop, way: str, walls: tuple[str, ...]) -> str:
    """Run the attack with only these walls.

    Returns what a program that got out wrote, or nothing.
    """
    gone = [path for path in (POLKIT, MANAGER, SSHD) if path not in walls]
    try:
        host.must("".join(f"mv {path} {path}.gone; " for path in gone) + RELOAD)
        host.job(SCRIPTS[way], without=() if BUS in walls else HIDDEN)
        return host.root("cat /var/tmp/escaped 2>/dev/null").output
    finally:
        host.must("".join(f"mv {path}.gone {path}; " for path in gone) + RELOAD)
        host.forget_user(ACCOUNT)


@pytest.mark.parametrize(("way", "wall"), [(way, wall) for way, walls in WALLS.items() for wall in walls])
def test_each_wall_alone_stops_the_escape_by_a_user_manager(host: Workshop, way: str, wall: str) -> None:
    assert try_for_manager(host, way, (wall,)) == ""


@pytest.mark.parametrize("way", WALLS)
def test_escape_by_a_user_manager_succeeds_without_walls(host: Workshop, way: str) -> None:
    assert try_for_manager(host, way, ()) == OUTSIDE


MANAGER_IS = f"systemctl is-active user@$(id -u {ACCOUNT}).service"
LINGERS = f"test -e /var/lib/systemd/linger/{ACCOUNT}"


def test_linger_of_an_instance_is_removed_and_reported(host: Workshop) -> None:
    host.must(f"loginctl enable-linger {ACCOUNT}")
    host.wait(f"! {LINGERS}")
    assert host.root(MANAGER_IS).output.strip() == "inactive"
    said = host.must(f"journalctl --no-pager --priority=warning --unit=user@$(id -u {ACCOUNT}).service")
    assert f"{ACCOUNT} runs jobs and gets no user manager" in said


def test_running_manager_of_an_instance_is_stopped_when_the_role_comes(host: Workshop) -> None:
    host.must(f"mv {MANAGER} {MANAGER}.gone; systemctl daemon-reload")
    try:
        host.must(f"loginctl enable-linger {ACCOUNT}")
        host.wait(MANAGER_IS)
    finally:
        host.must(f"mv {MANAGER}.gone {MANAGER}; systemctl daemon-reload")
    host.must(f"{VALUES['__hardening_runs_jobs']}; ! {LINGERS}")
    assert host.root(MANAGER_IS).output.strip() == "inactive"


@pytest.mark.parametrize("prepare", ["true", f"mv {VALUES['__hardening_runs_jobs']} /root/gone"])
def test_people_keep_their_user_manager(host: Workshop, prepare: str) -> None:
    # Without the program, too: an error of ours must not keep a person out.
    host.must(f"useradd ci-person && {prepare} && loginctl enable-linger ci-person")
    try:
        host.wait("systemctl is-active user@$(id -u ci-person).service")
    finally:
        host.must(f"test ! -e /root/gone || mv /root/gone {VALUES['__hardening_runs_jobs']}")
        host.forget_user("ci-person")
        host.must("userdel ci-person")


LISTEN = """
import os, socket
for path in ("/run/docker.sock", "/run/unknown/socket", "/run/avahi-daemon/socket"):
    if not os.path.exists(path):
        socket.socket(socket.AF_UNIX).bind(path)
    os.chmod(path, 0o666)
"""


@pytest.mark.parametrize("profile", sorted(set(profiles()) - {"off"}))
def test_job_reaches_no_socket_of_a_service_except_for_names(host: Workshop, profile: str) -> None:
    # What an unknown service may listen on.
    host.must("mkdir -p /run/avahi-daemon /run/unknown; python3 -", LISTEN.encode())
    script = "find / -path /proc -prune -o -type s -writable -print 2>/dev/null"
    allowed = {"/run/avahi-daemon/socket", "/run/systemd/resolve/io.systemd.Resolve"}
    seen = set(host.job(script, profile).output.split())
    assert seen == allowed, seen
    everything = set(host.job(script, profile, without=HIDDEN).output.split())
    assert {"/run/docker.sock", "/run/unknown/socket", "/run/dbus/system_bus_socket"} < everything


def test_job_resolves_names_of_resolved(host: Workshop) -> None:
    host.must("grep 'hosts:.* resolve ' /etc/nsswitch.conf; systemctl is-active systemd-resolved")
    assert host.job("getent hosts _gateway").status == 0
    assert host.job("getent hosts _gateway", without=["BindReadOnlyPaths=-/run/systemd/resolve"]).status != 0


def test_job_writes_its_records_and_locks_and_reads_the_health(host: Workshop) -> None:
    host.must(f"install -d -o {ACCOUNT} /run/coldvox-ci/jobs/probe; install -d -m 1777 /run/coldvox-ci/locks")
    host.must("echo fine > /run/coldvox-ci/health.json")
    script = "cd /run/coldvox-ci && echo 1 > jobs/probe/a.started.json && echo 1 > locks/b && cat health.json"
    done = host.job(script)
    assert (done.status, done.output) == (0, "fine\n")
    assert host.job("touch /run/coldvox-ci/x || ! mkdir /run/x").status == 0
    host.must("cat /run/coldvox-ci/jobs/probe/a.started.json /run/coldvox-ci/locks/b")
