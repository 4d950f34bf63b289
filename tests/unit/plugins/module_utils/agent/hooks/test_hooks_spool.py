"""The pruning of an instance's records, where its jobs may write any file."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.coldvox.ci.plugins.module_utils.agent.hooks import spool


def test_prune_keeps_only_the_newest(tmp_path: Path) -> None:
    directory = tmp_path / "jobs" / "one"
    directory.mkdir(parents=True)
    for number in range(5):
        path = directory / f"{number}.started.json"
        path.write_text(f'{{"number": {number}}}')
        os.utime(path, (number, number))
    assert spool.prune(str(tmp_path), "one", keep=2) == 3
    assert sorted(os.listdir(directory)) == ["3.started.json", "4.started.json"]
    assert spool.latest(str(tmp_path), "one", "started") == {"number": 4}
    assert spool.latest(str(tmp_path), "one", "completed") is None


def test_prune_removes_directories_and_follows_no_link(tmp_path: Path) -> None:
    directory = tmp_path / "jobs" / "one"
    (directory / "full" / "of" / ".things").mkdir(parents=True)
    (directory / "full" / "of" / "bytes").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (directory / "link").symlink_to(tmp_path / "elsewhere")
    (directory / "1.started.json").write_text("{}")
    spool.prune(str(tmp_path), "one")
    left = sorted(os.listdir(directory))
    assert left == ["1.started.json"]
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_prune_keeps_only_records(tmp_path: Path) -> None:
    """All instances share the room."""
    directory = tmp_path / "jobs" / "one"
    directory.mkdir(parents=True)
    stay = ["1.started.json", "1.completed.json"]
    for name in [*stay, "fill", "1.json", ".1.started.json.a", ".1.started.json.b"]:
        (directory / name).write_text("{}")
    (directory / "long.started.json").write_bytes(b" " * 65537)
    (directory / ".long.started.json").write_bytes(b" " * 65537)
    (directory / "closed.started.json").touch(mode=0o000)
    (directory / "link.started.json").symlink_to("1.started.json")
    os.mkfifo(directory / "pipe.started.json")
    (directory / ".1.started.json.a").chmod(0o600)  # the last that was changed: a hook may be at it
    assert spool.prune(str(tmp_path), "one") == 8
    assert sorted(os.listdir(directory)) == sorted([*stay, ".1.started.json.a"])
