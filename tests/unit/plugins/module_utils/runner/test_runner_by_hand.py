"""Runners that a person installed by hand: their units, directories and processes."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.by_hand import (
    ByHand,
    Service,
    check_stopped,
    look_for,
    named,
    of_scope,
    parse_service,
    running,
    services,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.configure import Settings
from ansible_collections.coldvox.ci.plugins.module_utils.runner.worker import Process

# The unit that bin/systemd.svc.sh.template of actions/runner 2.336.0 writes (facts about the real runner).
SVC = """[Unit]
Description=GitHub Actions Runner (Coldaine-ColdVox.laptop-extra)
After=network-online.target

[Service]
ExecStart=/home/coldaine/actions-runner/runsvc.sh
User=coldaine
WorkingDirectory=/home/coldaine/actions-runner
KillMode=process
KillSignal=SIGTERM
TimeoutStopSec=5min

[Install]
WantedBy=multi-user.target
"""
RUNNER = {
    "agentId": 7,
    "agentName": "laptop-extra",
    "poolId": 1,
    "poolName": "Default",
    "serverUrl": "https://pipelines.actions.githubusercontent.com/x",
    "gitHubUrl": "https://github.com/Coldaine/ColdVox",
    "workFolder": "_work",
}
SETTINGS = Settings(
    7, "laptop-extra", "https://github.com/Coldaine/ColdVox", "Default", "_work", False, False
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SVC, Service("/home/coldaine/actions-runner", "coldaine")),
        ("[Service]\nExecStart=/opt/r/run.sh --once\n", Service("/opt/r", "")),
        ("[Service]\nExecStart=-/opt/r/bin/Runner.Listener run\nUser = me\n", Service("/opt/r", "me")),
        ("[Service]\nWorkingDirectory=/srv/r\nExecStart=/bin/bash ./run.sh\n", Service("/srv/r", "")),
        (
            "[Service]\nExecStart=/bin/sh -c './run.sh --jitconfig \"$(cat x)\"'\nWorkingDirectory=/gha\n",
            Service("/gha", ""),
        ),
        ('[Service]\nExecStart="/srv/a b/run.sh"\n', Service("/srv/a b", "")),
        ("[Service]\nExecStart=/bin/bash \\\n  /srv/r/run.sh\n", Service("/srv/r", "")),
        ("[Service]\nExecStart=/old/run.sh\nExecStart=\nExecStart=/new/run.sh\n", Service("/new", "")),
        ("[Service]\n#ExecStart=/opt/r/run.sh\nExecStart=/usr/sbin/sshd -D\n", None),
        ("[Unit]\nExecStart=/opt/r/run.sh\n", None),
        ("[Service]\nExecStart=./run.sh\n", None),
        ('[Service]\nExecStart=/bin/sh -c "unclosed\n', None),
        ("", None),
    ],
)
def test_unit_file_names_the_runner_that_it_starts(text: str, expected: Optional[Service]) -> None:
    assert parse_service(text) == expected


def test_units_of_the_pool_and_of_others_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "actions.runner.Coldaine-ColdVox.laptop-extra.service").write_text(SVC)
    (tmp_path / "coldvox-runner@.service").write_text("[Service]\nExecStart=/var/lib/r/%i/run.sh\n")
    (tmp_path / "sshd.service").write_text("[Service]\nExecStart=/usr/sbin/sshd\n")
    (tmp_path / "masked.service").symlink_to("/dev/null")
    (tmp_path / "dangling.service").symlink_to(tmp_path / "absent")
    assert list(services(str(tmp_path))) == ["actions.runner.Coldaine-ColdVox.laptop-extra.service"]


LISTENER = "/home/x/actions-runner/bin/Runner.Listener"


@pytest.mark.parametrize(
    ("executable", "arguments", "cgroup", "expected"),
    [
        (
            *(
                LISTENER,
                (LISTENER, "run", "--startuptype", "service"),
                "0::/system.slice/actions.runner.a.service",
            ),
            [("/home/x/actions-runner", "actions.runner.a.service")],
        ),
        (
            *(
                "/usr/bin/python3",
                ("python3", LISTENER, "run"),
                "0::/user.slice/user-1000.slice/session-3.scope",
            ),
            [("/home/x/actions-runner", "")],
        ),
        (
            *(
                LISTENER,
                (LISTENER,),
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/gha.service",
            ),
            [("/home/x/actions-runner", "")],
        ),
        (
            *(LISTENER, (LISTENER,), "1:name=systemd:/system.slice/system-r.slice/r@1.service\n0::/\n"),
            [("/home/x/actions-runner", "r@1.service")],
        ),
        (LISTENER, (LISTENER,), "0::/coldvox.slice/coldvox-ci.slice/coldvox-runner@a.service", []),
        ("/usr/bin/vim", ("vim", "notes about Runner.Listener"), "0::/user.slice", []),
    ],
)
def test_running_listener_names_directory_and_unit(
    executable: str, arguments: tuple[str, ...], cgroup: str, expected: list[tuple[str, str]]
) -> None:
    assert list(running([Process(9, executable, arguments, cgroup)])) == expected


def install(directory: Path, **changes: Any) -> Path:
    """Write the registration as config.sh does: JSON with a byte order mark."""
    directory.mkdir(parents=True)
    (directory / ".runner").write_text(json.dumps({**RUNNER, **changes}), encoding="utf-8-sig")
    return directory


@pytest.fixture
def host(tmp_path: Path) -> Any:
    """Return a function that looks for runners in a directory that is like a host's root."""
    for name in ("units", "proc", "base"):
        (tmp_path / name).mkdir()

    def look() -> list[ByHand]:
        places = (f"{tmp_path}/home/*/actions-runner*", f"{tmp_path}/opt/actions-runner*")
        return look_for(str(tmp_path / "units"), str(tmp_path / "base"), places, str(tmp_path / "proc"))

    return look


def test_look_for_combines_directory_and_unit(host: Any, tmp_path: Path) -> None:
    root = install(tmp_path / "home/coldaine/actions-runner")
    (tmp_path / "units" / "a.service").write_text(SVC.replace("/home/coldaine/actions-runner", str(root)))
    assert host() == [ByHand(str(root), "a.service", "coldaine", SETTINGS)]


def test_look_for_finds_a_runner_without_a_unit_by_its_directory(host: Any, tmp_path: Path) -> None:
    root = install(tmp_path / "opt/actions-runner", ephemeral=True, disableUpdate=True, poolName="gpu")
    expected = SETTINGS._replace(ephemeral=True, updates_disabled=True, group="gpu")
    assert host() == [ByHand(str(root), "", getpass.getuser(), expected)]


def test_look_for_finds_a_unit_with_a_directory_elsewhere(host: Any, tmp_path: Path) -> None:
    root = install(tmp_path / "data/gha")
    (tmp_path / "units" / "my-runner.service").write_text(f"[Service]\nUser=me\nExecStart={root}/run.sh\n")
    assert [(runner.root, runner.unit) for runner in host()] == [(str(root), "my-runner.service")]


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("cron.service", "[Service]\nExecStart=/usr/sbin/cron -f\n", ""),
        ("cron.service", None, ""),
        ("gha.service", "[Service]\nExecStart=/usr/local/bin/start ROOT\n", "gha.service"),
    ],
)
def test_unit_of_a_process_counts_only_if_it_is_the_runners_own(
    host: Any, tmp_path: Path, unit: str, text: Optional[str], expected: str
) -> None:
    root = install(tmp_path / "data/gha")
    process = tmp_path / "proc/9"
    process.mkdir()
    (process / "cmdline").write_text(f"{root}/bin/Runner.Listener\0run\0")
    (process / "cgroup").write_text(f"0::/system.slice/{unit}\n")
    if text:
        (tmp_path / "units" / unit).write_text(text.replace("ROOT", str(root)))
    assert [(runner.root, runner.unit) for runner in host()] == [(str(root), expected)]


def test_look_for_reports_a_linked_directory_once(host: Any, tmp_path: Path) -> None:
    root = install(tmp_path / "home/a/actions-runner")
    (tmp_path / "home/a/actions-runner-link").symlink_to(root)
    (tmp_path / "units" / "a.service").write_text(f"[Service]\nExecStart={root}-link/runsvc.sh\n")
    assert [(runner.root, runner.unit) for runner in host()] == [(str(root), "a.service")]


def test_look_for_leaves_out_directories_without_a_registration(host: Any, tmp_path: Path) -> None:
    (tmp_path / "home/a/actions-runner").mkdir(parents=True)
    install(tmp_path / "home/b/actions-runner").joinpath(".runner").write_text("{}")
    install(tmp_path / "base/coldvox")
    os.symlink(tmp_path / "base/coldvox", tmp_path / "home/a/actions-runner-2")
    assert host() == []


@pytest.mark.parametrize(
    ("url", "count"),
    [
        ("https://github.com/coldaine/ColdVox/", 1),
        ("https://www.github.com/Coldaine/ColdVox", 1),
        ("https://github.com/Coldaine", 0),
        ("https://github.com/Coldaine/ColdVox2", 0),
    ],
)
def test_of_scope_compares_pages_as_github_does(url: str, count: int) -> None:
    assert len(of_scope([ByHand("/r", "", "me", SETTINGS)], url)) == count


def test_named_prefers_the_directory_with_a_unit() -> None:
    copy, real = ByHand("/a", "", "me", SETTINGS), ByHand("/b", "r.service", "me", SETTINGS)
    assert named([real, copy]) == named([copy, real]) == {"laptop-extra": real}


def test_running_runner_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "9"
    place.mkdir()
    (place / "cmdline").write_text("/r/bin/Runner.Listener\0run\0")
    (place / "cgroup").write_text("0::/user.slice\n")
    (place / "stat").write_text("9 (Runner.Listener) S 1 " + "0 " * 30)
    with pytest.raises(CiError, match=r"'laptop-extra'.*'/r'.*still runs; run adopt\.yml"):
        check_stopped(ByHand("/r", "", "me", SETTINGS), str(tmp_path))
    check_stopped(ByHand("/other", "", "me", SETTINGS), str(tmp_path))
