"""Stores that must not be trusted, and what a store says while it works."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError

from tests._support.fault_server import FaultServer, install
from tests._support.store_models import DIGEST, MODEL, model


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_layout_refuses_a_store_that_others_can_write_to(server: FaultServer, root: Path, mode: int) -> None:
    root.mkdir()
    root.chmod(mode)
    for predict in (True, False):
        with pytest.raises(CiError, match="can be written by others"):
            install(root, model(server), predict=predict)
    assert server.requests == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_layout_refuses_a_store_of_another_user(server: FaultServer, root: Path) -> None:
    root.mkdir(mode=0o755)
    os.chown(root, 1234, -1)
    with pytest.raises(CiError, match="belongs to user id 1234"):
        install(root, model(server))


def test_layout_refuses_a_file(server: FaultServer, root: Path) -> None:
    root.write_text("mine")
    with pytest.raises(CiError, match="is not a directory"):
        install(root, model(server))
    assert root.read_text() == "mine"


def test_progress_can_be_read_and_is_gone_at_the_end(server: FaultServer, root: Path) -> None:
    server.serve("/m.zip", MODEL, rate=200_000)
    thread = threading.Thread(target=lambda: install(root, model(server)))
    thread.start()
    seen: list[dict[str, Any]] = []
    while thread.is_alive():
        for path in (root / "progress").glob("*.json") if root.exists() else ():
            with contextlib.suppress(FileNotFoundError):  # replaced or removed between listing and reading
                seen.append(json.loads(path.read_text()))
        thread.join(0.02)
    downloads = [item for item in seen if item["phase"] == "download"]
    assert downloads[-1]["bytes_total"] == len(MODEL)
    assert 0 < downloads[-1]["bytes_done"] <= len(MODEL)
    assert downloads[-1]["name"] == "m"
    assert os.listdir(root / "progress") == []


def test_touch_writes_at_most_every_five_minutes(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    path = root / "last_used" / DIGEST
    os.utime(path, (1, 1))
    install(root, model(server))
    assert path.stat().st_mtime > 1000
    recent = path.stat().st_mtime - 100
    os.utime(path, (recent, recent))
    install(root, model(server))
    assert path.stat().st_mtime == pytest.approx(recent, abs=0.01)
