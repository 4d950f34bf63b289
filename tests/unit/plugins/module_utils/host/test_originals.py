"""What others had at a path before a file set: kept, and given back."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.host import files
from ansible_collections.coldvox.ci.plugins.module_utils.host.file_state import entry_from
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}
OWNERS = b"\x7fELF the owner's own cargo"


def converge(
    tmp_path: Path, *raw: dict[str, Any], absent: tuple[Path, ...] = ()
) -> tuple[list[str], list[str]]:
    """Converge a set; return the changed paths and the warnings."""
    entries = [entry_from({**ME, **one}) for one in raw]
    wanted = files.FileSet("test", entries, [str(path) for path in absent], (), str(tmp_path / "state"))
    changes = files.plan(wanted)
    warnings: list[str] = []
    files.converge(wanted, changes, run, warnings.append)
    return [change.path for change in changes], warnings


def test_original_is_kept_and_comes_back(tmp_path: Path) -> None:
    cargo, link = tmp_path / "bin/cargo", tmp_path / "bin/rustc"
    cargo.parent.mkdir()
    cargo.write_bytes(OWNERS)
    cargo.chmod(0o750)
    link.symlink_to("/home/owner/.cargo/bin/rustc")
    ours = [
        {"path": str(cargo), "link_to": "/usr/local/lib/proxy"},
        {"path": str(link), "content": "first\n"},
        {"path": f"{tmp_path}/bin/new", "content": "new\n"},
    ]
    changed, warnings = converge(tmp_path, *ours)
    assert len(changed) == 3
    assert [warning.split("'")[1] for warning in warnings] == [str(cargo), str(link)]
    assert stat.S_IMODE((tmp_path / "state/originals").stat().st_mode) == 0o700
    # Our own file changes without another copy.
    assert converge(tmp_path, ours[0], {**ours[1], "content": "second\n"}, ours[2])[1] == []
    assert converge(tmp_path, ours[0], {**ours[1], "content": "second\n"}, ours[2]) == ([], [])

    paths = (cargo, link, tmp_path / "bin/new")
    assert converge(tmp_path, absent=paths)[0] == [str(path) for path in paths]
    assert cargo.read_bytes() == OWNERS
    assert stat.S_IMODE(cargo.stat().st_mode) == 0o750
    assert os.readlink(link) == "/home/owner/.cargo/bin/rustc"
    assert not paths[2].exists()
    assert converge(tmp_path, absent=paths) == ([], []), "what came back stays"
    assert cargo.read_bytes() == OWNERS

    assert len(converge(tmp_path, *ours)[1]) == 2, "a second life of the set keeps them again"
    converge(tmp_path, absent=paths)
    assert cargo.read_bytes() == OWNERS


def test_own_files_of_an_older_version_are_no_originals(tmp_path: Path) -> None:
    """Know them without an index: their texts or paths name the collection."""
    for name, text in {"a": "# kept by Ansible (coldvox.ci)\n", "coldvox-b": "anything\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "lib").symlink_to("/opt/libvosk/0.3.42/libvosk.so")
    (tmp_path / "exe").symlink_to("/usr/local/lib/coldvox-ci/rust-proxy")
    changed, warnings = converge(
        tmp_path,
        {"path": f"{tmp_path}/a", "content": "new\n"},
        {"path": f"{tmp_path}/coldvox-b", "content": "new\n"},
        {"path": f"{tmp_path}/lib", "link_to": "/opt/libvosk/0.3.45/libvosk.so"},
        {"path": f"{tmp_path}/exe", "link_to": "/elsewhere"},
    )
    assert (len(changed), warnings) == (4, [])


def test_damaged_index_loses_no_file_of_others(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(OWNERS)
    (tmp_path / "state/originals").mkdir(parents=True)
    (tmp_path / "state/originals/index.json").write_text("{")
    assert len(converge(tmp_path, {"path": str(path), "content": "ours\n"})[1]) == 1
    converge(tmp_path, absent=(path,))
    assert path.read_bytes() == OWNERS
