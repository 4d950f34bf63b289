"""The warm start of Ansible, compared with a start from the shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests._support.ansible_process import run_ansible

PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {content: "new\\n", dest: "{{ inventory_dir }}/file", mode: "0644"}
    - coldvox.ci.file_set:
        name: test
        state_dir: "{{ inventory_dir }}/state"
        files: [{path: "{{ inventory_dir }}/set", content: "{{ lookup('env', 'GREETING') }}\\n"}]
    - ansible.builtin.shell: umask
      register: mask
      changed_when: false
      check_mode: false
    - ansible.builtin.debug: {msg: "umask {{ mask.stdout }}"}
    - block: [ansible.builtin.fail: {msg: "{{ undefined_here }}"}]
      rescue: [ansible.builtin.debug: {msg: the failure is rescued}]
    - ansible.builtin.command: /nonexistent/program
      check_mode: false
"""
# No other run on this machine has a task with the same words.
SECONDS = f"300.{os.getpid()}"
SLEEP = f"- hosts: all\n  gather_facts: false\n  tasks: [{{ansible.builtin.command: sleep {SECONDS}}}]\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "hosts").write_text(
        f"here ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    )
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "sleep.yml").write_text(SLEEP)
    return tmp_path


def normalized(text: str) -> str:
    """Return the output without times, temporary names and the interpreter's name."""
    text = re.sub(r"/bin/python[\d.]*", "PYTHON", text)
    text = re.sub(r"\d+:\d\d:\d\d\.\d+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "TIME", text)
    return re.sub(r"(ansible-(?:local|tmp)-)[\w.-]+|tmp\w{8}", "NAME", text)


@pytest.mark.parametrize("mode", [["--check", "--diff"], ["--diff", "-vv"]])
def test_warm_ansible_gives_what_the_shell_gives(place: Path, mode: list[str]) -> None:
    given = ("ansible-playbook", "-i", "hosts", "play.yml", *mode)
    results = []
    before = os.umask(0o027)
    try:
        for warm in (False, True):
            shutil.rmtree(place / "state", ignore_errors=True)
            for path in (place / "file", place / "set"):
                path.unlink(missing_ok=True)
                path.write_text("old\n")
            done = run_ansible(*given, cwd=place, environment={"GREETING": "hello"}, warm=warm)
            kept = (place / "set").read_text()
            results.append((done.returncode, kept, normalized(done.stdout), normalized(done.stderr)))
    finally:
        os.umask(before)
    assert results[0] == results[1]
    status, kept, output, errors = results[0]
    assert (status, kept) == (2, "old\n" if "--check" in mode else "hello\n")
    assert ("+new" in output) == ("--diff" in mode)
    assert "umask 0027" in output
    assert "undefined_here" in output + errors
    assert "the failure is rescued" in output
    assert "rescued=1" in output
    assert "/nonexistent/program" in output + errors


def test_warm_ansible_refuses_wrong_options_as_the_shell_does(place: Path) -> None:
    wrong = [run_ansible("ansible-playbook", "--nonsense", cwd=place, warm=warm) for warm in (False, True)]
    assert vars(wrong[0]) == vars(wrong[1])
    assert wrong[0].returncode == 2


def sleepers() -> list[psutil.Process]:
    """Return the processes of the task that sleeps."""
    return [
        process for process in psutil.process_iter(["cmdline"]) if SECONDS in (process.info["cmdline"] or ())
    ]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_warm_ansible_ends_with_the_test_process_and_its_workers(place: Path) -> None:
    client = (
        "import sys; sys.path[:0] = sys.argv[1].split(':')\n"
        "from pathlib import Path\n"
        "from tests._support.ansible_process import run_ansible\n"
        "run_ansible('ansible-playbook', '-i', 'hosts', 'sleep.yml', cwd=Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", client, ":".join(sys.path), str(place)])
    wait_until(sleepers)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _ended, alive = psutil.wait_procs(family, timeout=60)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    assert sleepers() == []


def test_warm_ansible_that_is_late_is_killed(place: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_ansible("ansible-playbook", "-i", "hosts", "sleep.yml", cwd=place, timeout=0.5)
    family = psutil.Process().children(recursive=True)
    assert [process for process in family if "ansible_server.py" in str(process.cmdline())] == []
    assert run_ansible("ansible", "--version", cwd=place).returncode == 0


def test_warm_ansible_server_that_dies_is_an_error(place: Path) -> None:
    def kill() -> None:
        wait_until(sleepers)
        parents = sleepers()[0].parents()
        # The nearest is the server's child that serves this call.
        servers = [process for process in parents if "ansible_server.py" in " ".join(process.cmdline())]
        servers[-1].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(RuntimeError, match="The Ansible server has ended"):
            run_ansible("ansible-playbook", "-i", "hosts", "sleep.yml", cwd=place)
    finally:
        killer.join()
        for process in sleepers():
            process.kill()
    assert run_ansible("ansible", "--version", cwd=place).returncode == 0
