"""The Docker commands that the testbed uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.process import Outcome, capture, stream

#: The classic builder reads one and BuildKit the other; each ignores the other's.
BUILD_ENVIRONMENT = {"BUILDKIT_PROGRESS": "plain", "DOCKER_CLI_HINTS": "false"}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def docker(*arguments: str, timeout_seconds: float = 60) -> Outcome:
    """Run one docker command and return its outcome."""
    return capture(["docker", *arguments], timeout_seconds=timeout_seconds)


def must(what: str, *arguments: str, timeout_seconds: float = 60) -> str:
    """Run one docker command and return its output; raises TestbedError.

    ``what`` completes the error message "Docker could not ...".
    """
    outcome = docker(*arguments, timeout_seconds=timeout_seconds)
    if outcome.status != 0:
        raise TestbedError(f"Docker could not {what}: {outcome.reason}; correct that and run this again.")
    return outcome.stdout.strip()


def image_exists(reference: str) -> bool:
    """Return whether Docker has this image."""
    return docker("image", "inspect", "--format", "{{.Id}}", reference).status == 0


def build(
    context: Path, tag: str, arguments: Mapping[str, str], log: Path, report: Callable[[str], None]
) -> None:
    """Build the Dockerfile of ``context``; report each line and write it to ``log``."""
    argv = ["docker", "build", "--tag", tag, "--force-rm"]
    for name, value in arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    outcome = stream([*argv, str(context)], log=log, report=report, environment=BUILD_ENVIRONMENT)
    if outcome.status != 0:
        raise TestbedError(
            f"Docker could not build {tag}: {build_reason(outcome.stdout)}. Read the whole output in {log}."
        )


def build_reason(tail: str) -> str:
    """Return the line of a failed build's output that has the reason.

    The lines after it are the builder's own summary.
    """
    lines = [ANSI.sub("", line).strip() for line in tail.splitlines()]
    reasons = [
        line
        for line in lines
        if line and not line.startswith(("The command ", "Removing intermediate", "---"))
    ]
    return reasons[-1] if reasons else "it gave no reason"


def import_tree(archive: Path, tag: str) -> None:
    """Make an image from a tar file of a file system."""
    must(f"import {archive}", "import", str(archive), tag, timeout_seconds=300)


def containers(filters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the ``docker ps`` entry of each container that has all these labels.

    Stopped containers are included.
    """
    argv = ["ps", "--all", "--no-trunc", "--format", "{{json .}}"]
    for name, value in filters.items():
        argv += ["--filter", f"label={name}={value}"]
    return [json.loads(line) for line in must("list containers", *argv).splitlines()]


def label(container: Mapping[str, Any], name: str) -> str:
    """Return one label from a line of ``docker ps``."""
    pairs = (pair.partition("=") for pair in str(container["Labels"]).split(","))
    return next((value for key, _, value in pairs if key == name), "")


def remove_containers(names: Sequence[str]) -> None:
    """Remove containers with their anonymous volumes, running or not."""
    if names:
        must("remove containers", "rm", "--force", "--volumes", *names, timeout_seconds=120)


def ensure_network(name: str, subnet: str, gateway: str, labels: Mapping[str, str]) -> None:
    """Make a bridge network unless it exists.

    ``gateway`` becomes an address of this machine.
    """
    if docker("network", "inspect", name).status == 0:
        return
    argv = ["network", "create", "--driver", "bridge", "--subnet", subnet, "--gateway", gateway]
    for key, value in labels.items():
        argv += ["--label", f"{key}={value}"]
    must(f"make the network {name} with {subnet}", *argv, name)


def remove_network(name: str) -> None:
    """Remove a network if it exists."""
    if docker("network", "inspect", name).status == 0:
        must(f"remove the network {name}", "network", "rm", name)


def remove_volumes(prefix: str) -> None:
    """Remove the named volumes that begin with ``prefix``."""
    names = must("list volumes", "volume", "ls", "--quiet", "--filter", f"name=^{prefix}").split()
    if names:
        must("remove volumes", "volume", "rm", *names)
