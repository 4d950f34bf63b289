"""The CI user may do its work and nothing else."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator

import pytest
from testinfra.host import Host


def test_ci_user_belongs_to_its_group_alone(host: Host) -> None:
    assert host.user("ci").groups == ["ci"]


def test_ci_user_has_no_password_and_no_login(host: Host) -> None:
    assert host.user("ci").password.startswith(("!", "*"))
    assert host.user("ci").shell.endswith("nologin")


def test_ci_user_is_refused_by_sudo(host: Host) -> None:
    assert "is not allowed to run sudo" in host.run("sudo -l -U ci").stdout


def test_ci_user_cannot_write_to_the_system(refused: Callable[..., None]) -> None:
    for path in ("/etc", "/usr/local/bin", "/var/cache", "/opt"):
        refused(f"touch {path}/planted")


DROP_IN = "/etc/systemd/system/coldvox-runner@.service.d/50-hardening.conf"
#: The most that systemd may count for the profile of the inventory, build; ten times the exposure.
MOST_EXPOSURE = 15
#: A job's unit, but for the listener. The scenario has no runner yet.
JOB = """\
[Service]
Type=oneshot
User=ci
StandardOutput=file:/run/coldvox-probe
ExecStart=/bin/sh -c 'find / -path /proc -prune -o -type s -writable -print 2>/dev/null; true'
"""
UNIT = "/run/systemd/system/coldvox-probe.service"
WRITE = f"printf %s {shlex.quote(JOB)} > {UNIT} && sed /^#/d {DROP_IN} >> {UNIT}"


def test_runner_units_get_the_sandbox(host: Host) -> None:
    from tests._support import hardening_role

    dropin = host.file(DROP_IN)
    assert (dropin.user, dropin.mode) == ("root", 0o644)
    rendered = hardening_role.drop_in("build").partition("# Profile")[2]
    assert dropin.content_string.partition("# Profile")[2] == rendered


@pytest.fixture
def probe(host: Host) -> Iterator[None]:
    """Make a unit with the sandbox of the runner units."""
    host.check_output(f"{WRITE} && systemctl daemon-reload")
    yield
    host.check_output(f"rm -f {UNIT} /run/coldvox-probe && systemctl daemon-reload")


@pytest.mark.usefixtures("probe")
def test_systemd_of_the_host_counts_the_exposure_of_the_profile(host: Host) -> None:
    host.check_output(f"systemd-analyze security --offline=true --threshold={MOST_EXPOSURE} {UNIT}")


@pytest.mark.usefixtures("probe")
def test_job_sees_no_socket_of_a_service(host: Host) -> None:
    host.check_output("systemctl start coldvox-probe.service")
    # Name resolution by systemd-resolved, where a host has it.
    names = {"/run/systemd/resolve/io.systemd.Resolve"}
    assert set(host.file("/run/coldvox-probe").content_string.split()) <= names
    # The same search finds them outside of the sandbox.
    host.check_output(f"sed -i /^TemporaryFileSystem/d {UNIT} && systemctl daemon-reload")
    host.check_output("systemctl start coldvox-probe.service")
    assert "/run/dbus/system_bus_socket" in host.file("/run/coldvox-probe").content_string


def test_account_that_runs_jobs_gets_no_user_manager_and_no_login(host: Host) -> None:
    host.check_output("useradd --system --groups ci --shell /usr/sbin/nologin ci-guest")
    try:
        host.check_output("loginctl enable-linger ci-guest")
        uid = host.check_output("id -u ci-guest")
        for _attempt in range(100):
            if "gets no user manager" in host.run(f"journalctl --unit=user@{uid}").stdout:
                break
            time.sleep(0.2)
        assert not host.file("/var/lib/systemd/linger/ci-guest").exists
        assert host.run(f"systemctl is-active user@{uid}").stdout.strip() != "active"
        rules = host.check_output("sshd -T -C user=ci-guest,host=here,addr=127.0.0.1")
        assert "denyusers *" in rules.splitlines()
        assert "denyusers" not in host.check_output("sshd -T -C user=admin,host=here,addr=127.0.0.1")
    finally:
        host.check_output("userdel ci-guest")
