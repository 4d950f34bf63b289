"""Locks by name in the library.

Exact under many processes, and what the kernel's list says of them.
"""

from __future__ import annotations

import os
from pathlib import Path

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

PROCESSES = 32
ROUNDS = 100


LOCKS = """\
1: FLOCK  ADVISORY  WRITE 3015 fe:00:2155403 0 EOF
1: -> FLOCK  ADVISORY  READ  12 fe:00:2155403 0 EOF
2: POSIX  ADVISORY  WRITE 24881 fe:00:1466436 0 EOF
3: OFDLCK ADVISORY  READ -1 00:06:3 0 EOF
4: FLOCK  ADVISORY  READ  -1 00:1a:99 0 EOF
5: FLOCK nonsense
"""


def test_the_kernels_list_is_read() -> None:
    assert parse(LOCKS) == [
        KernelLock(3015, True, False, (0xFE, 0), 2155403),
        KernelLock(12, False, True, (0xFE, 0), 2155403),
        KernelLock(0, False, False, (0, 0x1A), 99),
    ]


def test_a_file_is_found_by_device_and_inode_and_on_anonymous_devices_by_inode(tmp_path: Path) -> None:
    status = os.stat(tmp_path)

    def seen(device: int) -> list[KernelLock]:
        fields = list(status)
        fields[1:3] = [status.st_ino, device]
        return on_file([lock._replace(inode=status.st_ino) for lock in parse(LOCKS)], os.stat_result(fields))

    assert [lock.pid for lock in seen(os.makedev(0xFE, 0))] == [3015, 12]
    assert [lock.pid for lock in seen(os.makedev(0, 0x2B))] == [0]
    assert seen(os.makedev(8, 1)) == []
    assert on_file(parse(LOCKS), status) == []


@pytest.mark.parametrize("mode", ["plain", "some holders are killed"])
def test_many_processes_count_exactly(tmp_path: Path, mode: str) -> None:
    """Each adds to a counter under the lock.

    In the second mode every eighth dies while it holds the lock.
    """
    path = named_lock.lock_path(str(tmp_path), "counter")
    counter = tmp_path / "counter"
    counter.write_text("0")

    def add() -> None:
        lock = named_lock.acquire(path, timeout_seconds=120)
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
                    named_lock.acquire(path, timeout_seconds=120)
                    os.kill(os.getpid(), 9)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert sum(end == 9 for end in ends) == (0 if mode == "plain" else PROCESSES // 8)
    assert set(ends) <= {0, 9}
    assert counter.read_text() == str(PROCESSES * ROUNDS)


def test_named_lock_ignores_a_forged_text_in_its_file(tmp_path: Path) -> None:
    path = named_lock.lock_path(str(tmp_path), "x")
    with named_lock.acquire(path):
        Path(path).write_text('{"pid": 1, "purpose": "\\u001b[2Jevil", "since": 7}')
        assert describe_holders(path).startswith(f"process {os.getpid()} (")
        (state,) = named_lock.listed(str(tmp_path))
        assert [holder.pid for holder in state.holders] == [os.getpid()]
        assert "evil" not in str(state)
    for gone in (path, str(tmp_path / "nonesuch.lock"), "/nonexistent/x.lock"):
        assert describe_holders(gone) == "an unknown process"


def test_named_lock_works_where_the_kernel_shows_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = named_lock.lock_path(str(tmp_path), "x")
    for module in (named_lock, kernel_locks):
        monkeypatch.setattr(module, "snapshot", list)
    assert process_name(2**22 + 1) == ""
    with named_lock.acquire(path):
        assert describe_holders(path) == "an unknown process"
        assert list(named_lock.listed(str(tmp_path))) == []
        with pytest.raises(LockTimeoutError, match="not free within 0 s"):
            named_lock.acquire(path, timeout_seconds=0)
