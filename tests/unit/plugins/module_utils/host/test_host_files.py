from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host import files
from ansible_collections.coldvox.ci.plugins.module_utils.host.directories import PathError, open_directory
from ansible_collections.coldvox.ci.plugins.module_utils.host.file_state import diff_of, entry_from, look
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result, run

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}


class Recorder:
    """A ``run`` that notes what it is given and answers with one status."""

    def __init__(self, status: int = 0, stderr: str = "") -> None:
        self.calls: list[list[str]] = []
        self.result = Result(status, "", stderr)

    def __call__(self, argv: Any, **_options: Any) -> Result:
        self.calls.append(list(argv))
        return self.result


def file_set(tmp_path: Path, *raw: dict[str, Any], absent: Any = (), commands: Any = ()) -> files.FileSet:
    entries = [entry_from({**ME, **one}) for one in raw]
    return files.FileSet("test", entries, [str(path) for path in absent], commands, str(tmp_path / "state"))


def converge(wanted: files.FileSet, recorder: Any = None, warn: Any = pytest.fail) -> list[str]:
    """Plan and make all changes; returns the changed paths."""
    changes = files.plan(wanted)
    files.converge(wanted, changes, recorder or Recorder(), warn)
    return [change.path for change in changes]


def test_files_second_converge_changes_nothing(tmp_path: Path) -> None:
    wanted = file_set(
        tmp_path,
        {"path": f"{tmp_path}/etc/a.conf", "content": "a\n", "mode": "0600"},
        {"path": f"{tmp_path}/etc/link", "link_to": "a.conf"},
        {"path": f"{tmp_path}/var/dir", "directory": True, "mode": "0750"},
        absent=[tmp_path / "gone"],
    )
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "inside").write_text("x")
    assert len(converge(wanted)) == 4
    assert converge(wanted) == []
    assert (tmp_path / "etc/link").read_text() == "a\n"
    assert stat.S_IMODE((tmp_path / "etc/a.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "var/dir").stat().st_mode) == 0o750
    assert not (tmp_path / "gone").exists()


def test_files_mode_ignores_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        converge(file_set(tmp_path, {"path": f"{tmp_path}/new/a", "content": "", "mode": "0644"}))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "new/a").stat().st_mode) == 0o644


def test_files_link_at_the_path_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "a").symlink_to(victim)
    said: list[str] = []
    wanted = file_set(tmp_path, {"path": f"{tmp_path}/a", "content": "new"})
    assert converge(wanted, warn=said.append) == [f"{tmp_path}/a"]
    assert len(said) == 1
    assert victim.read_text() == "precious"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_files_refuse_another_users_link_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    os.lchown(tmp_path / "way", 12345, 12345)
    with pytest.raises(PathError, match="belongs to user id 12345"):
        files.plan(file_set(tmp_path, {"path": f"{tmp_path}/way/a", "content": "x"}))
    assert list((tmp_path / "real").iterdir()) == []


def test_files_follow_an_own_link_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "relative").symlink_to("real/../real/deep")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative")
    converge(file_set(tmp_path, {"path": f"{tmp_path}/absolute/a", "content": "x"}))
    assert (tmp_path / "real/deep/a").read_text() == "x"


def test_files_refuse_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PathError, match="circle of links"):
        open_directory(f"{tmp_path}/a")


@pytest.mark.parametrize("path", ["relative/a", "/tmp/../etc/a"])
def test_files_refuse_paths_that_are_not_absolute(tmp_path: Path, path: str) -> None:
    with pytest.raises(PathError, match="not absolute and plain"):
        files.plan(file_set(tmp_path, {"path": path, "content": "x"}))


def test_files_refuse_to_replace_a_directory_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(PathError, match="must become a file, but a directory is there"):
        files.plan(file_set(tmp_path, {"path": f"{tmp_path}/a", "content": "x"}))


def test_files_directory_behind_a_link_counts(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "store").symlink_to("disk")
    wanted = file_set(tmp_path, {"path": f"{tmp_path}/store", "directory": True})
    assert converge(wanted) == []
    (tmp_path / "disk").chmod(0o700)
    assert converge(wanted) == [f"{tmp_path}/store"]
    assert (tmp_path / "store").is_symlink()


def test_files_commands_run_only_after_a_change(tmp_path: Path) -> None:
    wanted = file_set(tmp_path, {"path": f"{tmp_path}/a", "content": "x"}, commands=[["one"], ["two", "2"]])
    first, second = Recorder(), Recorder()
    converge(wanted, first)
    converge(wanted, second)
    assert first.calls == [["one"], ["two", "2"]]
    assert second.calls == []
    assert list((tmp_path / "state/pending").iterdir()) == []


def test_files_failure_of_a_command_with_a_dash_is_a_warning(tmp_path: Path) -> None:
    wanted = file_set(
        tmp_path, {"path": f"{tmp_path}/a", "content": "x"}, commands=[["-load", "a"], ["next"]]
    )
    warnings: list[str] = []
    recorder = Recorder(1, "no audit support\n")
    with pytest.raises(files.FileSetError, match="'next' failed"):
        files.converge(wanted, files.plan(wanted), recorder, warnings.append)
    assert recorder.calls == [["load", "a"], ["next"]]
    assert warnings == [
        "The files of 'test' are in place, but 'load a' failed with status 1 (no audit support); correct "
        "that and run it on the host, if you need it there."
    ]


def test_files_failed_command_runs_again_with_the_next_call(tmp_path: Path) -> None:
    wanted = file_set(tmp_path, {"path": f"{tmp_path}/a", "content": "x"}, commands=[["reload"]])
    with pytest.raises(files.FileSetError, match=r"'reload' failed with status 1 \(no bus\)"):
        converge(wanted, Recorder(1, "trying\nno bus\n"))
    assert files.plan(wanted) == []
    assert files.commands_due(wanted, [])
    again = Recorder()
    converge(wanted, again)
    assert again.calls == [["reload"]]
    assert not files.commands_due(wanted, [])


def test_files_interrupted_write_leaves_the_marker(tmp_path: Path) -> None:
    wanted = file_set(
        tmp_path,
        {"path": f"{tmp_path}/a", "content": "x"},
        {"path": f"{tmp_path}/b", "content": "x", "owner": "no-such-user-here"},
        commands=[["reload"]],
    )
    recorder = Recorder()
    with pytest.raises(files.FileSetError, match="user 'no-such-user-here'"):
        converge(wanted, recorder)
    assert recorder.calls == []
    assert (tmp_path / "state/pending/test").exists()


def test_files_write_nothing_if_a_checker_refuses(tmp_path: Path) -> None:
    wanted = file_set(
        tmp_path,
        {"path": f"{tmp_path}/good", "content": "fine"},
        {"path": f"{tmp_path}/unit.service", "content": "bad", "validate": "grep -q good %s"},
    )
    with pytest.raises(files.FileSetError, match=r"unit\.service' is left as it was, because 'grep' refuses"):
        files.validate(files.plan(wanted), run)
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_files_checker_gets_a_copy_with_the_same_name(tmp_path: Path) -> None:
    recorder = Recorder()
    wanted = file_set(
        tmp_path, {"path": f"{tmp_path}/x.service", "content": "x", "validate": "verify --strict %s"}
    )
    files.validate(files.plan(wanted), recorder)
    assert recorder.calls[0][:2] == ["verify", "--strict"]
    assert recorder.calls[0][2].endswith("/x.service")


@pytest.mark.parametrize(
    ("raw", "absent", "said"),
    [
        ([{"path": "/x/a"}, {"path": "/x/a"}], [], "more than once"),
        ([], ["/etc"], "too near the root"),
        ([{"path": "/srv/x/a"}], ["/srv/x"], "removes '/srv/x' but keeps '/srv/x/a'"),
    ],
)
def test_files_refuse_contradictions(tmp_path: Path, raw: Any, absent: Any, said: str) -> None:
    with pytest.raises(files.FileSetError, match=said):
        files.check_set(file_set(tmp_path, *raw, absent=absent))


@pytest.mark.parametrize("mode", ["644", "420", "u=rw", "0999"])
def test_files_mode_must_be_four_octal_digits(mode: str) -> None:
    with pytest.raises(PathError, match="four octal digits"):
        entry_from({"path": "/x/a", "content": "", "mode": mode})


def test_files_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """The old file stays whole under an open descriptor.

    It is replaced, not rewritten.
    """
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as reader:
        converge(file_set(tmp_path, {"path": str(path), "content": "new"}), warn=lambda _text: None)
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "state"]


def test_files_diff_shows_content_or_attributes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("same\n")
    path.chmod(0o600)
    wanted = entry_from({**ME, "path": str(path), "content": "same\n", "mode": "0644"})
    shown = diff_of(str(path), look(str(path)), wanted)
    assert shown["before"].startswith("file mode 0600 ")
    assert shown["after"].startswith("file mode 0644 ")
    new = diff_of(f"{tmp_path}/new", look(f"{tmp_path}/new"), wanted)
    assert (new["before"], new["after"]) == ("", "same\n")
    gone = diff_of(str(path), look(str(path)), None)
    assert (gone["before"], gone["after"]) == ("same\n", "")
