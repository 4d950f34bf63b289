"""Root acts as the owner of the history's directory while the history is open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError

NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("read_only", [True, False])
def test_acting_as_owner_lasts_while_the_history_is_open(reachable: Path, read_only: bool) -> None:
    os.chown(reachable, NOBODY, NOBODY)
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with History(str(reachable / "history.db"), read_only):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (NOBODY, NOBODY, [NOBODY])
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


BOUND = """
import os, sys
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.schema import HistoryError
os.setgroups([7]) if "-setgid" not in sys.argv[2] else None
before = (os.geteuid(), os.getegid(), os.getgroups())
try:
    History(sys.argv[1]).__enter__()
except HistoryError as error:
    print(error)
print((os.geteuid(), os.getegid(), os.getgroups()) == before)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop a capability of root")
@pytest.mark.parametrize("missing", ["-setuid", "-setgid", "-setuid,-setgid"])
def test_acting_as_owner_without_the_capability_is_an_error_and_changes_nothing(
    reachable: Path, missing: str
) -> None:
    os.chown(reachable, NOBODY, NOBODY)
    argv = ["setpriv", "--bounding-set", missing, sys.executable, "-c", BOUND]
    path = str(reachable / "history.db")
    done = subprocess.run([*argv, path, missing], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [
        f"The job history in {reachable} cannot be used, because root may not act as its owner here "
        "(Operation not permitted); run with CAP_SETUID and CAP_SETGID, or as that user.",
        "True",
    ], done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_acting_as_owner_ends_when_the_history_cannot_be_opened(reachable: Path) -> None:
    (reachable / "history.db").mkdir()
    os.chown(reachable, NOBODY, NOBODY)
    with pytest.raises(CiError), History(str(reachable / "history.db")):
        pass
    assert os.geteuid() == 0
