"""The state of a world, for programs and for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testbed import hosts, process, services
from testbed.docker_engine import engine_refusal
from testbed.lifecycle import known_extra, service_log
from testbed.paths import Paths
from testbed.world import World, load_state, state_path


def read(world: World, paths: Paths) -> dict[str, Any]:
    """Return the state of the world as plain data."""
    state = load_state(state_path(paths, world))
    refusal = engine_refusal()
    present = hosts.found_containers(world) if refusal is None else []
    containers = {c["name"]: c["state"] for c in present if c["root"] == str(paths.root)}
    ports = {host.name: host.ssh_port for host in world.hosts(known_extra(world, paths))}
    listed_hosts = [
        {
            "name": name,
            "state": containers.get(world.container(name), "gone"),
            "image": image,
            "ssh_port": ports[name],
        }
        for name, image in sorted(state.hosts.items())
    ]
    listed_services = [
        {
            "name": service.name,
            "pid": running.pid if running else None,
            "running": bool(running and process.alive(running)),
            "healthy": bool(running and services.healthy(service)),
            "url": service.url,
            "log": str(service_log(world, service.name, paths)),
        }
        for service in services.world_services(world, paths)
        for running in (state.services.get(service.name),)
    ]
    up_and_well = bool(listed_hosts) and all(host["state"] == "running" for host in listed_hosts)
    return {
        "world": world.name,
        "up": up_and_well and all(service["healthy"] for service in listed_services),
        "docker": refusal or "ok",
        "hosts": listed_hosts,
        "services": listed_services,
        "ssh_config": str(paths.world(world.name) / "ssh_config"),
    }


def describe(answer: dict[str, Any]) -> str:
    """Return the state as lines for a person."""
    lines = [f"world {answer['world']}: {'up' if answer['up'] else 'not up'} (docker: {answer['docker']})"]
    lines += [
        f"  host     {host['name']:<16} {host['state']:<8} ssh port {host['ssh_port']}"
        for host in answer["hosts"]
    ]
    for service in answer["services"]:
        state = "healthy" if service["healthy"] else "running, no answer" if service["running"] else "stopped"
        lines += [f"  service  {service['name']:<16} {state:<8} {service['url']}"]
    if answer["hosts"]:
        lines.append(
            f"  log in   ssh -F {short_path(Path(answer['ssh_config']))} {answer['hosts'][0]['name']}"
        )
    return "\n".join(lines)


def short_path(path: Path) -> str:
    """Return a path relative to the working directory if it is below that."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
