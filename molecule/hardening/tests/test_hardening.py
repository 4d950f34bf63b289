"""The CI user may do its work and nothing else."""

from __future__ import annotations

from collections.abc import Callable

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


def test_runner_units_get_the_sandbox(host: Host) -> None:
    dropin = host.file("/etc/systemd/system/coldvox-runner@.service.d/50-hardening.conf")
    assert dropin.user == "root"
    assert dropin.mode == 0o644
    for directive in ("NoNewPrivileges=true", "ProtectSystem=strict", "PrivateTmp=true", "UMask=0077"):
        assert dropin.contains(f"^{directive}"), directive
