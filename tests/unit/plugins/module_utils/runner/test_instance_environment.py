"""What the runner's .env can hold."""

from __future__ import annotations

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import (
    env_text,
    path_text,
    unknown_warning,
)


def test_entries_are_sorted_lines() -> None:
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
def test_entries_that_would_not_do_what_they_say(key: str, value: str, reason: str) -> None:
    with pytest.raises(CiError) as refused:
        env_text({key: value})
    assert reason in str(refused.value)
    assert f"'{key}'" in str(refused.value)


def test_known_names_of_the_runner_are_fine() -> None:
    assert env_text({"ACTIONS_RUNNER_HOOK_JOB_STARTED": "/etc/x/hook.sh", "RUNNER_TOOL_CACHE": "/opt/t"})
    assert env_text({"PATTERN": "x", "TOKENIZER": "x", "SSH_AUTH_SOCK": "/run/x", "SECRET_FREE": "yes"})


def test_unknown_warning_names_settings_that_the_runner_does_not_read() -> None:
    typo = {"ACTIONS_RUNNER_HOOK_JOB_STARTS": "/a.sh", "ACTIONS_RUNNER_HOOK_JOB_STARTED": "/b.sh"}
    warning = unknown_warning([typo, {"github_actions_runner_typo": "1", "RUSTFLAGS": "x"}, typo])
    assert "variables: ACTIONS_RUNNER_HOOK_JOB_STARTS, github_actions_runner_typo. Check" in warning
    assert env_text(typo)
    assert unknown_warning([{"ACTIONS_RUNNER_HOOK_JOB_STARTED": "/b.sh"}, {}]) == ""


def test_the_search_path() -> None:
    assert path_text(["/a/bin", "/usr/bin"]) == "/a/bin:/usr/bin"


@pytest.mark.parametrize("entry", ["bin", "/a:/b", "/a b", '/a"', "/%h/bin", "/a\n"])
def test_bad_path_entries(entry: str) -> None:
    with pytest.raises(CiError, match="Path entry"):
        path_text([entry])
