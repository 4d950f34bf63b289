"""The managed hosts: containers with systemd that are reached by SSH."""

from __future__ import annotations

import functools
import hashlib
import shlex
import time
import uuid
from collections.abc import Mapping

from testbed import docker_cli, kernel
from testbed.errors import TestbedError
from testbed.parallel import side_by_side
from testbed.paths import Paths
from testbed.process import capture
from testbed.progress import Progress
from testbed.ssh import USER, Access, login
from testbed.world import LABEL, MIRROR_PORT, ROOT_LABEL, Host, World

#: Ten hosts on two busy cores have taken more than 90 s.
BOOT_SECONDS = 240.0
LOGIN_SECONDS = 30.0
POLL_SECONDS = 0.2
#: The digest of the login key that a container was made for; another key cannot log in.
KEY_LABEL = "ci.coldvox.testbed.key"
#: systemd must be able to mount and to see the machine's cgroups; the rest of Docker's sandbox stays.
SYSTEMD_ARGUMENTS = (
    "--cap-add=SYS_ADMIN",
    # Without it, systemd under ProtectProc=invisible cannot see its own child and PrivateUsers fails.
    "--cap-add=SYS_PTRACE",
    # For the rules of nftables in the host's own network.
    "--cap-add=NET_ADMIN",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=label=disable",
    "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs=/run:rw,exec,nosuid,nodev,mode=755",
    "--tmpfs=/run/lock:rw,nosuid,nodev",
    "--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777",
)


def key_digest(access: Access) -> str:
    """Return a short digest of the administrator's public key."""
    return hashlib.sha256(access.user_key.with_suffix(".pub").read_bytes()).hexdigest()[:16]


def labels(world: World, paths: Paths) -> dict[str, str]:
    """Return the labels of every container and network of this checkout in ``world``."""
    return {LABEL: world.name, ROOT_LABEL: str(paths.root)}


def create_arguments(
    world: World,
    host: Host,
    image: str,
    all_labels: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the ``docker create`` command line of one host."""
    name = world.container(host.name)
    kind = kernel.CONTAINER_ARGUMENTS if host.own_kernel else SYSTEMD_ARGUMENTS
    arguments = ["create", "--name", name, "--hostname", host.name, *kind]
    arguments += ["--network", world.network, "--ip", world.address(host.octet)]
    # Names for the services, so that an image holds no address of a world.
    arguments += [
        "--add-host",
        f"mirror.testbed:{world.gateway}",
        "--add-host",
        f"github.testbed:{world.gateway}",
    ]
    arguments += ["--publish", f"127.0.0.1:{host.ssh_port}:{kernel.SSH_PORT if host.own_kernel else 22}"]
    if host.keeps_apt_cache:
        # apt's downloads outlive the container: the next run of the playbook does not fetch them again.
        arguments += ["--volume", f"{name}-apt:/var/cache/apt/archives"]
    for key, value in all_labels.items():
        arguments += ["--label", f"{key}={value}"]
    for key, value in (environment or {}).items():
        arguments += ["--env", f"{key}={value}"]
    return [*arguments, image]


def ensure_started(
    world: World,
    host: Host,
    image: str,
    access: Access,
    paths: Paths,
    found: Mapping[str, str],
    progress: Progress,
) -> None:
    """Start one host, and make its container first if it is missing.

    ``found`` has the state of the world's containers by name.
    """
    name = world.container(host.name)
    state = found.get(name)
    if state == "running":
        return
    if state == "exited" and docker_cli.docker("start", name).status == 0:
        progress.line("hosts", f"{host.name} was stopped and is started again")
        return
    if state is not None:
        docker_cli.remove_containers([name])
    progress.line("hosts", f"starting {host.name} (ssh port {host.ssh_port})")
    make(world, host, image, access, {**labels(world, paths), KEY_LABEL: key_digest(access)})
    docker_cli.must(f"start the host {host.name}", "start", name)


def make(world: World, host: Host, image: str, access: Access, all_labels: Mapping[str, str]) -> None:
    """Make the container of a host and give it its keys."""
    environment = {"CREDENTIALS": kernel.credentials(access)} if host.own_kernel else {}
    docker_cli.must(
        f"make the host {host.name}", *create_arguments(world, host, image, all_labels, environment)
    )
    if host.own_kernel:
        return
    public_key = access.user_key.with_suffix(".pub")
    access.machine_id.write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
    access.machine_id.chmod(0o644)
    copies = (
        (public_key, f"/etc/ssh/authorized_keys/{USER}"),
        (access.host_key, "/etc/ssh/ssh_host_ed25519_key"),
        # Images hold an id, and for an empty file systemd takes the copy that D-Bus has.
        (access.machine_id, "/etc/machine-id"),
    )
    for source, target in copies:
        docker_cli.must(
            f"give {host.name} its identity", "cp", str(source), f"{world.container(host.name)}:{target}"
        )


def await_all(world: World, hosts: tuple[Host, ...], access: Access, progress: Progress) -> None:
    """Return once every host is ready.

    A host is ready when it has booted, its administrator can log in, and it reaches the world's services.
    """
    names = ", ".join(host.name for host in hosts)
    with progress.step("hosts", f"waiting for {names}"):
        side_by_side([functools.partial(await_host, world, host, access, progress) for host in hosts])


def await_host(world: World, host: Host, access: Access, progress: Progress) -> None:
    """Wait for one host; a failed unit on it is reported but is no error."""
    deadline = time.monotonic() + BOOT_SECONDS
    # Nothing but SSH sees into a host with a kernel of its own. It logs nobody in before it has booted.
    failed = [] if host.own_kernel else await_boot(world, host, deadline)
    if failed:
        progress.line("hosts", f"{host.name} has booted, but these units failed: {', '.join(failed)}")
    while (answer := capture([*login(access, host), "true"], timeout_seconds=LOGIN_SECONDS)).status != 0:
        if time.monotonic() > deadline:
            raise TestbedError(
                f"The host {host.name} rejects the login of {USER} on port {host.ssh_port} "
                f"({answer.reason}); look at 'docker logs {world.container(host.name)}' and at "
                "'journalctl -u ssh' on the host."
            )
        time.sleep(POLL_SECONDS)
    check_reach(world, host, access)


def check_reach(world: World, host: Host, access: Access) -> None:
    """Raise TestbedError unless the host can connect to the mirror of its world.

    A firewall of this machine may prevent it.
    """
    connect = f"import socket; socket.create_connection(({world.gateway!r}, {MIRROR_PORT}), 5)"
    remote = shlex.join(["python3", "-c", connect])
    tried = capture([*login(access, host), remote], timeout_seconds=LOGIN_SECONDS)
    if tried.status != 0:
        raise TestbedError(
            f"The host {host.name} cannot reach the mirror at {world.mirror_url} ({tried.reason}); "
            f"if this machine has a firewall, let it accept {world.subnet} ({world.network})."
        )


def await_boot(world: World, host: Host, deadline: float) -> list[str]:
    """Wait until systemd has finished booting; return the units that failed."""
    name = world.container(host.name)
    while True:
        state = docker_cli.docker("exec", name, "systemctl", "is-system-running").stdout.strip()
        if state == "running":
            return []
        if state == "degraded":
            return failed_units(name)
        if time.monotonic() > deadline:
            raise TestbedError(
                f"The host {host.name} has not booted after {BOOT_SECONDS:.0f} s (systemd reports "
                f"{state or 'nothing'}); look at 'docker logs {name}'."
            )
        time.sleep(POLL_SECONDS)


def failed_units(container: str) -> list[str]:
    """Return the names of the units that failed in a container."""
    listed = docker_cli.docker(
        "exec", container, "systemctl", "list-units", "--failed", "--plain", "--no-legend"
    )
    return [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]


def found_containers(world: World) -> list[dict[str, str]]:
    """Return name, state, image and labels of every container of the world."""
    return [
        {
            "name": str(line["Names"]),
            "state": str(line["State"]),
            "image": str(line["Image"]),
            "root": docker_cli.label(line, ROOT_LABEL),
            "key": docker_cli.label(line, KEY_LABEL),
        }
        for line in docker_cli.containers({LABEL: world.name})
    ]
