"""Starting and stopping a world."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed import copies, docker_cli, hosts, process, services
from testbed.caches import Images, ensure_caches
from testbed.docker_engine import Machine, check_machine, engine_refusal, ensure_engine
from testbed.errors import TestbedError
from testbed.images import remove_images
from testbed.paths import Paths
from testbed.prepare import source_digest
from testbed.programs import ensure_programs
from testbed.progress import Progress
from testbed.ssh import ensure_access
from testbed.world import Host, State, World, load_state, locked, save_state, state_path


@dataclasses.dataclass(frozen=True)
class Wish:
    """The options of ``up``.

    Without ``host_names`` all hosts of the world are meant, with the ``extra_hosts``.
    """

    host_names: tuple[str, ...] = ()
    extra_hosts: int = 0
    model_mib: int = 64
    fresh: bool = False
    #: The further hosts are copies of this host.
    like: str = ""

    def hosts(self, world: World) -> tuple[Host, ...]:
        """Return the hosts to start."""
        offered = {host.name: host for host in world.hosts(self.extra_hosts)}
        if self.like:
            offered |= {
                name: dataclasses.replace(host, image=copies.IMAGE)
                for name, host in offered.items()
                if name not in (self.like, *(host.name for host in world.hosts()))
            }
        unknown = sorted(set(self.host_names) - set(offered))
        if unknown:
            raise TestbedError(f"There is no host {', '.join(unknown)}; name one of {', '.join(offered)}.")
        return tuple(host for name, host in offered.items() if not self.host_names or name in self.host_names)


@contextlib.contextmanager
def alone(world: World, paths: Paths, progress: Progress) -> Iterator[None]:
    """Keep other testbed commands out of this world."""
    with locked(
        paths.lock(world.name),
        lambda pid: progress.line("world", f"waiting: process {pid} works on {world.name}"),
    ):
        yield


def up(world: World, wish: Wish, machine: Machine, paths: Paths, progress: Progress) -> None:
    """Start the services and the wanted hosts that do not run yet."""
    wanted = wish.hosts(world)
    check_machine(machine)
    ensure_machine(machine, paths, progress)
    with alone(world, paths, progress):
        refuse_other_checkout(world, paths)
        if wish.fresh:
            renew(world, wish, paths, progress)
        own_kernel = any(host.own_kernel for host in wanted)
        images = ensure_caches(machine, paths, wish.model_mib, progress, own_kernel=own_kernel)
        if wish.like:
            images.tags[copies.IMAGE] = copies.take(world, wish.like, paths, progress)
        access = ensure_access(
            paths.world(world.name), world, world.hosts(max(wish.extra_hosts, known_extra(world, paths)))
        )
        state = load_state(state_path(paths, world))
        found = clear_leftovers(world, paths, state, hosts.key_digest(access), progress)
        docker_cli.ensure_network(world.network, world.subnet, world.gateway, hosts.labels(world, paths))
        start_services(world, state, source_digest(wish.model_mib), paths, progress)
        for host in wanted:
            hosts.ensure_started(world, host, images.tags[host.image], access, paths, found, progress)
            # A container that was kept still has the image that it was made from.
            state.hosts.setdefault(host.name, images.tags[host.image])
            save_state(state_path(paths, world), state)
        await_services(world, state, paths, progress)
        hosts.await_all(world, wanted, access, progress)
        tell_outdated(wanted, state, images, progress)


def ensure_machine(machine: Machine, paths: Paths, progress: Progress) -> None:
    """Return once this machine has the programs and the engine.

    Two worlds may start at once.
    """
    with locked(
        paths.lock("machine"), lambda pid: progress.line("machine", f"waiting for process {pid} to finish")
    ):
        ensure_programs(machine, paths, progress)
        ensure_engine(machine, paths, progress)


def renew(world: World, wish: Wish, paths: Paths, progress: Progress) -> None:
    """Remove the named hosts, or the whole world when no host was named."""
    if not wish.host_names:
        take_down(world, paths, progress)
        return
    named = {world.container(name) for name in wish.host_names}
    found = [c["name"] for c in hosts.found_containers(world) if c["name"] in named]
    if found:
        progress.line("hosts", f"removing {', '.join(sorted(found))}")
        docker_cli.remove_containers(found)


def known_extra(world: World, paths: Paths) -> int:
    """Return how many extra hosts earlier commands started."""
    return sum(name.startswith("runner-") for name in load_state(state_path(paths, world)).hosts)


def refuse_other_checkout(world: World, paths: Paths) -> None:
    """Raise TestbedError when another checkout runs a world of this name.

    Both would use the same addresses.
    """
    for root in {container["root"] for container in hosts.found_containers(world)} - {str(paths.root), ""}:
        other = load_state(state_path(Paths(Path(root)), world))
        if any(process.alive(running) for running in other.services.values()):
            raise TestbedError(
                f"The world {world.name} already runs for {root}; stop it there first with "
                f"'python -m testbed down --world {world.name}'."
            )


def clear_leftovers(world: World, paths: Paths, state: State, key: str, progress: Progress) -> dict[str, str]:
    """Remove the remains of a crashed run.

    Returns the state of the containers that are kept, by name.
    """
    keep, remove = {}, []
    for container in hosts.found_containers(world):
        usable = container["root"] == str(paths.root) and container["key"] == key
        if usable and container["state"] in ("running", "exited"):
            keep[container["name"]] = container["state"]
        else:
            remove.append(container["name"])
    if remove:
        progress.line("hosts", f"removing leftovers of an earlier run: {', '.join(sorted(remove))}")
        docker_cli.remove_containers(remove)
    for name in [name for name in state.hosts if world.container(name) not in keep]:
        del state.hosts[name]
    for service in services.world_services(world, paths):
        for orphan in services.orphans(service, state.services.get(service.name)):
            progress.line("services", f"stopping {service.name} of an earlier run (process {orphan.pid})")
            process.stop(orphan)
    return keep


def service_log(world: World, name: str, paths: Paths) -> Path:
    """Return the log of a service."""
    return paths.world(world.name) / f"{name}.log"


def start_services(world: World, state: State, source: str, paths: Paths, progress: Progress) -> None:
    """Start the services that do not run, and record each at once.

    ``source`` is the digest of the current code.
    """
    for service in services.world_services(world, paths):
        running = state.services.get(service.name)
        if running is None or not process.alive(running):
            log = service_log(world, service.name, paths)
            state.services[service.name] = services.start(service, log, paths, progress)
            state.sources[service.name] = source
            save_state(state_path(paths, world), state)
        elif state.sources.get(service.name) != source:
            progress.line(
                "services", f"{service.name} runs older code; 'up --fresh' starts it with the current code"
            )


def await_services(world: World, state: State, paths: Paths, progress: Progress) -> None:
    """Return once all services answer."""
    pending = [service for service in services.world_services(world, paths) if not services.healthy(service)]
    if pending:
        with progress.step("services", f"waiting for {', '.join(service.name for service in pending)}"):
            for service in pending:
                log = service_log(world, service.name, paths)
                services.await_healthy(service, state.services[service.name], log)


def tell_outdated(wanted: Sequence[Host], state: State, images: Images, progress: Progress) -> None:
    """Report the hosts that were made from an older image."""
    for host in wanted:
        if state.hosts[host.name] != images.tags[host.image]:
            progress.line(
                "hosts", f"{host.name} was made from an older image and is kept; 'up --fresh' replaces it"
            )


def down(world: World, paths: Paths, progress: Progress, *, caches: bool = False) -> None:
    """Remove everything that ``up`` started in this world.

    With ``caches``, also remove the images and volumes in Docker.
    """
    with alone(world, paths, progress):
        take_down(world, paths, progress)
        if caches and engine_refusal() is None:
            remove_images(progress)
            docker_cli.remove_volumes(f"{world.network}-")


def take_down(world: World, paths: Paths, progress: Progress) -> None:
    """Stop the services, remove the hosts and the network, and delete the state."""
    state = load_state(state_path(paths, world))
    for name, running in state.services.items():
        if process.stop(running):
            progress.line("services", f"stopped {name}")
    if engine_refusal() is None:
        names = [c["name"] for c in hosts.found_containers(world) if c["root"] == str(paths.root)]
        if names:
            progress.line("hosts", f"removing {', '.join(sorted(names))}")
            docker_cli.remove_containers(names)
        if not hosts.found_containers(world):
            docker_cli.remove_network(world.network)
    shutil.rmtree(paths.world(world.name), ignore_errors=True)
