"""SSH keys and configuration for the hosts of a world."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from testbed.errors import TestbedError
from testbed.process import capture
from testbed.world import Host, World

USER = "admin"


@dataclasses.dataclass(frozen=True)
class Access:
    """The files that a login to the hosts of one world needs."""

    directory: Path

    @property
    def user_key(self) -> Path:
        """The administrator's private key."""
        return self.directory / "id_ed25519"

    @property
    def host_key(self) -> Path:
        """The private key of the SSH servers on this world's hosts."""
        return self.directory / "host_ed25519"

    @property
    def machine_id(self) -> Path:
        """The machine id of the host that is made now."""
        return self.directory / "machine-id"

    @property
    def known_hosts(self) -> Path:
        """The file with the public key of each host's address."""
        return self.directory / "known_hosts"

    @property
    def config(self) -> Path:
        """The file for ``ssh -F``, in which the hosts have names."""
        return self.directory / "ssh_config"


def ensure_access(directory: Path, world: World, hosts: tuple[Host, ...]) -> Access:
    """Make the world's keys if they are missing, and write its SSH configuration."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    access = Access(directory)
    for key in (access.user_key, access.host_key):
        if not key.exists():
            outcome = capture(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", world.network, "-f", str(key)]
            )
            if outcome.status != 0:
                raise TestbedError(
                    f"The program ssh-keygen could not make {key} ({outcome.reason}); "
                    "install the OpenSSH client."
                )
    public = " ".join(access.host_key.with_suffix(".pub").read_text(encoding="ascii").split()[:2])
    access.known_hosts.write_text(known_hosts(hosts, public), encoding="ascii")
    access.config.write_text(ssh_config(access, hosts), encoding="utf-8")
    return access


def known_hosts(hosts: tuple[Host, ...], public_key: str) -> str:
    """Return a known_hosts file; all hosts of a world have the same key."""
    return "".join(f"[127.0.0.1]:{host.ssh_port} {public_key}\n" for host in hosts)


def ssh_config(access: Access, hosts: tuple[Host, ...]) -> str:
    """Return an ssh_config that has the hosts by name."""
    blocks = [f"Host {host.name}\n  Port {host.ssh_port}\n" for host in hosts]
    common = (
        "Host *\n"
        "  HostName 127.0.0.1\n"
        f"  User {USER}\n"
        f'  IdentityFile "{access.user_key}"\n'
        "  IdentitiesOnly yes\n"
        f'  UserKnownHostsFile "{access.known_hosts}"\n'
        "  StrictHostKeyChecking yes\n"
    )
    return "".join([*blocks, common])


def login(access: Access, host: Host) -> list[str]:
    """Return the ssh command that logs in to ``host`` without asking anything.

    A remote command may be appended.
    """
    options = ["BatchMode=yes", "ConnectTimeout=3"]
    return [
        "ssh",
        "-F",
        str(access.config),
        *(part for option in options for part in ("-o", option)),
        host.name,
    ]
