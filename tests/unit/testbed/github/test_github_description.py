from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.github import description
from testbed.github.api import operations

WANTED = [("GET", "/things/{id}")]
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "t", "version": "1"},
    "tags": ["dropped"],
    "paths": {
        "/things/{id}": {
            "parameters": [{"$ref": "#/components/parameters/id"}],
            "get": {"responses": {"200": {"$ref": "#/components/responses/thing"}}},
            "delete": {"responses": {"204": {"$ref": "#/components/responses/unused"}}},
        },
        "/others": {"get": {}},
    },
    "components": {
        "parameters": {"id": {"name": "id"}},
        "responses": {
            "thing": {"schema": {"$ref": "#/components/schemas/a~1b"}},
            "unused": {},
        },
        "schemas": {"a/b": {"items": {"$ref": "#/components/schemas/a~1b"}}, "unused": {}},
    },
}


def test_description_cut_keeps_the_operations_and_their_components() -> None:
    kept = description.cut(DOCUMENT, WANTED)
    assert set(kept["paths"]) == {"/things/{id}"}
    assert set(kept["paths"]["/things/{id}"]) == {"parameters", "get"}
    assert {kind: sorted(named) for kind, named in kept["components"].items()} == {
        "parameters": ["id"],
        "responses": ["thing"],
        "schemas": ["a/b"],
    }
    assert "tags" not in kept


def test_description_cut_rejects_an_undescribed_operation() -> None:
    with pytest.raises(TestbedError, match=r"has no operation PUT /things/\{id\}"):
        description.cut(DOCUMENT, [("PUT", "/things/{id}")])


def test_description_cut_has_exactly_the_operations_of_the_emulator(description: Path) -> None:
    document = json.loads(description.read_bytes())
    cut = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert cut == set(operations())


def test_description_prepare_keeps_a_current_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = tmp_path / "github" / "openapi.json"
    target.parent.mkdir()
    target.write_text(json.dumps({description.MARK: description.cut_mark(WANTED)}))
    before = target.stat().st_mtime_ns
    assert description.prepare(tmp_path, WANTED) == target
    assert target.stat().st_mtime_ns == before


def test_description_prepare_replaces_a_cut_for_other_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = tmp_path / "github" / "openapi.json"
    target.parent.mkdir()
    target.write_text(json.dumps({description.MARK: description.cut_mark([("GET", "/others")])}))
    with pytest.raises(TestbedError, match=r"there is none on PATH; install Node\.js"):
        description.prepare(tmp_path, WANTED)


def _npm(directory: Path, script: str) -> None:
    program = directory / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'getaddrinfo ENOTFOUND registry' >&2; exit 1",
            r"could not fetch .* \(getaddrinfo ENOTFOUND reg",
        ),
        (f'echo bad > "$4/{description.ARCHIVE}"', "another @octokit/openapi 23.0.2 than the pinned one"),
        ("exit 0", "got nothing"),
    ],
)
def test_description_prepare_reports_a_failing_npm_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    _npm(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(TestbedError, match=message) as caught:
        description.prepare(tmp_path / "cache", WANTED)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache" / "github" / "openapi.json").exists()
