"""From the inventory to options, accounts, directories and units."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.pool import PoolDefaults, resolve_pool

CLASSES: dict[str, dict[str, Any]] = {
    "heavy": {"cores": 6, "memory_gib": 12, "max_instances": 1, "labels": ["heavy-build"]},
    "light": {"cores": 0.5, "memory_gib": 2, "environment": {"CARGO_BUILD_JOBS": "3", "X": "class"}},
}


def resolve(*instances: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"base_dir": "/srv/r", "resource_classes": CLASSES, "path": ["/usr/bin"]}
    return resolve_pool(list(instances), PoolDefaults(**{**settings, **defaults}))


def test_resolve_pool_completes_a_short_entry() -> None:
    pool = resolve({"name": "one", "resource_class": "heavy", "labels": ["own", "Linux"]}, labels=["fedora"])
    assert pool["instances"] == [
        {
            "name": "one",
            "user": "ci-one",
            "labels": ["fedora", "own", "heavy-build"],
            "default_labels": True,
            "group": "",
            "work_dir": "_work",
            "ephemeral": False,
            "jit": False,
            "state": "present",
            "environment": {
                "CARGO_HOME": "/srv/r/one/_home/.cargo",
                "LANG": "C.UTF-8",
                "RUST_BACKTRACE": "1",
                "CARGO_BUILD_JOBS": "6",
            },
            "path": ["/usr/bin", "/srv/r/one/_home/.cargo/bin"],
        }
    ]
    assert pool["users"] == [
        {"name": "ci-one", "home": "/srv/r/one/_home", "description": "GitHub runner one"}
    ]
    assert [directory["path"] for directory in pool["directories"]] == ["/srv/r/one", "/srv/r/one/_home"]
    assert pool["directories"][0]["mode"] == "1770", (
        "a job must not replace root's files in its own directory"
    )


def test_resolve_pool_writes_limits_to_a_drop_in() -> None:
    pool = resolve({"name": "one", "resource_class": "light", "work_dir": "/mnt/w"})
    (drop_in,) = pool["drop_ins"]
    assert drop_in["path"] == "/etc/systemd/system/coldvox-runner@one.service.d/10-instance.conf"
    lines = drop_in["content"].splitlines()
    assert lines[1:] == [
        "[Service]",
        "User=ci-one",
        "Group=ci-one",
        'Environment="PATH=/usr/bin:/srv/r/one/_home/.cargo/bin"',
        "Slice=coldvox-ci.slice",
        "CPUQuota=50%",
        "CPUWeight=100",
        f"MemoryHigh={2 * 1024**3 * 9 // 10}",
        f"MemoryMax={2 * 1024**3}",
        "TasksMax=4096",
        f"LimitFSIZE={64 * 1024**3}",
        "ReadWritePaths=/mnt/w",
    ]
    assert pool["directories"][-1] == {"path": "/mnt/w", "mode": "0700", "owner": "ci-one", "group": "ci-one"}


@pytest.mark.parametrize(
    ("gib", "limit"), [(0, "infinity"), (0.5, str(512 * 1024**2)), (7, str(7 * 1024**3))]
)
def test_resolve_pool_limits_files_as_the_class_says(gib: float, limit: str) -> None:
    sized = {"x": {"cores": 1, "memory_gib": 1, "disk_gib": gib}}
    (drop_in,) = resolve({"name": "a", "resource_class": "x"}, resource_classes=sized)["drop_ins"]
    assert f"LimitFSIZE={limit}" in drop_in["content"].splitlines()


def test_resolve_pool_prefers_the_more_specific_environment() -> None:
    environment = {"CARGO_BUILD_JOBS": "host", "X": "host", "Y": "host", "FLAG": True}
    entry = {"name": "one", "resource_class": "light", "environment": {"Y": "instance"}}
    (instance,) = resolve(entry, environment=environment)["instances"]
    assert instance["environment"] == {
        "CARGO_HOME": "/srv/r/one/_home/.cargo",
        "LANG": "C.UTF-8",
        "RUST_BACKTRACE": "1",
        "CARGO_BUILD_JOBS": "3",
        "X": "class",
        "Y": "instance",
        "FLAG": "true",
    }


def test_resolve_pool_reads_null_as_the_empty_value_at_each_level() -> None:
    classes = {"light": {"cores": 1, "memory_gib": 2, "environment": {"B": None}}}
    entry = {"name": "one", "resource_class": "light", "environment": {"C": None}}
    pool = resolve(entry, environment={"A": None, "B": "host", "C": "host"}, resource_classes=classes)
    environment = pool["instances"][0]["environment"]
    assert {name: environment[name] for name in "ABC"} == {"A": "", "B": "", "C": ""}


def test_resolve_pool_rejects_a_path_entry_without_text() -> None:
    with pytest.raises(CiError, match="path entry must be a text and not None"):
        resolve({"name": "one"}, path=["/usr/bin", None])


def test_resolve_pool_prefers_the_host_to_derived_cargo_jobs() -> None:
    entry = {"name": "one", "resource_class": "heavy"}
    (instance,) = resolve(entry, environment={"CARGO_BUILD_JOBS": "2"})["instances"]
    assert instance["environment"]["CARGO_BUILD_JOBS"] == "2"


def test_resolve_pool_gives_absent_instances_options_only() -> None:
    pool = resolve({"name": "gone", "state": "absent"}, {"name": "kept"})
    assert [instance["state"] for instance in pool["instances"]] == ["absent", "present"]
    assert [user["name"] for user in pool["users"]] == ["ci-kept"]
    assert len(pool["drop_ins"]) == 1


@pytest.mark.parametrize(
    ("pool_state", "own", "expected"),
    [
        ("present", "drained", "drained"),
        ("drained", "present", "drained"),
        ("drained", "absent", "absent"),
        ("absent", "drained", "absent"),
    ],
)
def test_resolve_pool_combines_states_of_pool_and_instance(pool_state: str, own: str, expected: str) -> None:
    (instance,) = resolve({"name": "a", "state": own}, state=pool_state)["instances"]
    assert instance["state"] == expected


@pytest.mark.parametrize(
    ("instance", "words"),
    [
        ({"name": "a", "resource_class": "huge"}, ["'a'", "'huge'", "heavy, light"]),
        ({"name": "a", "labels": ["x,y"]}, ["'a'", "x,y"]),
        ({"name": "a", "work_dir": "../b"}, ["'a'", "../b"]),
        ({"name": "a", "environment": {"ACTIONS_RUNNER_CONCURRENT_JOBS": 2}}, ["'a'", "one job at a time"]),
        ({"name": "a", "state": "gone"}, ["'a'", "'gone'"]),
        ({"name": "a b"}, ["a b"]),
        ({}, ["name of a runner instance", "None"]),
        ({"name": None}, ["name of a runner instance", "None"]),
        ({"name": "a", "labels": [None]}, ["'a'", "label", "None"]),
        ({"name": "a", "labels": [True]}, ["'a'", "label", "True", "in quotes"]),
        ({"name": "a", "labels": "gpu"}, ["'a'", "'gpu'", "must be a list"]),
        ({"name": "a", "environment": {"FEATURES": ["a", "b"]}}, ["'a'", "'FEATURES'", "is a list"]),
    ],
)
def test_resolve_pool_errors_name_the_instance(instance: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(CiError) as refused:
        resolve(instance)
    assert all(word in str(refused.value) for word in words)


def test_resolve_pool_limits_instances_of_a_class() -> None:
    pair = [{"name": name, "resource_class": "heavy"} for name in ("a", "b")]
    with pytest.raises(CiError, match="'heavy' allows 1 instances on a host, the pool has 2"):
        resolve(*pair)
    assert resolve(pair[0], {**pair[1], "state": "absent"})


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"cores": 1}, "memory_gib"),
        ({"cores": "many", "memory_gib": 1}, "not a number"),
        ({"cores": 0, "memory_gib": 1}, "above 0"),
        ({"cores": 1, "memory_gib": 1, "cpu_weight": 0}, "cpu_weight"),
        ({"cores": 1, "memory_gib": 1, "disk_gib": -1}, "disk_gib of 0 or more"),
        ({"cores": 1, "memory_gib": 1, "memory": 3}, "unknown keys: memory"),
    ],
)
def test_resource_class_rejects_invalid_values(broken: dict[str, Any], word: str) -> None:
    with pytest.raises(CiError, match=word):
        resolve({"name": "a", "resource_class": "x"}, resource_classes={"x": broken})


def test_resolve_pool_rejects_base_dir_with_spaces() -> None:
    with pytest.raises(CiError, match="Base directory"):
        resolve({"name": "a"}, base_dir="/srv/my runners")


def test_resolve_pool_for_strangers_makes_jit_instances() -> None:
    pool = resolve_pool([{"name": "one"}], PoolDefaults(base_dir="/srv/r", trust="strangers"))
    assert pool["instances"][0]["jit"]
    assert pool["instances"][0]["ephemeral"]


@pytest.mark.parametrize(
    ("instance", "keep", "reason"),
    [
        ({"name": "one", "jit": False}, (), "leave out jit: false"),
        ({"name": "one"}, ("actions",), "empty the list"),
    ],
)
def test_resolve_pool_for_strangers_keeps_nothing(
    instance: dict[str, object], keep: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(CiError, match=reason):
        resolve_pool([instance], PoolDefaults(base_dir="/srv/r", trust="strangers", keep=keep))
