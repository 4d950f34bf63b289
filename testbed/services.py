"""The services of a world: the GitHub emulator and the artifact mirror.

They are processes of this checkout that listen on the world's gateway address.
"""

from __future__ import annotations

import dataclasses
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from testbed import process
from testbed.errors import TestbedError
from testbed.paths import CHECKOUT, Paths
from testbed.process import Identity
from testbed.progress import Progress
from testbed.world import EMULATOR_PORT, MIRROR_PORT, World

HEALTHY_SECONDS = 60.0
POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Service:
    """One service process.

    It is healthy when ``health_path`` of its ``url`` answers with 200.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    url: str
    health_path: str

    @property
    def health_url(self) -> str:
        """The URL that answers with 200 when the service is healthy."""
        return self.url + self.health_path

    @property
    def argv(self) -> list[str]:
        """The command line that starts the service."""
        return [sys.executable, "-m", self.module, *self.arguments]


def world_services(world: World, paths: Paths) -> tuple[Service, ...]:
    """Return the services of a world."""
    address = ("serve", "--host", world.gateway, "--port")
    emulator = Service(
        "github",
        "testbed.github",
        (
            *address,
            str(EMULATOR_PORT),
            "--spec",
            str(paths.cache / "github" / "openapi.json"),
            "--mirror-url",
            world.mirror_url,
            "--mirror-manifest",
            str(paths.www / "manifest.json"),
        ),
        world.emulator_url,
        "/_testbed/health",
    )
    mirror = Service(
        "mirror",
        "testbed.mirror",
        (*address, str(MIRROR_PORT), "--root", str(paths.www)),
        world.mirror_url,
        "/manifest.json",
    )
    return (emulator, mirror)


def healthy(service: Service, timeout_seconds: float = 2) -> bool:
    """Return whether the service answers."""
    try:
        with urllib.request.urlopen(service.health_url, timeout=timeout_seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def start(service: Service, log: Path, paths: Paths, progress: Progress) -> Identity:
    """Start a service without waiting for it; see ``await_healthy``."""
    progress.line("services", f"starting {service.name}")
    return process.spawn(
        service.argv, log=log, cwd=CHECKOUT, environment={"COLDVOX_TESTBED_DIR": str(paths.root)}
    )


def await_healthy(service: Service, running: Identity, log: Path) -> None:
    """Return once the service answers.

    Raises TestbedError with the last line of its log when the process ends or HEALTHY_SECONDS have passed.
    """
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not healthy(service):
        ended = not process.alive(running)
        if ended or time.monotonic() > deadline:
            how = "ended at once" if ended else f"does not answer at {service.health_url}"
            raise TestbedError(
                f"The service {service.name} {how}: {process.last_line(log)}. "
                f"Read its log {log} and run 'up' again."
            )
        time.sleep(POLL_SECONDS)


def orphans(service: Service, known: Identity | None, proc: Path = Path("/proc")) -> list[Identity]:
    """Return the processes, other than ``known``, that serve the same address.

    An ``up`` that was killed leaves such processes.
    """
    wanted = ["-m", service.module, *service.arguments[:5]]
    leftovers = []
    for entry in proc.glob("[0-9]*/cmdline"):
        try:
            argv = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        identity = process.identify(int(entry.parent.name)) if argv[1 : 1 + len(wanted)] == wanted else None
        if identity is not None and identity != known:
            leftovers.append(identity)
    return leftovers
