from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from testbed.github.runner_downloads import FILENAME, MIRROR_PATH, mirrored
from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import emulator
from tests._support.rest_client import ORGANIZATION, REPOSITORY, Rest

RUNNERS = f"{REPOSITORY}/actions/runners"
VARIABLES = f"{REPOSITORY}/actions/variables"


@pytest.mark.parametrize(
    ("token", "scheme", "message"),
    [
        (None, "", "Requires authentication"),
        ("wrong", "Bearer", "Bad credentials"),
        ("wrong", "token", "Bad credentials"),
        (ADMIN_TOKEN, "Digest", "Bad credentials"),
        (ADMIN_TOKEN, "RemoteAuth", None),
    ],
)
def test_authentication_rejects_an_unknown_caller(
    rest: Rest, token: str, scheme: str, message: str | None
) -> None:
    reply = rest("GET", RUNNERS, token=token, scheme=scheme)
    # GitHub answers 404 to every invalid runner token.
    assert reply.status == (401 if message else 404)
    assert message in (None, reply.body["message"])


def test_authentication_accepts_the_token_as_a_basic_password(rest: Rest) -> None:
    encoded = b64encode(f"github:{ADMIN_TOKEN}".encode()).decode()
    assert rest("GET", RUNNERS, token=encoded, scheme="Basic").status == 200
    assert rest("GET", RUNNERS, token="%%%", scheme="Basic").status == 401


@pytest.mark.parametrize(
    ("permissions", "reading", "writing"),
    [
        ({}, 403, 403),
        ({"administration": "read"}, 200, 403),
        ({"administration": "write"}, 200, 201),
        ({"actions_variables": "write"}, 403, 403),
    ],
)
def test_authorization_needs_the_permission_of_the_operation(
    rest: Rest, permissions: dict[str, str], reading: int, writing: int
) -> None:
    rest.server.admin.add_credential("narrow", permissions)
    reply = rest("POST", f"{RUNNERS}/registration-token", token="narrow")
    assert rest("GET", RUNNERS, token="narrow").status == reading
    assert reply.status == writing
    if writing == 403:
        assert reply.body["message"] == "Resource not accessible by personal access token"
        assert reply.headers["X-Accepted-GitHub-Permissions"] == "administration=write"


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/repos/Coldaine/Other",
        "/repos/Coldaine/Other/actions/runners",
        "/orgs/Nobody/actions/runners",
        f"{RUNNERS}/999",
        f"{RUNNERS}/x",
        f"{VARIABLES}/NONE",
        f"{REPOSITORY}/actions/jobs/1",
    ],
)
def test_rest_answers_404_for_absent_things(rest: Rest, path: str) -> None:
    reply = rest("GET", path)
    assert (reply.status, reply.body["message"]) == (404, "Not Found")


def test_account_names_compare_without_letter_case(rest: Rest) -> None:
    rest.jit("a")
    assert rest("GET", "/repos/coldaine/COLDVOX/actions/runners").body["total_count"] == 1


def test_runners_of_repository_and_organization_are_separate(rest: Rest) -> None:
    rest.jit("a")
    shared = rest.jit("a", scope=ORGANIZATION)
    assert rest("GET", RUNNERS).body["total_count"] == 1
    assert rest("GET", f"{RUNNERS}/{shared['id']}").status == 404


def test_runner_name_is_unique_in_its_scope(rest: Rest) -> None:
    rest.jit("a")
    body = {"name": "a", "runner_group_id": 1, "labels": ["x"]}
    reply = rest("POST", f"{RUNNERS}/generate-jitconfig", body)
    assert reply.status == 409
    assert reply.body["message"] == "Already exists - A runner with the name a already exists."


def test_runner_group_that_is_absent_gets_404(rest: Rest) -> None:
    body = {"name": "a", "runner_group_id": 7, "labels": ["x"]}
    assert rest("POST", f"{RUNNERS}/generate-jitconfig", body).status == 404


def test_runners_are_filtered_and_paged(rest: Rest) -> None:
    for number in range(5):
        rest.jit(f"r{number}")
    assert [each["name"] for each in rest("GET", f"{RUNNERS}?name=r3").body["runners"]] == ["r3"]
    middle = rest("GET", f"{RUNNERS}?per_page=2&page=2")
    assert [each["name"] for each in middle.body["runners"]] == ["r2", "r3"]
    assert middle.body["total_count"] == 5
    relations = [part.split("; ")[1] for part in middle.headers["Link"].split(", ")]
    assert relations == ['rel="prev"', 'rel="next"', 'rel="last"', 'rel="first"']
    assert "page=3>" in middle.headers["Link"]
    assert "Link" not in rest("GET", RUNNERS).headers


def test_labels_can_be_changed_except_system_labels(rest: Rest) -> None:
    labels = f"{RUNNERS}/{rest.jit('a')['id']}/labels"
    rest("POST", labels, {"labels": ["GPU", "fast"]})
    names = [(each["name"], each["type"]) for each in rest("GET", labels).body["labels"]]
    assert names == [("self-hosted", "read-only"), ("fast", "custom"), ("GPU", "custom")]
    assert rest("DELETE", f"{labels}/gpu").body["total_count"] == 2
    assert rest("DELETE", f"{labels}/gpu").status == 404
    assert rest("DELETE", f"{labels}/self-hosted").status == 422
    assert rest("PUT", labels, {"labels": []}).body["total_count"] == 1


def test_variable_names_are_upper_case(rest: Rest) -> None:
    assert rest("POST", VARIABLES, {"name": "health", "value": "1"}).status == 201
    assert rest("POST", VARIABLES, {"name": "HEALTH", "value": "1"}).status == 409
    assert rest("PATCH", f"{VARIABLES}/Health", {"value": "2"}).status == 204
    assert rest("GET", f"{VARIABLES}/health").body["value"] == "2"
    assert rest("DELETE", f"{VARIABLES}/health").status == 204
    assert rest("PATCH", f"{VARIABLES}/health", {"value": "3"}).status == 404


@pytest.mark.parametrize(
    "body",
    [{"name": "1A", "value": ""}, {"name": "GITHUB_X", "value": ""}, {"name": "A", "value": "x" * 49153}],
)
def test_variable_with_a_bad_name_or_size_is_refused(rest: Rest, body: dict[str, str]) -> None:
    assert rest("POST", VARIABLES, body).status == 422


def test_variables_are_paged_by_ten_and_thirty(rest: Rest) -> None:
    for number in range(31):
        rest("POST", VARIABLES, {"name": f"V{number}", "value": "x"})
    assert len(rest("GET", VARIABLES).body["variables"]) == 10
    assert len(rest("GET", f"{VARIABLES}?per_page=30").body["variables"]) == 30


def test_variable_of_an_organization_needs_its_visibility(rest: Rest) -> None:
    reply = rest("POST", f"{ORGANIZATION}/actions/variables", {"name": "A", "value": "1"})
    assert reply.status == 422


def test_rate_limit_refuses_requests_until_the_next_hour(rest: Rest) -> None:
    rest.server.admin.call("POST", "/rate_limit", {"limit": 2})
    first = rest("GET", RUNNERS)
    assert (first.headers["X-RateLimit-Remaining"], first.headers["X-RateLimit-Limit"]) == ("1", "2")
    assert rest("GET", RUNNERS).status == 200
    refused = rest("GET", RUNNERS)
    assert refused.status == 403
    assert refused.body["message"].startswith("API rate limit exceeded")
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    rest.server.admin.advance_clock(3600)
    assert rest("GET", RUNNERS).status == 200


def test_downloads_offer_the_package_of_the_mirror(description: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    with emulator(description, downloads=mirrored("http://mirror:8081/", manifest)) as running:
        rest = Rest(running)
        unknown = rest("GET", f"{RUNNERS}/downloads").body
        manifest.write_text(f'{{"/{MIRROR_PATH}": {{"sha256": "{"a" * 64}", "bytes": 1}}}}')
        known = rest("GET", f"{RUNNERS}/downloads").body
    assert [each["filename"] for each in unknown] == [FILENAME]
    assert unknown[0]["download_url"] == f"http://mirror:8081/{MIRROR_PATH}"
    assert "sha256_checksum" not in unknown[0]
    assert known[0]["sha256_checksum"] == "a" * 64


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
def test_server_answers_405_to_other_methods(rest: Rest, method: str) -> None:
    assert rest(method, RUNNERS).status == 405
