"""A host with a kernel of its own, under User-Mode Linux in a container.

It has what containers share with their machine: audit, control groups of version 2 with their limits, filters
of a unit's network. It needs no root, no device and no KVM. docs/fidelity.md says what it lacks.
"""

from __future__ import annotations

import base64
import time

from testbed import docker_cli
from testbed.base_image import base_choice
from testbed.docker_engine import Machine, check_machine
from testbed.errors import TestbedError
from testbed.images import ensure_base_and_recipes, ensure_image, kernel_recipe
from testbed.lifecycle import ensure_machine
from testbed.paths import Paths
from testbed.process import capture
from testbed.progress import Progress
from testbed.rpm_catalogue import load_catalogue
from testbed.ssh import USER, Access, ensure_access, login
from testbed.world import LABEL, ROOT_LABEL, Host, World, locked

WORLD = World("kernel", third_octet=60, first_ssh_port=2311, first_extra_port=2700)
HOST = Host("kernel-host", "kernel-host", octet=11, ssh_port=2311)
#: A boot takes about 20 s, and on busy cores minutes.
BOOT_SECONDS = 240.0
POLL_SECONDS = 0.5


def up(machine: Machine, paths: Paths, progress: Progress) -> Access:
    """Boot the host unless it runs; return what a login to it needs."""
    check_machine(machine)
    ensure_machine(machine, paths, progress)
    with locked(paths.lock(WORLD.name), lambda pid: progress.line("kernel", f"waiting for process {pid}")):
        image = ensure_disk(machine, paths, progress)
        access = ensure_access(paths.world(WORLD.name), WORLD, (HOST,))
        name = WORLD.container(HOST.name)
        if docker_cli.docker("inspect", "--format", "{{.State.Running}}", name).stdout.strip() != "true":
            docker_cli.docker("rm", "--force", "--volumes", name)
            docker_cli.must("boot the kernel", *run_arguments(name, image, access, paths))
        await_login(name, access, progress)
    return access


def down(paths: Paths) -> None:
    """Remove the host; its disk stays in the image."""
    with locked(paths.lock(WORLD.name), lambda _pid: None):
        docker_cli.docker("rm", "--force", "--volumes", WORLD.container(HOST.name))


def ensure_disk(machine: Machine, paths: Paths, progress: Progress) -> str:
    """Build the image with kernel and disk unless Docker has it; return its name."""
    choice = base_choice()
    with locked(paths.lock("cache"), lambda pid: progress.line("caches", f"waiting for process {pid}")):
        recipes = ensure_base_and_recipes(choice, machine, load_catalogue(), paths, progress)
        wanted = kernel_recipe(recipes, choice.mirror)
        for recipe in (recipes["host-base"], recipes["debian-host"], wanted):
            ensure_image(recipe, paths, progress)
    return wanted.tag


def run_arguments(name: str, image: str, access: Access, paths: Paths) -> list[str]:
    """Return the ``docker run`` command line of the host."""
    return [
        *("run", "--detach", "--init", "--name", name),
        *("--label", f"{LABEL}={WORLD.name}", "--label", f"{ROOT_LABEL}={paths.root}"),
        # The guest's memory and what it writes are files here. Docker's own /dev/shm is noexec and too small.
        "--tmpfs=/tmp:rw,exec,nosuid,nodev,size=3g,mode=1777",
        # passt makes a user namespace. The kernel itself would run under Docker's filter.
        *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
        "--cap-drop=ALL",
        *("--publish", f"127.0.0.1:{HOST.ssh_port}:2299"),
        *("--env", f"CREDENTIALS={credentials(access)}"),
        image,
    ]


def credentials(access: Access) -> str:
    """Return the word of the kernel's command line that gives the guest its keys.

    systemd-tmpfiles(8) reads the credential ``tmpfiles.extra``, so the disk has no key.
    """
    files = {
        f"/etc/ssh/authorized_keys/{USER} 0644": access.user_key.with_suffix(".pub"),
        "/etc/ssh/ssh_host_ed25519_key 0600": access.host_key,
    }
    lines = [f"f~ {target} root root - {encoded(source.read_bytes())}\n" for target, source in files.items()]
    return f"systemd.set_credential_binary=tmpfiles.extra:{encoded(''.join(lines).encode())}"


def encoded(content: bytes) -> str:
    """Return ``content`` in base64."""
    return base64.b64encode(content).decode("ascii")


def await_login(name: str, access: Access, progress: Progress) -> None:
    """Return once the administrator can log in.

    Raises TestbedError with the end of the console.
    """
    deadline = time.monotonic() + BOOT_SECONDS
    with progress.step("kernel", "waiting for the login"):
        while (answer := capture([*login(access, HOST), "true"], timeout_seconds=30)).status != 0:
            state = docker_cli.docker("inspect", "--format", "{{.State.Running}}", name).stdout.strip()
            if state != "true" or time.monotonic() > deadline:
                console = docker_cli.docker("logs", "--tail", "20", name)
                raise TestbedError(
                    f"The host {HOST.name} rejects the login ({answer.reason}); its console ended with: "
                    f"{console.stdout[-1500:]}{console.stderr[-500:]}. Run 'python -m testbed kernel down' "
                    "and 'up' again."
                )
            time.sleep(POLL_SECONDS)
