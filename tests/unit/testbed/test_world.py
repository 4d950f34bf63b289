"""The worlds' addresses, their recorded state and their locks."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.paths import paths_for
from testbed.process import Identity
from testbed.world import MAX_EXTRA_HOSTS, WORLDS, State, load_state, locked, save_state


def test_world_addresses_are_those_of_the_inventories() -> None:
    demo, test = WORLDS["demo"], WORLDS["test"]
    assert (demo.gateway, test.gateway) == ("10.213.57.1", "10.213.58.1")
    assert demo.emulator_url == "http://10.213.57.1:8080"
    assert test.mirror_url == "http://10.213.58.1:8081"
    assert [(host.name, host.ssh_port) for host in demo.hosts()] == [
        ("laptop-extra", 2281),
        ("debian-builder", 2282),
    ]
    assert [host.ssh_port for host in test.hosts()] == [2291, 2292]
    assert WORLDS["roles"].gateway == "10.213.59.1"
    assert [host.ssh_port for host in WORLDS["roles"].hosts()] == [2301, 2302]


def test_world_hosts_share_no_port_and_no_address() -> None:
    everything = [(world, host) for world in WORLDS.values() for host in world.hosts(MAX_EXTRA_HOSTS)]
    ports = [host.ssh_port for _, host in everything]
    addresses = [world.address(host.octet) for world, host in everything]
    containers = [world.container(host.name) for world, host in everything]
    for values in (ports, addresses, containers):
        assert len(set(values)) == len(everything)
    for world, host in everything:
        network = ipaddress.ip_network(world.subnet)
        assert ipaddress.ip_address(world.address(host.octet)) in list(network.hosts())[1:]


def test_world_extra_hosts_are_numbered_from_one() -> None:
    names = [host.name for host in WORLDS["test"].hosts(10)]
    assert names[2:4] == ["runner-01", "runner-02"]
    assert names[-1] == "runner-10"


@pytest.mark.parametrize("number", [-1, MAX_EXTRA_HOSTS + 1])
def test_world_rejects_too_many_extra_hosts(number: int) -> None:
    with pytest.raises(TestbedError, match=f"--hosts {number}"):
        WORLDS["demo"].hosts(number)


def test_load_state_returns_the_saved_state(tmp_path: Path) -> None:
    path = tmp_path / "worlds" / "demo" / "state.json"
    state = State(
        {"github": Identity(12, 345, "boot")},
        {"github": "digest of its code"},
        {"laptop-extra": "coldvox-testbed/nobara-host:abc"},
    )
    save_state(path, state)
    assert load_state(path) == state
    assert os.listdir(path.parent) == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"services": {"github": {"pid": 1}}, "hosts": {}}'])
def test_load_state_returns_an_empty_state_for_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert load_state(path) == State()


def _hold(
    path: Path, holds: multiprocessing.synchronize.Event, release: multiprocessing.synchronize.Event
) -> None:
    with locked(path, lambda _pid: None):
        holds.set()
        release.wait(10)


def test_locked_waits_for_another_process_and_names_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    holds, release = context.Event(), context.Event()
    path = tmp_path / "locks" / "demo.lock"
    holder = context.Process(target=_hold, args=(path, holds, release))
    holder.start()
    waited_for: list[str] = []

    def note(pid: str) -> None:
        assert not release.is_set()
        waited_for.append(pid)
        release.set()

    try:
        assert holds.wait(10)
        with locked(path, note):
            assert waited_for == [str(holder.pid)]
    finally:
        release.set()
        holder.join(10)


def test_locked_can_be_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "demo.lock"
    with locked(path, pytest.fail):
        pass
    with locked(path, pytest.fail):
        pass


def test_paths_for_reads_the_directory_from_the_environment(tmp_path: Path) -> None:
    assert paths_for({"COLDVOX_TESTBED_DIR": str(tmp_path)}).www == tmp_path / "cache" / "www"
    assert paths_for({}).root.name == ".testbed"
    assert paths_for({"COLDVOX_TESTBED_DIR": ""}) == paths_for({})
