"""Which process stands for a job."""

from __future__ import annotations

import os

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host import process

TREE = {10: ("bash", 9), 9: ("Runner.Worker", 8), 8: ("Runner.Listener", 1), 20: ("zsh", 19), 19: ("sshd", 1)}


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "parent_of", lambda pid: TREE.get(pid, ("", 0)))


def test_job_process_is_the_worker_above_a_step() -> None:
    assert process.job_process(10) == (9, "Runner.Worker")


def test_job_process_outside_of_a_job_is_the_caller() -> None:
    assert process.job_process(20) == (20, "zsh")


def test_job_process_refuses_an_orphan() -> None:
    with pytest.raises(CiError, match="There is no job to hold for"):
        process.job_process(1)


def test_job_process_ends_on_a_loop_of_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "parent_of", lambda pid: ("sh", 5 if pid == 6 else 6))
    assert process.job_process(5) == (5, "sh")


def test_job_process_reads_a_name_with_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with open("/proc/self/comm", "w", encoding="utf-8") as stream:
        stream.write("a) b (c")
    try:
        assert process.parent_of(os.getpid()) == ("a) b (c", os.getppid())
    finally:
        with open("/proc/self/comm", "w", encoding="utf-8") as stream:
            stream.write("python")
    assert process.parent_of(2**22 + 1) == ("", 0)
