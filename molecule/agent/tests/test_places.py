"""Owners of the directories, and the limits of those that jobs write to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from testinfra.host import Host

USER = "coldvox-agent"
RUN, STATE = "/run/coldvox-ci", "/var/lib/coldvox-ci"
INSTANCE = "filler"
ACCOUNT = f"ci-{INSTANCE}"
#: More than fits, so that only the limit can stop it.
BYTES, NAMES = 64 * 2**20, 20_000


@pytest.fixture
def account(host: Host) -> Iterator[str]:
    """Yield the account of an instance with a directory for its records and locks."""
    host.check_output(f"useradd --system --no-create-home --groups ci {ACCOUNT}")
    host.check_output(f"runnerctl job prepare {INSTANCE}")
    yield ACCOUNT
    # Lazily, because the sampler may read there just now.
    host.check_output(
        f"umount --lazy {RUN}/jobs/{INSTANCE} && userdel {ACCOUNT} && rmdir {RUN}/jobs/{INSTANCE}"
    )


@pytest.mark.parametrize("path", [RUN, STATE])
def test_agent_directories_belong_to_root(host: Host, refused: Callable[..., None], path: str) -> None:
    directory = host.file(path)
    assert (directory.user, directory.group, directory.mode) == ("root", "root", 0o755)
    refused(f"touch {path}/planted", USER)
    refused(f"ln -s /etc/passwd {path}/planted", USER)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (f"{RUN}/health.json", "agent/health.json"),
        (f"{RUN}/sample.json", "agent/sample.json"),
    ],
)
def test_published_links_belong_to_root(
    host: Host, as_user: Callable[..., str], refused: Callable[..., None], link: str, target: str
) -> None:
    assert host.check_output(f"stat -c %U {link} && readlink {link}").split() == ["root", target]
    assert as_user(f"head -c 1 {link} | wc -c", "nobody").strip() == "1"
    refused(f"rm {link}", USER)


def test_history_survives_removal_and_installation(host: Host) -> None:
    assert host.file(f"{STATE}/history").user == USER
    decided = json.loads(host.run("runnerctl decide 'before the removal' --json").stdout)
    rates = next(factor["value"] for factor in decided["factors"] if isinstance(factor["value"], dict))
    assert round(rates["cloud"]) == 67


def test_history_written_by_root_keeps_its_owner(host: Host) -> None:
    assert host.run("runnerctl history").rc in (0, 1)
    assert host.check_output(f"find {STATE}/history ! -user {USER}") == ""


@pytest.mark.parametrize("place", ["jobs", "locks"])
def test_job_directories_are_mounts_without_programs(host: Host, place: str) -> None:
    options = host.check_output(f"findmnt -n -o OPTIONS --mountpoint {RUN}/{place}").split(",")
    assert {"nosuid", "nodev", "noexec"} <= set(options)
    unit = host.check_output(f"systemctl show -p ActiveState,UnitFileState --value {RUN}/{place}")
    assert unit.split() == ["active", "enabled"]


@pytest.mark.parametrize(
    "script",
    [f"head -c {BYTES} /dev/zero > fill", f"for n in $(seq {NAMES}); do : > fill$n || exit 1; done"],
    ids=["bytes", "names"],
)
def test_job_fills_the_records_of_its_instance_alone(host: Host, account: str, script: str) -> None:
    free = f"df --output=avail,iavail /run {RUN}/jobs | tail -n 2"
    before = host.check_output(free).split()
    filling = host.run(f"cd {RUN}/jobs/{INSTANCE} && runuser -u {account} -- sh -c '{script}'")
    assert filling.rc != 0
    assert "No space left on device" in filling.stderr
    host.check_output("head -c 1M /dev/zero > /run/room && rm /run/room && systemctl daemon-reload")
    after = host.check_output(free).split()
    assert all(int(now) > int(then) * 0.9 for now, then in zip(after, before, strict=True))


def test_job_cannot_close_its_records(
    host: Host, refused: Callable[..., None], as_user: Callable[..., str], account: str
) -> None:
    directory = host.file(f"{RUN}/jobs/{INSTANCE}")
    assert (directory.user, directory.group, directory.mode) == (USER, account, 0o1770)
    refused(f"chmod 755 {directory.path}", account)
    as_user(f"touch {directory.path}/1.json && chmod 0 {directory.path}/1.json", account)
    as_user(f"rm -f {directory.path}/1.json", USER)


@pytest.mark.parametrize("name", ["history", "metrics"])
def test_job_cannot_read_what_it_could_lock(
    host: Host, refused: Callable[..., None], account: str, name: str
) -> None:
    directory = host.file(f"{STATE}/{name}")
    assert (directory.user, directory.group, directory.mode) == (USER, USER, 0o750)
    refused(f"ls {directory.path}", account)


def test_job_cannot_use_up_or_withhold_locks(host: Host, refused: Callable[..., None], account: str) -> None:
    names = host.file(f"{RUN}/locks/names.lock")
    assert (names.user, names.group, names.mode) == ("root", "ci", 0o660)
    for attempt in (f"touch {RUN}/locks/x", f"rm -f {names.path}", f"chmod 0 {names.path}"):
        refused(attempt, account)
    filling = host.run(f"runuser -u {account} -- sh -c 'head -c {BYTES} /dev/zero > {names.path}'")
    assert "No space left on device" in filling.stderr
    assert host.check_output(f"runuser -u {account} -- runnerctl lock run x -- echo held") == "held"
    host.check_output(f": > {names.path}")


def test_status_can_be_read_by_any_user(host: Host) -> None:
    done = host.run("cd / && runuser -u nobody -- runnerctl status --json")
    assert done.rc in (0, 1, 2)
    assert json.loads(done.stdout)["host"]
    assert "Traceback" not in done.stderr
