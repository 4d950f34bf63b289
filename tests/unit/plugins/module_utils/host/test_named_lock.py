"""Locks by name in the library.

Exact under many processes, and what the kernel's list says of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host import kernel_locks, named_lock
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import LockTimeoutError
from ansible_collections.coldvox.ci.plugins.module_utils.host.kernel_locks import (
    KernelLock,
    describe_holders,
    on_file,
    parse,
    process_name,
)

from tests._support.other_user import other_user

PROCESSES = 32
ROUNDS = 100


LOCKS = """\
1: FLOCK  ADVISORY  WRITE 3015 fe:00:2155403 0 EOF
1: -> FLOCK  ADVISORY  READ  12 fe:00:2155403 0 EOF
2: POSIX  ADVISORY  WRITE 24881 fe:00:1466436 7 7
3: OFDLCK ADVISORY  READ -1 00:06:3 0 EOF
4: FLOCK  ADVISORY  READ  -1 00:1a:99 0 EOF
5: FLOCK nonsense
"""


def test_the_kernels_list_is_read() -> None:
    assert parse(LOCKS) == [
        KernelLock(3015, True, False, (0xFE, 0), 2155403),
        KernelLock(12, False, True, (0xFE, 0), 2155403),
        KernelLock(24881, True, False, (0xFE, 0), 1466436, 7),
        KernelLock(0, False, False, (0, 6), 3),
        KernelLock(0, False, False, (0, 0x1A), 99),
    ]


def test_a_file_is_found_by_device_and_inode_and_on_anonymous_devices_by_inode(tmp_path: Path) -> None:
    status = os.stat(tmp_path)

    def seen(device: int) -> list[KernelLock]:
        fields = list(status)
        fields[1:3] = [status.st_ino, device]
        return on_file([lock._replace(inode=status.st_ino) for lock in parse(LOCKS)], os.stat_result(fields))

    assert [lock.pid for lock in seen(os.makedev(0xFE, 0))] == [3015, 12, 24881]
    assert [lock.pid for lock in seen(os.makedev(0, 0x2B))] == [0, 0]
    assert seen(os.makedev(8, 1)) == []
    assert on_file(parse(LOCKS), status) == []


@pytest.mark.parametrize("mode", ["plain", "some holders are killed"])
def test_many_processes_count_exactly(tmp_path: Path, mode: str) -> None:
    """Each adds to a counter under the lock.

    In the second mode every eighth dies while it holds the lock.
    """
    counter = tmp_path / "counter"
    counter.write_text("0")

    def add() -> None:
        lock = named_lock.acquire(str(tmp_path), "counter", timeout_seconds=120)
        value = int(counter.read_text())
        counter.write_text(str(value + 1))
        lock.release()

    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(ROUNDS):
                    add()
                if mode != "plain" and number % 8 == 0:
                    named_lock.acquire(str(tmp_path), "counter", timeout_seconds=120)
                    os.kill(os.getpid(), 9)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert sum(end == 9 for end in ends) == (0 if mode == "plain" else PROCESSES // 8)
    assert set(ends) <= {0, 9}
    assert counter.read_text() == str(PROCESSES * ROUNDS)


@contextlib.contextmanager
def holder(directory: Path, name: str, *words: str, user: int | None = None) -> Iterator[int]:
    """A process of ``user`` that holds the lock ``name``; yields its id."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        f"from {named_lock.__name__} import acquire\n"
        f"acquire({str(directory)!r}, {name!r}, shared={'shared' in words})\n"
        "print(flush=True); sys.stdin.readline()\n"
    )
    identity: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **identity
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process.pid
        process.kill()


def test_named_lock_lists_names_holders_and_strangers(tmp_path: Path) -> None:
    with holder(tmp_path, "one", "one") as first, holder(tmp_path, "two", "no name, shared") as second:
        byte = named_lock.offset("two")
        assert list(named_lock.listed(str(tmp_path))) == [
            (f"#{byte:x}", ((second, True, process_name(second)),), ()),
            ("one", ((first, True, process_name(first)),), ()),
        ]
        path = str(tmp_path / named_lock.FILE)
        assert f"process {first} (" in describe_holders(path, start=named_lock.offset("one"))
        with pytest.raises(LockTimeoutError, match=f"The lock one was not free .* process {first} "):
            named_lock.acquire(str(tmp_path), "one", timeout_seconds=0)
        named_lock.acquire(str(tmp_path), "three", timeout_seconds=0).release()
    assert list(named_lock.listed(str(tmp_path))) == []


def test_named_lock_takes_no_space_for_names(tmp_path: Path) -> None:
    """A job that used up the inodes of a shared directory stopped its neighbours."""
    for number in range(5000):
        named_lock.acquire(str(tmp_path), f"name-{number}").release()
    assert [entry.stat().st_size for entry in tmp_path.iterdir()] == [0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become two jobs")
def test_named_lock_cannot_be_withheld_by_other_means(reachable: Path) -> None:
    """A job cannot close root's file to others, remove it, or lock it by flock."""
    path = reachable / named_lock.FILE
    path.touch()
    path.chmod(0o666)
    code = (
        "import fcntl, os, sys\n"
        f"for attempt in (lambda: os.chmod({str(path)!r}, 0), lambda: os.unlink({str(path)!r})):\n"
        "    try: attempt(); print('done')\n"
        "    except OSError as error: print(error.errno)\n"
        f"file = open({str(path)!r}, 'r+'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write('x' * 100000); file.flush(); file.truncate(0)\n"
        "print('locked', flush=True); sys.stdin.readline()\n"
    )
    with other_user(code) as printed:
        answers = [printed.readline().strip() for _line in range(3)]
        named_lock.acquire(str(reachable), "x", timeout_seconds=0).release()
    assert answers == [str(errno.EPERM), str(errno.EACCES), "locked"]


def test_named_lock_works_where_the_kernel_shows_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (named_lock, kernel_locks):
        monkeypatch.setattr(module, "snapshot", list)
    assert process_name(2**22 + 1) == ""
    with holder(tmp_path, "x"):
        assert describe_holders(str(tmp_path / named_lock.FILE)) == "an unknown process"
        assert list(named_lock.listed(str(tmp_path))) == []
        with pytest.raises(LockTimeoutError, match="not free within 0 s"):
            named_lock.acquire(str(tmp_path), "x", timeout_seconds=0)


@pytest.mark.parametrize("gone", ["nonesuch.lock", "none/x.lock"])
def test_describe_holders_of_no_file(tmp_path: Path, gone: str) -> None:
    assert describe_holders(str(tmp_path / gone)) == "an unknown process"
