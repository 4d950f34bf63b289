"""Pure functions of the stand-in runner."""

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
def test_parse_splits_arguments_and_flags(
    argv: list[str], arguments: dict[str, str], flags: list[str]
) -> None:
    line = parse(["configure", *argv])
    assert (line.command, line.arguments, line.flags) == ("configure", arguments, flags)


def test_unrecognized_lists_options_of_other_commands() -> None:
    assert parse(["configure", "--unattended", "--nam", "a"]).unrecognized() == ["nam"]
    assert parse(["remove", "--labels", "a"]).unrecognized() == ["labels"]
    assert parse(["run", "--jitconfig", "a", "--version"]).unrecognized() == []


def test_settings_take_inputs_out_of_the_environment() -> None:
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


def test_settings_required_does_not_ask_when_unattended() -> None:
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
def test_split_labels(text: str, labels: list[str]) -> None:
    assert split_labels(text) == labels


def test_dotenv_has_no_comments_no_quotes_no_expansion(tmp_path: Path) -> None:
    text = '#A=b\nPATH="/x"\nB=$HOME\nC=a=b \nnothing\n=x\nGONE=\nKEPT=new\n'
    (tmp_path / ".env").write_text(text)
    environ = {"GONE": "1", "KEPT": "old"}
    dotenv.load(tmp_path / ".env", environ)
    assert environ == {"#A": "b", "PATH": '"/x"', "B": "$HOME", "C": "a=b ", "KEPT": "new"}
    dotenv.load(tmp_path / "none", environ)


def test_parse_variables_reads_lines_and_blocks() -> None:
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
def test_scope_path_and_api_base_of_a_url(url: str, scope: str, api: str) -> None:
    assert (scope_path(url), api_base(url)) == (scope, api)


def test_scope_path_rejects_a_url_with_three_parts() -> None:
    with pytest.raises(RunnerError, match="should point to an org or repository"):
        scope_path("https://github.com/a/b/c")


REGISTERED = Registration(1, "name", "https://github.com/o/r", "https://x/_services/", "u", "_work", False)


@pytest.mark.parametrize(
    ("registered", "name"),
    [
        (REGISTERED, "actions.runner._services.name.service"),
        (
            replace(REGISTERED, tenant_url="https://p.actions.githubusercontent.com/x"),
            "actions.runner.o-r.name.service",
        ),
    ],
)
def test_service_name_contains_the_scope(registered: Registration, name: str) -> None:
    assert service_name(registered) == name


@pytest.mark.parametrize(("scope", "name"), [("o" * 100, "n" * 64), ("o", "n" * 300), ("o" * 300, "n")])
def test_service_name_is_cut_to_150_characters(scope: str, name: str) -> None:
    registered = replace(REGISTERED, tenant_url=f"https://x/{scope}/", agent_name=name)
    full = service_name(registered)
    assert len(full) <= 150
    assert re.search(r"-\d{4}\.service$", full)


def test_rsa_assertion_is_verified_by_cryptography() -> None:
    key = rsa.new_key()
    token = rsa.assertion(key, "client", "audience")
    claims = jwt.verify(token, jwt.key_from_xml(rsa.public_xml(key)))
    assert (claims["iss"], claims["aud"]) == ("client", "audience")
    with pytest.raises(jwt.InvalidTokenError, match="wrong signature"):
        jwt.verify(token, jwt.key_from_xml(rsa.public_xml(rsa.new_key())))


def _encode(content: object) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_jit_unpack_writes_the_files(tmp_path: Path) -> None:
    files = {".runner": _encode({"AgentId": "7"}), "../.credentials_rsaparams": _encode({"d": "x"})}
    jit.unpack(_encode(files), tmp_path)
    assert registration.read(tmp_path / ".runner") == {"agentid": "7"}
    assert (tmp_path / ".credentials_rsaparams").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("encoded", ["%", "eA==", _encode([1]), _encode({".runner": 1})])
def test_jit_unpack_rejects_an_invalid_configuration(tmp_path: Path, encoded: str) -> None:
    with pytest.raises(RunnerError, match="cannot be read"):
        jit.unpack(encoded, tmp_path)
    assert not list(tmp_path.iterdir())
