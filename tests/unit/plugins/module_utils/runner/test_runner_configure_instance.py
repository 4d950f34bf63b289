"""config.sh: command line, written files, and what a failure restores."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result, run
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account, account_of, as_account
from ansible_collections.coldvox.ci.plugins.module_utils.runner.configure import configure, read_agent
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import Registration

WANTED = Registration(url="http://ghes/o/r", name="One", group="g", ephemeral=True)
# Leaves what the real one leaves, and a record of how it was called.
CONFIG = """#!/bin/bash
{ printf '%s\\n' "$@"; } > args
env | sort > seen
umask > umask
printf '\\xef\\xbb\\xbf{"agentId": 12, "AgentName": "one"}' > .runner
echo secret > .credentials
echo PATH > .path
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path))
    os.makedirs(layout.records)
    return layout


def script(layout: Layout, text: str = CONFIG) -> None:
    path = Path(layout.file("config.sh"))
    path.write_text(text)
    path.chmod(0o755)


def register(layout: Layout, *, replace: bool = False) -> int:
    account = account_of(getpass.getuser())
    return configure(run, layout, account, WANTED, labels=["x", "y"], token="t0ken", replace=replace)


def test_configure_passes_values_in_the_environment(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/leaks/into/env")
    script(layout)
    assert register(layout, replace=True) == 12
    arguments = Path(layout.file("args")).read_text().split()
    assert arguments == ["--unattended", "--disableupdate", "--replace", "--ephemeral"]
    seen = dict(line.split("=", 1) for line in Path(layout.file("seen")).read_text().splitlines())
    inputs = {key: value for key, value in seen.items() if key.startswith("ACTIONS_RUNNER_INPUT_")}
    assert inputs == {
        "ACTIONS_RUNNER_INPUT_URL": "http://ghes/o/r",
        "ACTIONS_RUNNER_INPUT_TOKEN": "t0ken",
        "ACTIONS_RUNNER_INPUT_NAME": "One",
        "ACTIONS_RUNNER_INPUT_WORK": "_work",
        "ACTIONS_RUNNER_INPUT_RUNNERGROUP": "g",
        "ACTIONS_RUNNER_INPUT_LABELS": "x,y",
    }
    assert seen["HOME"] == layout.home
    assert "JAVA_HOME" not in seen
    assert Path(layout.file("umask")).read_text().strip() == "0077"


def test_configure_restores_the_umask(layout: Layout) -> None:
    before = os.umask(0o027)
    try:
        script(layout)
        register(layout)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_configure_restores_the_former_registration_after_a_failure(layout: Layout) -> None:
    Path(layout.file(".runner")).write_text('{"agentId": 3}')
    Path(layout.file(".env")).write_text("A=1\n")
    script(
        layout, "#!/bin/bash\necho junk > .runner\necho 'Http response code: NotFound t0ken' >&2\nexit 1\n"
    )
    with pytest.raises(CiError) as failed:
        register(layout)
    assert "NotFound ***" in str(failed.value)
    assert "t0ken" not in str(failed.value)
    assert "status 1" in str(failed.value)
    assert Path(layout.file(".runner")).read_text() == '{"agentId": 3}'
    assert Path(layout.file(".env")).read_text() == "A=1\n"


def test_configure_fails_without_a_registration(layout: Layout) -> None:
    script(layout, "#!/bin/bash\nexit 0\n")
    with pytest.raises(CiError, match="could not be registered"):
        register(layout)


def test_configure_moves_the_former_registration_aside(layout: Layout) -> None:
    Path(layout.file(".runner")).write_text('{"agentId": 3}')
    script(layout, "#!/bin/bash\n[ ! -e .runner ] || exit 1\n" + CONFIG.partition("\n")[2])
    assert register(layout) == 12
    assert os.listdir(layout.records) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'\xef\xbb\xbf{"agentId": 5, "agentName": "n"}', (5, "n")),
        (b'{"AGENTID": "6", "AgentName": "n"}', (6, "n")),
        (b'{"agentName": "n"}', (None, "")),
        (b"[]", (None, "")),
        (b"", (None, "")),
        (b'{"agentId": null}', (None, "")),
        (b"\xff\xfe", (None, "")),
        (b"[" * 60_000, (None, "")),
        (None, (None, "")),
    ],
)
def test_read_agent_accepts_what_runners_and_jobs_write(
    layout: Layout, content: Optional[bytes], expected: tuple[Optional[int], str]
) -> None:
    if content is not None:
        Path(layout.file(".runner")).write_bytes(content)
    assert read_agent(layout) == expected


def test_read_agent_follows_no_link(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(json.dumps({"agentId": 5}))
    os.symlink(tmp_path / "elsewhere", layout.file(".runner"))
    assert read_agent(layout) == (None, "")


def test_as_account_drops_all_privileges() -> None:
    other = Account("other", os.geteuid() + 1, 77)
    argv = as_account(other, ["./config.sh"])
    assert argv[0] == "setpriv"
    assert f"--reuid={other.uid}" in argv
    assert "--no-new-privs" in argv
    assert argv[-2:] == ["--", "./config.sh"]
    assert as_account(account_of(getpass.getuser()), ["x"]) == ["x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_account_runs_the_program_as_the_account() -> None:
    done = run(as_account(account_of("nobody"), ["id", "-un"]))
    assert done.stdout.strip() == "nobody"


def test_account_of_names_a_missing_account() -> None:
    with pytest.raises(CiError, match="'ci-nobody-there'"):
        account_of("ci-nobody-there")


def test_configure_reports_a_program_that_hangs(layout: Layout) -> None:
    def hang(
        argv: Sequence[str],
        *,
        environment: Optional[Mapping[str, str]] = None,
        cwd: Optional[str] = None,
        timeout_seconds: Optional[float] = None,
    ) -> Result:
        return Result(124, "", f"{argv[0]}: no end after {timeout_seconds:g} s, {environment is None} {cwd}")

    with pytest.raises(CiError, match="status 124"):
        configure(hang, layout, account_of(getpass.getuser()), WANTED, labels=[], token="t", replace=False)
