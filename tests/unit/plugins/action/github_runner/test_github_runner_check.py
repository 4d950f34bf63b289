"""The check of a pool at GitHub before the first change."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.runner.orphans import own_registrations

from testbed.github.client import AdminClient
from tests._support.runner_host import TOKEN, RunnerHost

PLAIN = {"state": "present", "ephemeral": False, "labels": ["fast"], "environment": {}}


def check(host: RunnerHost, *instances: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Run the module with what ``coldvox.ci.preflight`` reads from ``host``."""
    own = [owned._asdict() for owned in own_registrations(str(host.base))]
    facts = {"registrations": own, "missing_files": options.pop("missing", [])}
    given = {
        "url": host.url,
        "token": TOKEN,
        "instances": [{**PLAIN, **instance} for instance in instances],
        "host": facts,
        "machine": "x86_64",
        **options,
    }
    return host.call("coldvox.ci.github_runner_check", given)


def test_check_of_a_new_pool_is_one_request(host: RunnerHost, admin: AdminClient) -> None:
    since = len(admin.audit())
    done = check(host, {"name": "one"}, {"name": "two"}, public_repository="allow")
    assert not done["failed"], done
    assert [entry["method"] for entry in admin.audit()[since:]] == ["GET"]


def test_check_knows_the_host_s_own_registration(host: RunnerHost) -> None:
    host.converge({"name": "one"})
    assert not check(host, {"name": "one"})["failed"]
    other = RunnerHost(host.url)
    try:
        refused = check(other, {"name": "ONE"})
        assert "Runner name 'ONE' is taken by another registration" in refused["msg"]
        assert refused["msg"].endswith("Nothing was changed.")
        assert not check(other, {"name": "ONE"}, replace="always")["failed"]
    finally:
        other.close()


@pytest.mark.parametrize(
    ("instance", "options", "words"),
    [
        ({}, {"token": "wrong"}, ["HTTP 401", "Administration: read and write"]),
        ({}, {"url": "URL-other"}, ["HTTP 404"]),
        ({}, {"url": "http://127.0.0.1:9/o/r", "request_timeout_seconds": 1}, ["could not be reached"]),
        ({"labels": ["ARM64"]}, {}, ["claims an architecture"]),
        (
            {"environment": {"ACTIONS_RUNNER_HOOK_JOB_STARTED": "/no/hook.sh"}},
            {"missing": ["/no/hook.sh"]},
            ["would fail every job", "/no/hook.sh"],
        ),
    ],
)
def test_check_refuses_in_one_sentence(
    host: RunnerHost, instance: dict[str, Any], options: dict[str, Any], words: list[str]
) -> None:
    given = {key: value.replace("URL", host.url) if key == "url" else value for key, value in options.items()}
    refused = check(host, {"name": "one", **instance}, **given)
    assert refused["failed"]
    for word in words:
        assert word in refused["msg"]
    assert "Traceback" not in refused["_output"]


def test_check_lets_a_run_bring_the_hooks(host: RunnerHost) -> None:
    hook = {"ACTIONS_RUNNER_HOOK_JOB_STARTED": "/no/hook.sh"}
    given = {"missing": ["/no/hook.sh"], "hooks_follow": True}
    assert not check(host, {"name": "one", "environment": hook}, **given)["failed"]


def test_check_of_a_host_with_runners_only_warns_while_github_is_down(
    host: RunnerHost, admin: AdminClient
) -> None:
    host.converge({"name": "one"})
    admin.set_faults({"path_regex": "/actions/runners", "status": 503, "times": None})
    try:
        done = check(host, {"name": "one"})
    finally:
        admin.set_faults()
    assert not done["failed"]
    assert "HTTP 503" in done["_output"]
