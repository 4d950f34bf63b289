"""The options of instances: job environment, labels, work directory, registration."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import (
    Registration,
    check_architecture,
    check_work_dir,
    custom_labels,
    env_text,
    path_text,
    same_labels,
    system_labels,
    unknown_warning,
)


def test_env_text_has_sorted_lines() -> None:
    text = env_text({"B": 2, "A": True, "RUSTFLAGS": '-C link-arg=-Wl,-rpath,$ORIGIN --cfg feature="x"'})
    assert text == 'A=true\nB=2\nRUSTFLAGS=-C link-arg=-Wl,-rpath,$ORIGIN --cfg feature="x"\n'
    assert env_text({}) == ""


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("ACTIONS_RUNNER_CONCURRENT_JOBS", "4", "no such setting and runs one job at a time; add instances"),
        ("actions_runner_concurrent_jobs", "4", "no such setting"),
        ("ACTIONS_RUNNER_INPUT_TOKEN", "x", "every later configuration"),
        ("ACTIONS_RUNNER_HOOK_JOB_STARTED", "hook.sh", "absolute path"),
        ("ACTIONS_RUNNER_HOOK_JOB_STARTED", "/hook", "absolute path"),
        ("#A", "1", "no comments"),
        ("A-B", "1", "letters, digits"),
        ("1A", "1", "letters, digits"),
        ("PATH", "/bin", "use 'path'"),
        ("CARGO_REGISTRY_TOKEN", "x", "by its name it is a secret"),
        ("AWS_SECRET_ACCESS_KEY", "x", "by its name it is a secret"),
        ("github_pat", "x", "by its name it is a secret"),
        ("A", '"x"', "quotes"),
        ("A", "'x'", "quotes"),
        ("A", "x # why", "no comments"),
        ("A", " x", "space"),
        ("A", "x\ny", "line break"),
    ],
)
def test_env_text_rejects_entries_that_the_runner_misreads(key: str, value: str, reason: str) -> None:
    with pytest.raises(CiError) as refused:
        env_text({key: value})
    assert reason in str(refused.value)
    assert f"'{key}'" in str(refused.value)


def test_env_text_writes_null_as_the_empty_value() -> None:
    """manala/ansible-roles issue 140: an empty variable must not become the word None."""
    environment = {"RUSTC_WRAPPER": None, "DAY": datetime.date(2026, 11, 28), "RATE": 0.5}
    assert env_text(environment) == "DAY=2026-11-28\nRATE=0.5\nRUSTC_WRAPPER=\n"


@pytest.mark.parametrize(
    ("value", "kind"), [(["a", "b"], "list"), ((), "list"), ({"x": 1}, "dictionary"), ({"x"}, "set")]
)
def test_env_text_rejects_a_value_that_is_no_scalar(value: object, kind: str) -> None:
    with pytest.raises(
        CiError, match=f"'FEATURES' cannot be used: its value is a {kind}.*one text in quotes"
    ):
        env_text({"FEATURES": value})


def test_env_text_accepts_known_names() -> None:
    assert env_text({"ACTIONS_RUNNER_HOOK_JOB_STARTED": "/etc/x/hook.sh", "RUNNER_TOOL_CACHE": "/opt/t"})
    assert env_text({"PATTERN": "x", "TOKENIZER": "x", "SSH_AUTH_SOCK": "/run/x", "SECRET_FREE": "yes"})


def test_unknown_warning_names_settings_that_the_runner_does_not_read() -> None:
    typo = {"ACTIONS_RUNNER_HOOK_JOB_STARTS": "/a.sh", "ACTIONS_RUNNER_HOOK_JOB_STARTED": "/b.sh"}
    warning = unknown_warning([typo, {"github_actions_runner_typo": "1", "RUSTFLAGS": "x"}, typo])
    assert "variables: ACTIONS_RUNNER_HOOK_JOB_STARTS, github_actions_runner_typo. Check" in warning
    assert env_text(typo)
    assert unknown_warning([{"ACTIONS_RUNNER_HOOK_JOB_STARTED": "/b.sh"}, {}]) == ""


def test_path_text_joins_entries() -> None:
    assert path_text(["/a/bin", "/usr/bin"]) == "/a/bin:/usr/bin"


@pytest.mark.parametrize("entry", ["bin", "/a:/b", "/a b", '/a"', "/%h/bin", "/a\n"])
def test_path_text_rejects_bad_entries(entry: str) -> None:
    with pytest.raises(CiError, match="Path entry"):
        path_text([entry])


def test_custom_labels_leaves_default_labels_out() -> None:
    given_labels = ["Self-Hosted", "linux", "x64", "fedora", "Fedora", "nobara"]
    assert custom_labels(given_labels) == ("fedora", "nobara")
    assert custom_labels(["linux", "a"], default_labels=False) == ("linux", "a")


@pytest.mark.parametrize("label", ["", " a", "a ", "a,b", "x" * 257, "a\tb"])
def test_custom_labels_rejects_labels_that_the_runner_misreads(label: str) -> None:
    with pytest.raises(CiError, match="Label"):
        custom_labels([label])


def test_custom_labels_rejects_more_than_github_accepts() -> None:
    with pytest.raises(CiError, match="101 labels"):
        custom_labels([f"l{i}" for i in range(101)])


def test_same_labels_ignores_case_and_order() -> None:
    assert same_labels(["A", "b"], ["B", "a"])
    assert not same_labels(["a"], ["a", "b"])


def test_check_architecture_rejects_another_architecture() -> None:
    assert system_labels("x86_64") == ("self-hosted", "Linux", "X64")
    assert system_labels("aarch64") == ("self-hosted", "Linux", "ARM64")
    check_architecture(["x64", "fedora"], "x86_64")
    with pytest.raises(CiError, match="ARM64"):
        check_architecture(["ARM64"], "x86_64")


@pytest.mark.parametrize("path", ["_work", "/srv/ci/work"])
def test_check_work_dir_accepts_good_directories(path: str) -> None:
    assert check_work_dir(path) == path


@pytest.mark.parametrize("path", ["", "/", "a/b", "../x", "/a/../b", ".", "a b", "a%i", "$HOME/x", "a\nb"])
def test_check_work_dir_rejects_bad_directories(path: str) -> None:
    with pytest.raises(CiError, match="Work directory"):
        check_work_dir(path)


def test_fingerprint_changes_with_every_value() -> None:
    first = Registration(url="u", name="n")
    variants = [
        Registration(url="v", name="n"),
        Registration(url="u", name="m"),
        Registration(url="u", name="n", group="g"),
        Registration(url="u", name="n", work_dir="w"),
        Registration(url="u", name="n", ephemeral=True),
        Registration(url="u", name="n", default_labels=False),
    ]
    assert first.fingerprint == Registration(url="u", name="n").fingerprint
    assert len({first.fingerprint, *(each.fingerprint for each in variants)}) == 7
