"""The worlds: networks, hosts, addresses, and their recorded state."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.paths import Paths
from testbed.process import Identity

EMULATOR_PORT = 8080
MIRROR_PORT = 8081
REPOSITORY = "Coldaine/ColdVox"
#: The label of every container, network and volume; its value is the world's name.
LABEL = "ci.coldvox.testbed"
#: The label that holds the testbed directory of the checkout that made the container.
ROOT_LABEL = "ci.coldvox.testbed.root"
MAX_EXTRA_HOSTS = 40
#: The image whose hosts boot a kernel of their own (kernel.py).
KERNEL_IMAGE = "kernel-host"


@dataclasses.dataclass(frozen=True)
class Host:
    """One managed host.

    ``octet`` is the last part of its address. ``ssh_port`` is a port on the loopback of this machine.
    """

    name: str
    image: str
    octet: int
    ssh_port: int
    keeps_apt_cache: bool = False

    @property
    def own_kernel(self) -> bool:
        """Whether the host boots a kernel of its own in its container."""
        return self.image == KERNEL_IMAGE


@dataclasses.dataclass(frozen=True)
class World:
    """One network with its hosts and services.

    ``third_octet`` keeps the addresses of the worlds apart. With ``own_kernel``, the laptop is the only host
    of the inventory, and it boots a kernel of its own.
    """

    name: str
    third_octet: int
    first_ssh_port: int
    first_extra_port: int
    own_kernel: bool = False

    @property
    def network(self) -> str:
        """The Docker network; also the prefix of the containers' names."""
        return f"coldvox-{self.name}"

    @property
    def subnet(self) -> str:
        """The address range of the network."""
        return f"10.213.{self.third_octet}.0/24"

    def address(self, octet: int) -> str:
        """Return one address of the network."""
        return f"10.213.{self.third_octet}.{octet}"

    @property
    def gateway(self) -> str:
        """The address of this machine in the network, where the services listen."""
        return self.address(1)

    @property
    def emulator_url(self) -> str:
        """The address of the GitHub emulator."""
        return f"http://{self.gateway}:{EMULATOR_PORT}"

    @property
    def mirror_url(self) -> str:
        """The address of the artifact mirror."""
        return f"http://{self.gateway}:{MIRROR_PORT}"

    def container(self, host: str) -> str:
        """Return the name of a host's container."""
        return f"{self.network}-{host}"

    def hosts(self, extra: int = 0) -> tuple[Host, ...]:
        """Return the hosts of the inventory and ``extra`` further Debian hosts.

        The further hosts are runner-01, runner-02 and so on.
        """
        if not 0 <= extra <= MAX_EXTRA_HOSTS:
            raise TestbedError(
                f"The option --hosts {extra} is out of range; give a number from 0 to {MAX_EXTRA_HOSTS}."
            )
        laptop = Host(
            "laptop-extra", KERNEL_IMAGE if self.own_kernel else "nobara-host", 11, self.first_ssh_port
        )
        builder = Host("debian-builder", "debian-host", 12, self.first_ssh_port + 1, keeps_apt_cache=True)
        named = (laptop,) if self.own_kernel else (laptop, builder)
        more = (
            Host(f"runner-{number:02d}", "debian-host", 20 + number, self.first_extra_port + number)
            for number in range(1, extra + 1)
        )
        return (*named, *more)


WORLDS = {
    "demo": World("demo", third_octet=57, first_ssh_port=2281, first_extra_port=2400),
    "test": World("test", third_octet=58, first_ssh_port=2291, first_extra_port=2500),
    "roles": World("roles", third_octet=59, first_ssh_port=2301, first_extra_port=2600),
    "kernel": World("kernel", third_octet=60, first_ssh_port=2311, first_extra_port=2700, own_kernel=True),
}


@dataclasses.dataclass
class State:
    """The services and hosts that ``up`` started in one world.

    ``services`` has the process of each service, ``hosts`` the image that each host was made from.
    """

    services: dict[str, Identity] = dataclasses.field(default_factory=dict)
    #: A digest of the code that each service was started from.
    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    hosts: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """Return the state from plain data."""
        services = {name: Identity(**value) for name, value in data["services"].items()}
        return cls(services, dict(data.get("sources", {})), dict(data["hosts"]))


def state_path(paths: Paths, world: World) -> Path:
    """Return the file that holds a world's state."""
    return paths.world(world.name) / "state.json"


def load_state(path: Path) -> State:
    """Return the recorded state.

    A missing or damaged file gives an empty state: nothing is known to run.
    """
    try:
        return State.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return State()


def save_state(path: Path, state: State) -> None:
    """Replace the recorded state in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(state.to_json(), indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file ``path`` for a ``with`` block.

    When another process holds it, call ``on_wait`` with that process's id and wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            on_wait(handle.read().strip() or "unknown")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        yield
