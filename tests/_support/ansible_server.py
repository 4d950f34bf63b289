"""Server that has imported Ansible and forks for each call of its programs.

The programs are ``ansible`` and ``ansible-playbook``. Only the imports and the payloads of modules are
shared: the server itself never reads a play, an inventory or a plugin's options. The fork calls the
program's own ``main`` and ends as an interpreter ends. ansible_process.py is the other side.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

#: What nearly every call imports later. The loaders take a module that is there already.
OFTEN_USED = (
    "ansible.executor.module_common",
    "ansible.executor.process.worker",
    "ansible.executor.task_executor",
    "ansible.plugins.action.normal",
    "ansible.plugins.cache.memory",
    "ansible.plugins.callback.default",
    "ansible.plugins.callback.minimal",
    "ansible.plugins.connection.local",
    "ansible.plugins.inventory.auto",
    "ansible.plugins.inventory.host_list",
    "ansible.plugins.inventory.ini",
    "ansible.plugins.inventory.script",
    "ansible.plugins.inventory.toml",
    "ansible.plugins.inventory.yaml",
    "ansible.plugins.shell.sh",
    "ansible.plugins.strategy.linear",
    "ansible.plugins.vars.host_group_vars",
    "multiprocessing.popen_fork",
    "multiprocessing.synchronize",
    "xml.dom.minidom",
)
REQUEST_BYTES = 1 << 20


def programs() -> dict[str, Callable[[], Any]]:
    """Import Ansible and return the ``main`` of each program, by name."""
    import importlib

    import ansible.cli.adhoc
    import ansible.cli.playbook

    for name in OFTEN_USED:
        importlib.import_module(name)
    # The collector would write to the pages that a fork shares.
    gc.collect()
    gc.freeze()
    return {"ansible": ansible.cli.adhoc.main, "ansible-playbook": ansible.cli.playbook.main}


def serve(channel: socket.socket) -> None:
    """Fork for each request; return in the fork, exit when the client has gone."""
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(channel, REQUEST_BYTES, 3)
        if not message:
            sys.exit()
        child = os.fork()
        if child == 0:
            channel.close()
            become(json.loads(message), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(wait(child, channel)).encode())


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Take on what the caller of a program sets.

    Its arguments, environment, directory, umask and files.
    """
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    # The directory for temporary files and the modules built in it belong to the server, which removes it.
    from ansible.utils.path import cleanup_tmp_file

    atexit.unregister(cleanup_tmp_file)


def wait(child: int, channel: socket.socket) -> int:
    """Return the exit status of ``child``.

    When the client goes first, end it with its workers, and exit.
    """
    handle = os.pidfd_open(child)
    ready = select.select([handle, channel.fileno()], [], [])[0]
    os.close(handle)
    if handle not in ready:
        import psutil

        # Each worker of Ansible has a session of its own, so the process group is not enough.
        program = psutil.Process(child)
        for process in (program, *program.children(recursive=True)):
            process.kill()
        os.waitpid(child, 0)
        sys.exit()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    _channel = socket.socket(fileno=int(sys.argv[1]))
    # As in the installed program: the first place for imports is its own directory.
    sys.path[0] = os.path.dirname(sys.executable)
    sys.argv = [os.path.join(sys.path[0], "ansible-playbook"), "--version"]
    _programs = programs()
    serve(_channel)
    sys.exit(_programs[os.path.basename(sys.argv[0])]())
