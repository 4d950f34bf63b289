"""The files of the package: all of the library, in a directory named by content."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.lookup.agent_files import LIBRARY, LookupModule, release_files


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "sub/__pycache__").mkdir(parents=True)
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "sub/a.py").write_text('TEXT = "{{ no_template }}"\n')
    (tmp_path / "sub/__pycache__/a.cpython-313.pyc").write_bytes(b"\0")
    return tmp_path


def test_agent_files_link_comes_last_and_names_the_content(library: Path) -> None:
    first, second, link = release_files(library, "/opt/x")
    release = link["link_to"]
    assert link["path"] == "/opt/x/current"
    assert first == {
        "path": f"/opt/x/{release}/coldvox_ci/__init__.py",
        "source": f"{library}/__init__.py",
    }
    assert second == {
        "path": f"/opt/x/{release}/coldvox_ci/sub/a.py",
        "source": f"{library}/sub/a.py",
    }
    assert release_files(library, "/opt/x") == [first, second, link]


@pytest.mark.parametrize("change", ["content", "name", "moved boundary"])
def test_agent_files_name_another_release_after_any_change(library: Path, change: str) -> None:
    before = release_files(library, "/opt/x")[-1]
    if change == "content":
        (library / "sub/a.py").write_text("TEXT = 2\n")
    elif change == "name":
        (library / "sub/a.py").rename(library / "sub/b.py")
    else:
        (library / "__init__.py").write_text((library / "sub/a.py").read_text())
        (library / "sub/a.py").write_text("")
    assert release_files(library, "/opt/x")[-1] != before


def test_agent_files_hold_the_whole_library() -> None:
    entries = LookupModule().run(["/opt/x/"])
    names = {entry["path"].partition("/coldvox_ci/")[2] for entry in entries[:-1]}
    assert names == {path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.py")}
    assert all(entry["path"].startswith("/opt/x/releases/") for entry in entries[:-1])
