# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The refusal of kept registrations for a public repository.

GitHub recommends self-hosted runners for private repositories only, because a pull request from a fork can
run code on them (docs.github.com/actions/reference/security/secure-use).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import METADATA, Client


def refuse_public(client: Client, instances: Sequence[Mapping[str, Any]], registered: Container[str]) -> None:
    """Raise CiError if an instance would keep a registration with a public repository.

    ``instances`` are in normal form, ``registered`` has the lower-case names that GitHub knows. Send a
    request only for a repository with such an instance that is not registered yet.
    """
    kept = [
        instance["name"]
        for instance in instances
        if instance["state"] == "present"
        and not instance["ephemeral"]
        and instance["name"].lower() not in registered
    ]
    if not kept or client.scope.kind != "repository":
        return
    shown = client.call("GET", client.scope.path, "show", expected=("private",), area=METADATA)
    if not shown["private"]:
        raise CiError(
            f"The {client.scope.label} is public, so jobs of strangers could run on this host, and "
            f"{', '.join(kept)} would keep the registration for them; give jit: true to these instances, or "
            "set public_repository (in the role github_runner_public_repository) to allow."
        )
