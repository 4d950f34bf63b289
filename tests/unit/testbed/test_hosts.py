"""The containers of the hosts, and the login to them."""

from __future__ import annotations

import base64
import stat
import subprocess
from pathlib import Path

import pytest

from testbed import copies, kernel, lifecycle
from testbed.errors import TestbedError
from testbed.hosts import create_arguments, key_digest, labels
from testbed.lifecycle import Wish
from testbed.paths import Paths
from testbed.progress import Progress
from testbed.ssh import ensure_access, login
from testbed.world import WORLDS

DEMO = WORLDS["demo"]
LAPTOP, DEBIAN = DEMO.hosts()


def options(arguments: list[str], name: str) -> list[str]:
    """Return the values of an option that precedes its value."""
    return [value for option, value in zip(arguments, arguments[1:], strict=False) if option == name]


def test_create_arguments_have_address_and_port_and_no_privilege(tmp_path: Path) -> None:
    arguments = create_arguments(DEMO, LAPTOP, "image:tag", labels(DEMO, Paths(tmp_path)))
    assert arguments[0] == "create"
    assert arguments[-1] == "image:tag"
    assert "--privileged" not in arguments
    assert options(arguments, "--name") == ["coldvox-demo-laptop-extra"]
    assert options(arguments, "--hostname") == ["laptop-extra"]
    assert options(arguments, "--network") == ["coldvox-demo"]
    assert options(arguments, "--ip") == ["10.213.57.11"]
    assert options(arguments, "--publish") == ["127.0.0.1:2281:22"]
    assert "mirror.testbed:10.213.57.1" in options(arguments, "--add-host")
    assert set(options(arguments, "--label")) == {
        "ci.coldvox.testbed=demo",
        f"ci.coldvox.testbed.root={tmp_path}",
    }


def test_create_arguments_have_a_volume_for_the_apt_cache_only_with_apt(tmp_path: Path) -> None:
    all_labels = labels(DEMO, Paths(tmp_path))
    assert options(create_arguments(DEMO, DEBIAN, "image", all_labels), "--volume") == [
        "coldvox-demo-debian-builder-apt:/var/cache/apt/archives"
    ]
    assert options(create_arguments(DEMO, LAPTOP, "image", all_labels), "--volume") == []


def test_create_arguments_allow_programs_in_tmp(tmp_path: Path) -> None:
    arguments = create_arguments(DEMO, LAPTOP, "image", labels(DEMO, Paths(tmp_path)))
    (tmp,) = [argument for argument in arguments if argument.startswith("--tmpfs=/tmp:")]
    assert "exec" in tmp.partition(":")[2].split(",")
    assert "noexec" not in tmp


def test_host_with_a_kernel_of_its_own_gets_its_keys_and_no_capability(tmp_path: Path) -> None:
    world = WORLDS["kernel"]
    (laptop,) = world.hosts()
    access = ensure_access(tmp_path, world, (laptop,))
    word = kernel.credentials(access)
    arguments = create_arguments(world, laptop, "image", {}, {"CREDENTIALS": word})
    assert "--cap-drop=ALL" in arguments
    assert not [argument for argument in arguments if "cap-add" in argument or argument == "--volume"]
    assert options(arguments, "--publish") == ["127.0.0.1:2311:2299"]
    assert options(arguments, "--env") == [f"CREDENTIALS={word}"]
    lines = base64.b64decode(word.rpartition(":")[2]).decode().splitlines()
    contents = {line.split()[1]: base64.b64decode(line.split()[-1]) for line in lines}
    assert contents == {
        "/etc/ssh/authorized_keys/admin": access.user_key.with_suffix(".pub").read_bytes(),
        "/etc/ssh/ssh_host_ed25519_key": access.host_key.read_bytes(),
    }


def test_ensure_access_makes_private_keys_once(tmp_path: Path) -> None:
    access = ensure_access(tmp_path / "demo", DEMO, DEMO.hosts())
    for key in (access.user_key, access.host_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key_digest(access)
    assert key_digest(ensure_access(tmp_path / "demo", DEMO, DEMO.hosts())) == before
    assert key_digest(ensure_access(tmp_path / "other", DEMO, DEMO.hosts())) != before


def test_ssh_config_is_read_by_ssh(tmp_path: Path) -> None:
    access = ensure_access(tmp_path / "a directory", DEMO, DEMO.hosts(1))
    shown = subprocess.run(
        ["ssh", "-F", access.config, "-G", "runner-01"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {"hostname 127.0.0.1", "port 2401", "user admin", "stricthostkeychecking true"} <= set(shown)
    assert f"identityfile {access.user_key}" in shown
    known = subprocess.run(
        ["ssh-keygen", "-F", "[127.0.0.1]:2401", "-f", access.known_hosts], capture_output=True, check=False
    )
    assert known.returncode == 0
    assert "BatchMode=yes" in login(access, LAPTOP)


def test_wish_without_names_means_the_hosts_of_the_inventory() -> None:
    assert [host.name for host in Wish().hosts(DEMO)] == ["laptop-extra", "debian-builder"]
    assert [host.name for host in Wish(("debian-builder",)).hosts(DEMO)] == ["debian-builder"]
    assert [host.name for host in Wish(("runner-02",), extra_hosts=2).hosts(DEMO)] == ["runner-02"]
    with pytest.raises(TestbedError, match=r"no host laptop; name one of laptop-extra"):
        Wish(("laptop",)).hosts(DEMO)


def test_wish_like_copies_further_hosts_only() -> None:
    images = {host.name: host.image for host in Wish(extra_hosts=3, like="runner-02").hosts(DEMO)}
    assert images == {
        "laptop-extra": "nobara-host",
        "debian-builder": "debian-host",
        "runner-01": copies.IMAGE,
        "runner-02": "debian-host",
        "runner-03": copies.IMAGE,
    }


def test_copies_take_refuses_a_host_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="--like runner-01: this host does not run"):
        copies.take(DEMO, "runner-01", Paths(tmp_path), Progress())


def test_refuse_other_checkout_ignores_a_world_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = [{"name": "x", "state": "running", "image": "i", "root": str(tmp_path / "gone"), "key": "k"}]
    monkeypatch.setattr("testbed.hosts.found_containers", lambda _world: containers)
    lifecycle.refuse_other_checkout(DEMO, Paths(tmp_path / "mine"))
