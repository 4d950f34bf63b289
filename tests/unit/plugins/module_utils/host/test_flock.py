from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import (
    Flock,
    LockTimeoutError,
    LockUnsupportedError,
    require_flock,
)
from ansible_collections.coldvox.ci.plugins.module_utils.host.kernel_locks import describe_holders

from tests._support.other_user import other_user

HOLDER = """
import sys, time
sys.path[:0] = {paths!r}
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
lock = Flock({path!r})
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.lock")


@pytest.fixture
def holder(path: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    code = HOLDER.format(paths=sys.path, path=path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_exclusive_excludes_and_shared_shares(path: str) -> None:
    with Flock(path) as held:
        assert held.held
        assert not Flock(path).try_acquire()
        assert not Flock(path, shared=True).try_acquire()
    with Flock(path, shared=True), Flock(path, shared=True):
        assert not Flock(path).try_acquire()
    with Flock(path):
        pass


def test_a_killed_holder_frees_it_at_once(path: str, holder: subprocess.Popen[str]) -> None:
    waits: list[float] = []
    thread = threading.Thread(target=lambda: waits.append(Flock(path).acquire(10)))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    holder.kill()
    thread.join()
    # Far from the waiter's own limit, so that only the end of the holder can have let it in.
    assert 0.25 <= waits[0] < 8


def test_a_stopped_holder_is_named_and_nothing_is_stolen(path: str, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(LockTimeoutError) as caught:
        Flock(path).acquire(0.3)
    assert f"because process {holder.pid} (" in str(caught.value)
    holder.send_signal(signal.SIGCONT)
    assert not Flock(path).try_acquire()


def test_the_descriptor_is_not_inherited(path: str) -> None:
    lock = Flock(path)
    lock.acquire()
    child = subprocess.Popen(["sleep", "30"])
    try:
        lock.release()
        assert Flock(path).try_acquire()
    finally:
        child.kill()
        child.wait()


def test_a_waiter_that_gave_up_leaves_no_lock_behind(path: str) -> None:
    first = Flock(path)
    first.acquire()
    with pytest.raises(LockTimeoutError):
        Flock(path).acquire(0.05)
    first.release()
    with Flock(path):
        pass
    assert Flock(path).acquire(10) < 5


def test_progress_of_the_holder_keeps_a_waiter_waiting(path: str) -> None:
    first = Flock(path)
    first.acquire()
    threading.Timer(4.0, first.release).start()
    # That is too short for the wait, but the pulse changes all the time.
    second = Flock(path)
    assert second.acquire(2.5, pulse=time.monotonic) > 3
    with second, pytest.raises(LockTimeoutError):
        Flock(path).acquire(0.2, pulse=lambda: "still the same")


def test_a_stale_file_and_its_note_mean_nothing(path: str) -> None:
    note = {"pid": 1, "start": 1, "host": "elsewhere", "purpose": "x", "since": "2020"}
    Path(path).write_text(json.dumps(note))
    assert Flock(path).try_acquire()


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', "\0\0"])
def test_describe_holders_ignores_the_text_of_the_file(path: str, text: str) -> None:
    Path(path).write_text(text)
    assert describe_holders(path) == "an unknown process"
    with Flock(path):
        assert describe_holders(path).startswith(f"process {os.getpid()} (")
    assert Path(path).read_text() == text


def test_a_replaced_lock_file_is_noticed(path: str) -> None:
    first = Flock(path)
    first.acquire()
    waiting = Flock(path)
    thread = threading.Thread(target=waiting.acquire, args=(5,))
    thread.start()
    time.sleep(0.1)
    os.rename(path, path + ".old")
    Path(path).touch()
    first.release()
    thread.join()
    # The waiter on the old file must hold the new one: that is the one others see.
    assert waiting.held
    assert not Flock(path).try_acquire()


def test_a_planted_link_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    os.symlink(tmp_path / "victim", path)
    with pytest.raises(CiError, match="cannot be opened"):
        Flock(path).acquire()
    assert (tmp_path / "victim").read_text() == "mine"


def test_modes_do_not_depend_on_the_umask(path: str) -> None:
    before = os.umask(0o077)
    try:
        with Flock(path, mode=0o644):
            assert os.stat(path).st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


# A job can lock what it may read by each call that the kernel has; prints the calls that succeeded.
JOB = """
import fcntl, os, struct, sys
held = []
def attempt(name, call):
    descriptor = os.open({path!r}, os.O_RDONLY)
    try:
        call(descriptor)
    except OSError:
        os.close(descriptor)
    else:
        held.append(name)
def own(kind):
    return struct.pack("hhqqi4x", kind, 0, 0, 0, 0)
calls = dict(
    flock=lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
    record=lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
    open_file=lambda fd: fcntl.fcntl(fd, fcntl.F_OFD_SETLK, own(fcntl.F_WRLCK)),
    lease=lambda fd: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK),
    shared=lambda fd: fcntl.fcntl(fd, fcntl.F_OFD_SETLK, own(fcntl.F_RDLCK)),
)
for name in sys.argv[1:]:
    attempt(name, calls[name])
print(*held, flush=True)
sys.stdin.readline()
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a job's user")


@pytest.fixture
def open_path(reachable: Path) -> str:
    """A lock file that other users may read."""
    path = str(reachable / "x.lock")
    with Flock(path):
        return path


@contextlib.contextmanager
def job(path: str, *calls: str) -> Iterator[str]:
    """Try ``calls`` on ``path`` as another user; yield those granted."""
    code = JOB.format(path=path)
    with other_user(code, *calls) as printed:
        yield printed.readline().strip()


@needs_root
def test_a_reader_cannot_hold_a_lock_against_others(open_path: str) -> None:
    with job(open_path, "flock", "record", "open_file", "lease") as granted:
        assert granted == "flock"
        for shared in (False, True):
            lock = Flock(open_path, shared=shared)
            assert lock.try_acquire()
            lock.release()


@needs_root
def test_a_reader_without_write_permission_can_share(open_path: str) -> None:
    with job(open_path, "shared") as granted:
        assert granted == "shared"
        with Flock(open_path, shared=True):
            assert not Flock(open_path).try_acquire()


def test_the_self_test_believes_a_working_lock(tmp_path: Path) -> None:
    require_flock(str(tmp_path))


def test_the_self_test_believes_a_lock_that_is_just_being_tested(tmp_path: Path) -> None:
    with Flock(str(tmp_path / "self-test.lock"), mode=0o600):
        require_flock(str(tmp_path))


def test_the_self_test_finds_a_lock_that_grants_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "fcntl", lambda _fd, _command, _request: None)
    with pytest.raises(LockUnsupportedError, match=r"no working file locks \(it grants every lock\)"):
        require_flock(str(tmp_path))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_recognized(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_fd: int, _command: int, _request: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with pytest.raises(LockUnsupportedError, match="no working file locks"):
        require_flock(str(tmp_path))
    with pytest.raises(LockUnsupportedError, match="no working file locks"):
        Flock(path).acquire()


def test_a_counter_under_the_lock_comes_out_exact(tmp_path: Path, path: str) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
for _number in range(200):
    with Flock({path!r}):
        with open({str(counter)!r}) as stream:
            value = int(stream.read())
        with open({str(counter)!r}, "w") as stream:
            stream.write(str(value + 1))
"""
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _number in range(8)]
    assert [worker.wait() for worker in workers] == [0] * 8
    assert counter.read_text() == "1600"
