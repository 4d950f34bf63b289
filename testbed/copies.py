"""Images of hosts as they are: many converged hosts for the price of one.

What must not be in two hosts: ``hosts.ensure_started`` gives each host its own machine id and the SSH key of
its world; a registered runner is refused here, because GitHub would see two listeners with one credential.
"""

from __future__ import annotations

from testbed import docker_cli
from testbed.errors import TestbedError
from testbed.images import PREFIX
from testbed.paths import Paths
from testbed.progress import Progress
from testbed.world import World, load_state, state_path

#: What such an image is called among the images of the hosts.
IMAGE = "copy"
REGISTRATIONS = "ls -d /var/lib/actions-runner/*/.runner 2>/dev/null"


def take(world: World, host: str, paths: Paths, progress: Progress) -> str:
    """Return the name of a new image of ``host``.

    The host must run and must not have a registered runner.
    """
    container = world.container(host)
    if host not in load_state(state_path(paths, world)).hosts:
        raise TestbedError(f"--like {host}: this host does not run; start it first with 'up --host {host}'.")
    registered = docker_cli.docker("exec", container, "sh", "-c", REGISTRATIONS).stdout.split()
    if registered:
        raise TestbedError(
            f"--like {host}: it has the registered runner {registered[0]}, and a copy would answer in its "
            "name; remove the runners first with github_runner_state=absent."
        )
    tag = f"{PREFIX}/{IMAGE}:{world.name}-{host}"
    docker_cli.docker("image", "rm", tag)
    with progress.step("images", f"taking an image of {host}"):
        docker_cli.must(f"take an image of {host}", "commit", container, tag, timeout_seconds=300)
    return tag
