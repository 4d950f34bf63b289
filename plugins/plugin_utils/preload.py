"""Load plugins once, in the process that Ansible forks its workers from.

Ansible imports an action plugin in the parent process and runs it in a worker, a new process for each task
and host. What a worker loads itself is gone with it: the filters of the collection alone cost 0.1 s of CPU
in each task that uses one of them. So our action plugins call ``preload()`` when they are imported.
"""

from __future__ import annotations

import functools
from contextlib import suppress

from ansible import constants
from ansible.plugins.loader import (
    become_loader,
    connection_loader,
    filter_loader,
    lookup_loader,
    shell_loader,
    test_loader,
)


@functools.cache
def preload() -> None:
    """Load the plugins that nearly every task needs.

    These are the filters, tests and lookups of Ansible and the collection, and the plugins that reach a
    host. Nothing depends on it: what cannot be loaded here, a worker reports when it needs it.
    """
    # Any name of a kind makes the loader read all files of that kind.
    with suppress(Exception):
        filter_loader.get("ansible.builtin.default")
        test_loader.get("ansible.builtin.defined")
        filter_loader.get("coldvox.ci.runner_user")
        for lookup in ("env", "file"):
            lookup_loader.get(f"ansible.builtin.{lookup}", class_only=True)
        lookup_loader.get("coldvox.ci.agent_files", class_only=True)
    with suppress(Exception):
        connection_loader.get(constants.DEFAULT_TRANSPORT, class_only=True)
        become_loader.get(constants.DEFAULT_BECOME_METHOD, class_only=True)
        shell_loader.get("sh", class_only=True)
