"""Who works on an instance: one at a time, and healing's moment is waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner import drain as claiming
from ansible_collections.coldvox.ci.plugins.module_utils.runner.drain import claim, claim_lock
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / ".coldvox").mkdir()
    return Layout(str(tmp_path))


def test_a_moment_of_healing_is_waited_for(layout: Layout) -> None:
    healing = claim_lock(layout)
    assert healing.try_acquire()
    over = threading.Timer(0.3, healing.release)
    over.start()
    lock = claim(layout, "one")
    assert lock.held
    over.join()
    lock.release()


def test_whoever_has_it_longer_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "_PATIENCE_SECONDS", 0.1)
    first = claim(layout, "one")
    with pytest.raises(CiError, match=r"'one' was left as it is, because process \d+ \(.+\) works on it"):
        claim(layout, "one")
    first.release()
