"""Models and locks that jobs hold by runnerctl, and cannot alter."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest
from testinfra.host import Host

MODEL = "vosk-model-small-en-us-0.15"
LOCKS = "/run/coldvox-ci/locks"


def test_package_belongs_to_root_and_can_be_read_by_all(host: Host) -> None:
    assert host.check_output("find -L /opt/coldvox-ci/current ! -user root -o -perm /022") == ""
    assert host.check_output("find -L /opt/coldvox-ci/current ! -perm -444") == ""
    assert host.file("/usr/local/bin/runnerctl").mode == 0o755


def test_package_has_bytecode_for_the_hosts_python(host: Host) -> None:
    tag = host.check_output("/usr/bin/python3 -c 'import sys; print(sys.implementation.cache_tag)'")
    assert host.file(f"/opt/coldvox-ci/current/coldvox_ci/agent/cli/__pycache__/main.{tag}.pyc").exists


def test_cache_link_gives_a_job_its_model(as_user: Callable[..., str]) -> None:
    words = as_user(f"runnerctl cache link {MODEL} --into . -- sh -c 'head -n 1 {MODEL}/graph/words.txt'")
    assert words
    assert as_user(f"runnerctl cache link {MODEL}").startswith("/var/cache/coldvox-ci/trees/")


def test_cache_list_shows_the_store_to_a_job(as_user: Callable[..., str]) -> None:
    listed = json.loads(as_user("runnerctl cache list --json"))
    assert MODEL in [artifact["name"] for artifact in listed["artifacts"]]


def test_lock_excludes_a_second_holder_and_passes_the_exit_code_on(as_user: Callable[..., str]) -> None:
    script = """
        runnerctl lock run m -- sh -c 'echo in > ready; read end' < pipe &
        exec 3> pipe
        until [ -s ready ]; do sleep 0.1; done
        runnerctl lock run m --timeout 0 -- true || echo refused $?
        runnerctl lock list
        exec 3>&-
        wait
        runnerctl lock run m --timeout 10 -- sh -c 'exit 7' || echo free $?
    """
    said = as_user(f"mkfifo pipe; {script}")
    assert "refused 3" in said
    assert "exclusive  process" in said
    assert "free 7" in said


def test_lock_directory_is_for_the_group_alone(host: Host, refused: Callable[..., None]) -> None:
    directory = host.file(LOCKS)
    assert (directory.user, directory.group, directory.mode) == ("root", "ci", 0o750)
    refused("runnerctl lock run other -- true", user="nobody")


@pytest.mark.parametrize(
    "script",
    [
        "echo planted > /usr/local/bin/runnerctl",
        "touch /opt/coldvox-ci/current/coldvox_ci/planted.py",
        "ln -sfn /tmp /opt/coldvox-ci/current",
        f"rmdir {LOCKS}",
    ],
)
def test_agent_files_cannot_be_altered_by_a_job(refused: Callable[..., None], script: str) -> None:
    refused(script)


def test_lock_excludes_between_the_host_and_a_sandbox(host: Host) -> None:
    sandboxed = (
        "systemd-run --quiet --pipe --wait --property=User=ci --property=ProtectSystem=strict "
        f"--property=ReadWritePaths={LOCKS} runnerctl lock run m --timeout 0 -- true; echo gave $?"
    )
    assert host.check_output(sandboxed) == "gave 0"
    held = f"runnerctl lock run m -- sh -c {shlex.quote(sandboxed)}"
    assert host.run(held).stdout.strip() == "gave 3"
