"""A host with a kernel of its own, under User-Mode Linux in a container.

It has what containers share with their machine: audit, control groups of version 2 with their limits, filters
of a unit's network. It needs no root, no device and no KVM. docs/fidelity.md says what it lacks.
"""

from __future__ import annotations

import base64

from testbed.ssh import USER, Access

#: Where the container passes on connections to the SSH server of the host (images/kernel-host/files/boot).
SSH_PORT = 2299
CONTAINER_ARGUMENTS = (
    "--init",
    # The host's memory and what it writes are files here. Docker's own /dev/shm is noexec and too small.
    "--tmpfs=/tmp:rw,exec,nosuid,nodev,size=3g,mode=1777",
    # passt makes a user namespace. The kernel itself would run under Docker's filter.
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cap-drop=ALL",
)


def credentials(access: Access) -> str:
    """Return the word of the kernel's command line that gives the host its keys.

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
