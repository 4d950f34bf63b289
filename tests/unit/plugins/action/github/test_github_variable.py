"""``github_variable`` by Ansible, over HTTP, on a host that cannot be reached."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.state import Scope, Variable
from tests._support.controller import Controller

STRUCTURE = {"b": [1, "ü"], "a": None}
TEXT = '{"a":null,"b":[1,"ü"]}'
REPOSITORY = Scope("repos", "Coldaine/ColdVox")
ORGANIZATION = Scope("orgs", "Coldaine")


def stored(run: Controller, scope: Scope = REPOSITORY) -> dict[str, tuple[str, Any]]:
    known = run.github.emulator.state.variables_of(scope)
    return {name: (variable.value, variable.visibility) for name, variable in known.items()}


def test_github_variable_is_made_kept_changed_and_removed(run: Controller) -> None:
    made = run("github_variable", name="runs_on", value=STRUCTURE)
    assert (made["changed"], made["name"], made["value"]) == (True, "RUNS_ON", TEXT)
    assert stored(run) == {"RUNS_ON": (TEXT, None)}
    assert run.requests() == ["GET RUNS_ON", "GET variables", "POST variables"]
    run.github.emulator.state.variables_of(REPOSITORY)["RUNS_ON"].value = '{ "b": [1, "\\u00fc"], "a": null }'
    assert run("github_variable", name="RUNS_ON", value=STRUCTURE)["changed"] is False
    assert run.requests() == ["GET RUNS_ON"]
    foretold = run("github_variable", name="RUNS_ON", value="plain", check=True)
    assert foretold["changed"] is True
    assert foretold["diff"]["after"] == "plain\n"
    assert run.requests() == ["GET RUNS_ON"]
    assert run("github_variable", name="RUNS_ON", value="plain")["changed"] is True
    assert stored(run) == {"RUNS_ON": ("plain", None)}
    assert run("github_variable", name="RUNS_ON", state="absent")["changed"] is True
    assert stored(run) == {}
    gone = run("github_variable", name="RUNS_ON", state="absent")
    assert gone["changed"] is False
    assert ADMIN_TOKEN not in str(gone)


def test_github_variable_of_an_organization_has_a_visibility(run: Controller) -> None:
    assert run("github_variable", page="Coldaine", name="A", value="1")["visibility"] == "private"
    changed = run("github_variable", page="Coldaine", name="A", value="1", visibility="all")
    assert changed["changed"] is True
    assert "visibility: private" in changed["diff"]["before"]
    assert stored(run, ORGANIZATION) == {"A": ("1", "all")}
    run.github.emulator.state.variables_of(ORGANIZATION)["A"].visibility = "selected"
    kept = run("github_variable", page="Coldaine", name="A", value="2")
    assert (kept["changed"], kept["visibility"]) == (True, "selected")
    assert stored(run, ORGANIZATION) == {"A": ("2", "selected")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "GITHUB_X", "value": "1"}, "'GITHUB_X' cannot be the name"),
        ({"name": "A", "value": True}, "put it in quotes"),
        ({"name": "A"}, "has no value"),
        ({"name": "A", "value": "x" * (48 * 1024 + 1)}, "49153 bytes"),
        ({"name": "A", "value": "1", "visibility": "all"}, "visibility is for variables of organizations"),
        (
            {"name": "A", "value": "1", "page": "enterprises/Coldaine-Works"},
            "keeps no variables for enterprise",
        ),
    ],
)
def test_github_variable_refuses_bad_values_in_one_sentence(
    run: Controller, options: dict[str, Any], message: str
) -> None:
    refused = run("github_variable", **options)
    assert refused["failed"]
    assert message in refused["msg"]
    assert not [request for request in run.requests() if not request.startswith("GET")]


def test_github_variable_names_the_missing_permission(run: Controller) -> None:
    run.github.admin.add_credential("narrow", {"actions_variables": "read"})
    refused = run("github_variable", name="A", value="1", token="narrow")
    assert refused["failed"]
    assert "refused to create the variable A of repository Coldaine/ColdVox (HTTP 403)" in refused["msg"]
    assert "'Variables: read and write'" in refused["msg"]


def test_github_variable_of_an_invisible_repository_is_an_error(run: Controller) -> None:
    refused = run("github_variable", name="A", state="absent", page="Coldaine/Secret")
    assert refused["failed"]
    assert "HTTP 404" in refused["msg"]


def test_github_variable_made_meanwhile_is_changed(run: Controller) -> None:
    now = run.github.emulator.clock.moment().now
    run.github.emulator.state.variables_of(REPOSITORY)["A"] = Variable("A", "theirs", now, now)
    run.github.admin.set_faults({"path_regex": "/variables/A$", "method": "GET", "status": 404})
    assert run("github_variable", name="A", value="ours")["changed"] is True
    assert stored(run) == {"A": ("ours", None)}
