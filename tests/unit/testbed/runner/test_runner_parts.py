"""The runner's rules, as pure functions."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.github import jwt
from testbed.runner.tree.bin.standin import dotenv, jit, registration, rsa
from testbed.runner.tree.bin.standin.basics import RunnerError
from testbed.runner.tree.bin.standin.commandline import Settings, parse, split_labels
from testbed.runner.tree.bin.standin.configure import scope_path
from testbed.runner.tree.bin.standin.job import parse_variables
from testbed.runner.tree.bin.standin.registration import Registration
from testbed.runner.tree.bin.standin.service_control import service_name
from testbed.runner.tree.bin.standin.transport import api_base


@pytest.mark.parametrize(
    ("argv", "arguments", "flags"),
    [
        (["--name", "a"], {"name": "a"}, []),
        (["--NAME", "a", "--Replace"], {"name": "a"}, ["replace"]),
        (["--name", "a", "--name", "b"], {"name": "a"}, []),
        (["--name", "a", "b"], {"name": "a"}, []),
        (["--unattended", "--name", "a"], {"name": "a"}, ["unattended"]),
        (["--ephemeral", "true"], {"ephemeral": "true"}, []),
        (["--name", "-a"], {}, ["name"]),
        (["--name"], {}, ["name"]),
    ],
)
def test_parsing(argv: list[str], arguments: dict[str, str], flags: list[str]) -> None:
    line = parse(["configure", *argv])
    assert (line.command, line.arguments, line.flags) == ("configure", arguments, flags)


def test_what_a_command_does_not_know() -> None:
    assert parse(["configure", "--unattended", "--nam", "a"]).unrecognized() == ["nam"]
    assert parse(["remove", "--labels", "a"]).unrecognized() == ["labels"]
    assert parse(["run", "--jitconfig", "a", "--version"]).unrecognized() == []


def test_inputs_come_from_the_environment_and_leave_it() -> None:
    environ = {
        "ACTIONS_RUNNER_INPUT_TOKEN": " secret ",
        "actions_runner_input_name": "env",
        "ACTIONS_RUNNER_INPUT_REPLACE": "True",
        "ACTIONS_RUNNER_INPUT_EPHEMERAL": "1",
        "PATH": "/bin",
    }
    settings = Settings(parse(["configure", "--name", "line"]), environ)
    assert settings.argument("token") == "secret"
    assert settings.argument("name") == "line"
    assert settings.flag("replace")
    assert not settings.flag("ephemeral")
    assert environ == {"PATH": "/bin"}


def test_an_unattended_command_does_not_ask() -> None:
    settings = Settings(parse(["configure", "--unattended"]), {})
    assert settings.required("work", "?", "_work") == "_work"
    with pytest.raises(ValueError, match="Invalid configuration provided for token"):
        settings.required("token", "?")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a,b", ["a", "b"]),
        ("a,,A, a", ["a", " a"]),
        ("", []),
        (f"a,{'x' * 257}", []),
        ("x" * 256, ["x" * 256]),
    ],
)
def test_labels(text: str, labels: list[str]) -> None:
    assert split_labels(text) == labels


def test_dotenv_has_no_comments_no_quotes_no_expansion(tmp_path: Path) -> None:
    text = '#A=b\nPATH="/x"\nB=$HOME\nC=a=b \nnothing\n=x\nGONE=\nKEPT=new\n'
    (tmp_path / ".env").write_text(text)
    environ = {"GONE": "1", "KEPT": "old"}
    dotenv.load(tmp_path / ".env", environ)
    assert environ == {"#A": "b", "PATH": '"/x"', "B": "$HOME", "C": "a=b ", "KEPT": "new"}
    dotenv.load(tmp_path / "none", environ)


def test_variables_that_a_step_leaves() -> None:
    assert parse_variables("A=1\nB<<END\nx\ny=2\nEND\nC=a<<b\n") == {"A": "1", "B": "x\ny=2", "C": "a<<b"}


@pytest.mark.parametrize(
    ("url", "scope", "api"),
    [
        ("https://github.com/o/r", "repos/o/r", "https://api.github.com"),
        ("https://github.com/o", "orgs/o", "https://api.github.com"),
        ("https://x.ghe.com/o", "orgs/o", "https://api.x.ghe.com"),
        ("http://10.0.0.1:8080/o/r", "repos/o/r", "http://10.0.0.1:8080/api/v3"),
        ("https://ghes.example/enterprises/e", "enterprises/e", "https://ghes.example/api/v3"),
    ],
)
def test_urls(url: str, scope: str, api: str) -> None:
    assert (scope_path(url), api_base(url)) == (scope, api)


def test_a_url_that_is_no_scope() -> None:
    with pytest.raises(RunnerError, match="should point to an org or repository"):
        scope_path("https://github.com/a/b/c")


FOUND = Registration(
    1, "name", "Default", "https://github.com/o/r", "https://x/_services/", "u", "_work", False
)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (FOUND, "actions.runner._services.name.service"),
        (
            replace(FOUND, tenant_url="https://p.actions.githubusercontent.com/x"),
            "actions.runner.o-r.name.service",
        ),
    ],
)
def test_a_service_name(found: Registration, name: str) -> None:
    assert service_name(found) == name


@pytest.mark.parametrize(("scope", "name"), [("o" * 100, "n" * 64), ("o", "n" * 300), ("o" * 300, "n")])
def test_a_long_service_name_is_cut_to_150(scope: str, name: str) -> None:
    found = replace(FOUND, tenant_url=f"https://x/{scope}/", agent_name=name)
    full = service_name(found)
    assert len(full) <= 150
    assert re.search(r"-\d{4}\.service$", full)


def test_the_key_is_rsa_that_others_can_check() -> None:
    key = rsa.new_key()
    token = rsa.assertion(key, "client", "audience")
    claims = jwt.verify(token, jwt.key_from_xml(rsa.public_xml(key)))
    assert (claims["iss"], claims["aud"]) == ("client", "audience")
    with pytest.raises(jwt.InvalidTokenError, match="wrong signature"):
        jwt.verify(token, jwt.key_from_xml(rsa.public_xml(rsa.new_key())))


def _encode(content: object) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_a_jit_configuration_becomes_files(tmp_path: Path) -> None:
    files = {".runner": _encode({"AgentId": "7"}), "../.credentials_rsaparams": _encode({"d": "x"})}
    jit.unpack(_encode(files), tmp_path)
    assert registration.read(tmp_path / ".runner") == {"agentid": "7"}
    assert (tmp_path / ".credentials_rsaparams").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("encoded", ["%", "eA==", _encode([1]), _encode({".runner": 1})])
def test_a_broken_jit_configuration(tmp_path: Path, encoded: str) -> None:
    with pytest.raises(RunnerError, match="cannot be read"):
        jit.unpack(encoded, tmp_path)
    assert not list(tmp_path.iterdir())
