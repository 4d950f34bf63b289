from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import kept
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.kept import KeptFiles


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_kept_files_read_again_each_time_and_open_once(tmp_path: Path) -> None:
    files, path = KeptFiles(), tmp_path / "a"
    path.write_text("first")
    before = opened()
    assert files.text(str(path)) == "first"
    path.write_text("second, longer")
    assert files.text(str(path)) == "second, longer"
    assert opened() == before + 1
    files.close()
    assert opened() == before


def test_kept_files_show_the_kernels_new_numbers() -> None:
    files = KeptFiles()
    first = int(files.text("/proc/self/schedstat").split()[0])
    while int(files.text("/proc/self/schedstat").split()[0]) == first:
        pass


def test_kept_files_read_a_long_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_text("x" * 200_000)
    assert len(KeptFiles().text(str(path))) == 200_000


def test_kept_files_close_the_file_of_a_process_that_has_ended() -> None:
    files = KeptFiles()
    process = subprocess.Popen(["sleep", "60"])
    path = f"/proc/{process.pid}/status"
    before = opened()
    assert files.text(path)
    process.kill()
    process.wait()
    with pytest.raises((ProcessLookupError, FileNotFoundError)):
        files.text(path)
    assert opened() == before


def test_kept_files_limit_the_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_MOST", 3)
    files = KeptFiles()
    before = opened()
    for number in range(10):
        path = tmp_path / str(number)
        path.write_text("x")
        files.text(str(path))
    assert opened() <= before + 3
    files.close()


def test_kept_files_raise_for_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KeptFiles().text(str(tmp_path / "missing"))
