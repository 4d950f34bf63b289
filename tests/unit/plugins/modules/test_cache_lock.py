from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import (
    Acquire,
    Instant,
    LeaseFile,
    Release,
)
from ansible_collections.coldvox.ci.plugins.modules import cache_lock


@pytest.fixture(autouse=True)
def outside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_RUN_ID", "GITHUB_JOB", "RUNNER_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def lease(run_module: Any, tmp_path: Path) -> Any:
    def call(**options: Any) -> dict[str, Any]:
        result: dict[str, Any] = run_module(
            cache_lock.main, **{"name": "toolchains", "store": str(tmp_path), "timeout_seconds": 0, **options}
        )
        return result

    return call


def test_cache_lock_is_acquired_renewed_and_released(lease: Any) -> None:
    first = lease(ttl_seconds=60)
    assert (first["changed"], first["token"], first["stolen"], first["previous_owner"]) == (
        True,
        1,
        False,
        None,
    )
    renewed = lease(token=1, ttl_seconds=900)
    assert (renewed["token"], renewed["owner"]) == (1, first["owner"])
    assert renewed["expires_at"] > first["expires_at"]
    released = lease(state="released", token=1)
    assert (released["changed"], released["owner"], released["expires_at"]) == (True, first["owner"], None)
    assert lease(state="released", token=1)["changed"] is False
    assert lease()["token"] == 2


def test_cache_lock_executions_without_an_owner_are_two_owners(lease: Any) -> None:
    first = lease()
    second = lease()
    assert second["failed"]
    assert f"{first['owner']} holds it with token 1" in second["msg"]


def test_cache_lock_same_owner_is_the_same_holder(lease: Any) -> None:
    assert lease(owner="deploy-42")["token"] == lease(owner="deploy-42")["token"] == 1


def test_cache_lock_takes_the_job_as_its_owner(lease: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_RUN_ID", "77")
    monkeypatch.setenv("GITHUB_JOB", "build")
    monkeypatch.setenv("RUNNER_NAME", "laptop-1")
    assert lease()["owner"] == "laptop-1/77.build"
    assert lease(state="released")["changed"]


def test_cache_lock_release_names_another_owner(lease: Any) -> None:
    lease(owner="alice")
    for options in ({"owner": "bob"}, {"token": 9}):
        answer = lease(state="released", **options)
        assert answer["failed"]
        assert "alice holds it with token 1" in answer["msg"]
        assert (answer["owner"], answer["token"]) == ("alice", 1)
    assert "give its token or the owner" in lease(state="released")["msg"]


def test_cache_lock_does_not_renew_a_lost_lease(lease: Any) -> None:
    lease(owner="alice")
    lease(state="released", owner="alice")
    answer = lease(token=1)
    assert "can no longer be renewed with token 1: it is free" in answer["msg"]


def test_cache_lock_tokens_grow_after_the_lease_is_deleted(lease: Any, tmp_path: Path) -> None:
    lease(owner="alice")
    (tmp_path / "leases" / "toolchains.json").unlink()
    taken = lease(owner="bob")
    assert (taken["token"], taken["stolen"]) == (2, False)


def test_cache_lock_check_mode_predicts_and_writes_nothing(lease: Any, tmp_path: Path) -> None:
    assert lease(check_mode=True, owner="alice")["token"] == 1
    assert list(tmp_path.iterdir()) == []
    lease(owner="alice")
    busy = lease(check_mode=True, owner="bob")
    assert (busy["owner"], busy["token"]) == ("alice", 1)
    assert lease(check_mode=True, state="released", owner="alice")["changed"]
    assert "alice" in (tmp_path / "leases" / "toolchains.json").read_text()


@pytest.mark.parametrize("name", ["../x", "", "a/b", "a b"])
def test_cache_lock_refuses_a_bad_name(lease: Any, name: str) -> None:
    assert "is refused: use letters" in lease(name=name)["msg"]


def test_cache_lock_reports_a_damaged_file_with_a_remedy(lease: Any, tmp_path: Path) -> None:
    lease(owner="alice")
    (tmp_path / "leases" / "toolchains.json").write_text("{")
    assert "remove the file" in lease(owner="bob")["msg"]
    (tmp_path / "leases" / "toolchains.json").unlink()
    assert lease(owner="bob")["token"] == 2
    (tmp_path / "counters" / "toolchains").write_text("many")
    assert "is no number" in lease(owner="carol")["msg"]


class Clock:
    def __init__(self) -> None:
        self.instant = Instant("boot-1", 1000.0, 1_700_000_000.0)

    def __call__(self) -> Instant:
        return self.instant


def test_cache_lock_handles_expiry_takeover_clock_jump_and_reboot(tmp_path: Path) -> None:
    layout, clock = Layout(str(tmp_path)), Clock()
    layout.prepare()
    file = LeaseFile(layout, "x", clock=clock)
    assert file.acquire(Acquire("alice", 60), 0).answer.token == 1
    clock.instant = clock.instant._replace(wall=clock.instant.wall + 1e8)
    with pytest.raises(Exception, match="alice holds it"):
        file.acquire(Acquire("bob", 60), 0)
    clock.instant = clock.instant._replace(boottime=1060.0)
    taken = file.acquire(Acquire("bob", 60), 0)
    assert (taken.answer.token, taken.answer.stolen, taken.answer.holder) == (2, True, "alice")
    assert taken.before is not None
    assert taken.before.owner == "alice"
    clock.instant = Instant("boot-2", 30.0, clock.instant.wall)
    with pytest.raises(Exception, match="bob holds it"):
        file.acquire(Acquire("carol", 60), 0)
    clock.instant = Instant("boot-2", 61.0, clock.instant.wall)
    assert file.acquire(Acquire("carol", 60), 0).answer.token == 3
    with pytest.raises(Exception, match="carol holds it"):
        file.release(Release("bob", 2))
    assert json.loads((tmp_path / "leases" / "x.json").read_text())["owner"] == "carol"


def test_cache_lock_waiter_acquires_the_free_lease(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    layout.prepare()
    LeaseFile(layout, "x").acquire(Acquire("alice", 0.5), 0)
    waited = LeaseFile(layout, "x").acquire(Acquire("bob", 60), 5)
    assert 0.3 < waited.seconds < 2
    assert waited.answer.stolen


def test_cache_lock_documentation_equals_its_arguments() -> None:
    import yaml

    documented = yaml.safe_load(cache_lock.DOCUMENTATION)["options"]
    assert sorted(documented) == sorted(cache_lock.ARGUMENTS)
    for name, option in cache_lock.ARGUMENTS.items():
        for key in ("type", "default", "choices", "required"):
            assert documented[name].get(key) == option.get(key), (name, key)
