"""``runnerctl --debug``: what a command runs, reads and writes, on standard error.

Python reports these itself as audit events (PEP 578), so no other file knows of the switch. Contents and
environments are never shown: tokens are only there. The words after ``--`` are a job's and may hold its
secrets, so of that command only the program is shown.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import traceback
from typing import Any

from .output import say

# What an import opens; a fresh .pyc has a longer name at first.
_IMPORTS = re.compile(r"\.py$|\.pyc|\.so$")


def show_events() -> None:
    """Print what this process does from now on."""
    sys.addaudithook(_show)


def show_traceback() -> None:
    """Print where the exception that is being handled comes from."""
    say(f"debug: {traceback.format_exc().rstrip()}")


def _show(event: str, details: tuple[Any, ...]) -> None:
    if event == "open":
        path, _mode, flags = details
        if isinstance(path, (str, bytes)) and not _IMPORTS.search(os.fsdecode(path)):
            say(f"debug: {'writes' if flags & (os.O_WRONLY | os.O_RDWR) else 'reads'} {os.fsdecode(path)}")
    elif event == "subprocess.Popen":
        say(f"debug: runs {shlex.join(map(os.fsdecode, details[1]))}")
    elif event == "os.exec":
        say(f"debug: runs {os.fsdecode(details[0])}, with words that are not shown")
    elif event == "socket.connect":
        say(f"debug: connects to {details[1]}")
