"""What somebody with fewer rights may put in the place of a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.directories import load_json, read_json


def test_read_json_returns_an_object(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"a": 1}')
    assert load_json(str(path)) == read_json(str(path)) == {"a": 1}


@pytest.mark.parametrize(
    ("plant", "error"),
    [
        (lambda _path: None, FileNotFoundError),
        (os.mkfifo, OSError),
        (os.mkdir, OSError),
        (lambda path: path.symlink_to(path.with_name("whole")), OSError),
        (lambda path: path.write_text("{"), ValueError),
        (lambda path: path.write_text("[]"), ValueError),
        (lambda path: path.write_bytes(b"\xff"), ValueError),
        (lambda path: path.write_text("[" * 100_000), (RecursionError, ValueError)),
        (lambda path: path.write_text("{}" + " " * 200_000 + "x"), ValueError),
    ],
    ids=["nothing", "pipe", "directory", "link", "half", "list", "bytes", "nested", "rubbish"],
)
def test_read_json_refuses_links_pipes_and_other_content_at_once(
    tmp_path: Path, plant: Callable[[Path], object], error: type[Exception]
) -> None:
    (tmp_path / "whole").write_text("{}")
    path = tmp_path / "file"
    plant(path)
    assert read_json(str(path)) is None
    with pytest.raises(error):
        load_json(str(path))


def test_read_json_reads_no_more_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"a": 1}')
    assert read_json(str(path), most_bytes=4) is None
