"""Scopes and API roots from the page's address."""

from __future__ import annotations

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import api_url_of, scope_of


@pytest.mark.parametrize(
    ("url", "api_url"),
    [
        ("https://github.com/Coldaine/ColdVox", "https://api.github.com"),
        ("https://www.github.com/Coldaine", "https://api.github.com"),
        ("https://Acme.ghe.com/one/two", "https://api.acme.ghe.com"),
        ("https://ghes.example.org/one/two", "https://ghes.example.org/api/v3"),
        ("http://10.213.57.1:8080/Coldaine/ColdVox", "http://10.213.57.1:8080/api/v3"),
        ("https://github.com.example.org/one/two", "https://github.com.example.org/api/v3"),
        ("https://notgithub.com/one/two", "https://notgithub.com/api/v3"),
    ],
)
def test_api_url_of_follows_the_host(url: str, api_url: str) -> None:
    assert api_url_of(url) == api_url
    assert scope_of(url).api_url == api_url


@pytest.mark.parametrize(
    ("url", "kind", "path", "label"),
    [
        ("https://github.com/o/r/", "repository", "/repos/o/r", "repository o/r"),
        ("https://github.com/o/r.git", "repository", "/repos/o/r", "repository o/r"),
        ("https://github.com/o", "organization", "/orgs/o", "organization o"),
        ("https://github.com/orgs/o", "organization", "/orgs/o", "organization o"),
        ("https://github.com/enterprises/e", "enterprise", "/enterprises/e", "enterprise e"),
    ],
)
def test_scope_of_reads_kind_and_name_from_the_path(url: str, kind: str, path: str, label: str) -> None:
    scope = scope_of(url)
    assert (scope.kind, scope.path, scope.label) == (kind, path, label)
    assert not scope.url.endswith((".git", "/"))


def test_scope_of_prefers_given_api_url() -> None:
    assert (
        scope_of("https://github.com/o/r", "https://proxy.example/api/").api_url
        == "https://proxy.example/api"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "github.com/o/r",
        "ssh://git@github.com/o/r",
        "https://github.com",
        "https://github.com/a/b/c",
        "https://github.com/o/r?x=1",
        "https://github.com/o/r#x",
        "https://github.com/o/r%2F..",
        "https://github.com/ o/r",
    ],
)
def test_scope_of_rejects_other_addresses(url: str) -> None:
    with pytest.raises(CiError, match="GitHub url"):
        scope_of(url)


@pytest.mark.parametrize("url", ["https://me:hunter2@github.com/o/r", "ftp://me:hunter2@github.com/o/r"])
def test_scope_of_rejects_a_password_and_does_not_repeat_it(url: str) -> None:
    with pytest.raises(CiError) as refused:
        scope_of(url)
    assert "hunter2" not in str(refused.value)
