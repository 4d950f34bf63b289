from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from testbed.mirror import archives
from testbed.mirror.archives import Member

MEMBERS = {
    "bin/tool": Member(b"#!/bin/sh\n", 0o755),
    "share/a/notes.txt": Member(b"notes\n"),
}


def test_write_zip_has_a_top_directory_modes_and_directory_entries(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    archives.write_zip(path, "top-1.0", MEMBERS)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "top-1.0/",
            "top-1.0/bin/",
            "top-1.0/share/",
            "top-1.0/share/a/",
            "top-1.0/bin/tool",
            "top-1.0/share/a/notes.txt",
        ]
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes["top-1.0/bin/tool"] == 0o100755
    assert modes["top-1.0/share/a/notes.txt"] == 0o100644
    assert modes["top-1.0/bin/"] == 0o40755


def test_write_tar_gz_is_read_by_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    source = tmp_path / "source"
    source.write_bytes(b"from a file\n")
    archives.write_tar_gz(path, "top-1.0", {**MEMBERS, "file": Member(source)})
    subprocess.run(["tar", "-xzf", str(path), "-C", str(tmp_path)], check=True)
    assert (tmp_path / "top-1.0/file").read_bytes() == b"from a file\n"
    assert (tmp_path / "top-1.0/bin/tool").stat().st_mode & 0o777 == 0o755
    with tarfile.open(path) as archive:
        assert {member.uid for member in archive} == {0}


@pytest.mark.parametrize("write", [archives.write_zip, archives.write_tar_gz])
def test_archives_of_the_same_input_have_the_same_bytes(write: object, tmp_path: Path) -> None:
    assert callable(write)
    for name in ("one", "two"):
        write(tmp_path / name, "top", MEMBERS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_write_zip_joins_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    archives.write_zip(path, "top", {"big": Member(iter([b"one", b"two"]))})
    with zipfile.ZipFile(path) as archive:
        assert archive.read("top/big") == b"onetwo"


def test_extract_member_rejects_another_digest(tmp_path: Path) -> None:
    path, target = tmp_path / "a.zip", tmp_path / "tool"
    archives.write_zip(path, "top", MEMBERS)
    with pytest.raises(ValueError, match=r"top/bin/tool in a\.zip has sha256 .* expected 0000"):
        archives.extract_member(path, "top/bin/tool", target, "0" * 64)
    assert not target.exists()
