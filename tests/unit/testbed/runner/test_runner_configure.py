"""config.sh, run as an unprivileged user against the emulator."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests._support.packed_runner import REPOSITORY, Runner

EXPIRED = "Response status code does not indicate success: 404 (Not Found)."


def test_config_writes_the_files_of_the_original(runner: Runner) -> None:
    runner.file(".credentials_rsaparams").unlink()
    done = runner.configure("--name", "a1", "--labels", "fast,Rust,FAST", LANG="C.UTF-8", SECRET="x")
    assert done.status == 0
    for line in ("√ Connected to GitHub", "√ Runner successfully added", "√ Settings Saved."):
        assert line in done.out
    raw = runner.file(".runner").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf{")
    settings = json.loads(raw.decode("utf-8-sig"))
    assert (settings["agentName"], settings["workFolder"], settings["gitHubUrl"]) == (
        "a1",
        "_work",
        runner.url,
    )
    assert isinstance(settings["agentId"], int)
    assert "ephemeral" not in settings
    assert runner.file(".credentials").read_bytes().startswith(b"\xef\xbb\xbf")
    # The fixture's key was removed, so this one is new.
    assert runner.file(".credentials_rsaparams").stat().st_mode & 0o777 == 0o600
    assert runner.file("svc.sh").stat().st_mode & 0o777 == 0o755
    assert runner.file(".path").read_text().strip() == runner.environment["PATH"]
    assert runner.file(".env").read_text() == "LANG=C.UTF-8\n"
    registered = runner.registered()[0]
    names = [label["name"] for label in registered["labels"]]
    assert names == ["self-hosted", "Linux", "X64", "fast", "Rust"]
    assert (registered["status"], registered["version"]) == ("offline", "2.336.0")


def test_config_leaves_no_token_in_a_file(runner: Runner) -> None:
    token = runner.token("registration")
    runner.configure("--name", "a1", token=token)
    for path in runner.directory.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path


def test_config_extends_env_and_replaces_path(runner: Runner) -> None:
    runner.write(".env", "LANG=kept\n", 0o666)
    runner.write(".path", "/old\n", 0o666)
    runner.configure("--name", "a1", LANG="C", JAVA_HOME="/java")
    assert runner.file(".env").read_text() == "LANG=kept\nJAVA_HOME=/java\n"
    assert runner.file(".path").read_text().strip() == runner.environment["PATH"]


def test_config_reads_options_from_the_environment(runner: Runner) -> None:
    done = runner.run(
        "./config.sh",
        ACTIONS_RUNNER_INPUT_UNATTENDED="true",
        ACTIONS_RUNNER_INPUT_URL=runner.url,
        ACTIONS_RUNNER_INPUT_TOKEN=runner.token("registration"),
        ACTIONS_RUNNER_INPUT_NAME="by-env",
        ACTIONS_RUNNER_INPUT_LABELS="x",
        ACTIONS_RUNNER_INPUT_EPHEMERAL="true",
        ACTIONS_RUNNER_INPUT_WORK="elsewhere",
    )
    assert done.status == 0
    settings = json.loads(runner.file(".runner").read_text("utf-8-sig"))
    assert (settings["agentName"], settings["ephemeral"], settings["workFolder"]) == (
        "by-env",
        True,
        "elsewhere",
    )


def test_config_no_default_labels_needs_labels(runner: Runner) -> None:
    done = runner.configure("--name", "a1", "--no-default-labels")
    assert (done.status, "at least one label" in done.err) == (1, True)
    assert runner.configure("--name", "a1", "--no-default-labels", "--labels", "only").status == 0
    assert [label["name"] for label in runner.registered()[0]["labels"]] == ["only"]


def test_config_warns_of_an_unknown_option(runner: Runner) -> None:
    done = runner.configure("--name", "a1", "--lables", "x")
    assert done.status == 0
    assert "Unrecognized command-line input arguments for command configure: 'lables'" in done.err


@pytest.mark.parametrize("missing", ["url", "token"])
def test_config_unattended_fails_without_a_required_value(runner: Runner, missing: str) -> None:
    options = ["--url", runner.url] if missing == "token" else ["--token", "x"]
    done = runner.run("./config.sh", "--unattended", *options)
    message = f"Invalid configuration provided for {missing}. Terminating unattended configuration."
    assert (done.status, done.err.strip()) == (1, message)
    assert not runner.file(".runner").exists()


def test_config_rejects_an_expired_token(runner: Runner) -> None:
    token = runner.token("registration")
    runner.server.admin.advance_clock(3601)
    done = runner.configure("--name", "a1", token=token)
    assert done.status == 1
    assert "Http response code: NotFound from 'POST " in done.err
    assert "/actions/runner-registration' (Request Id: " in done.err
    assert EXPIRED in done.err
    assert token not in done.err
    assert not runner.file(".runner").exists()


def test_config_rejects_a_remove_token(runner: Runner) -> None:
    assert runner.configure("--name", "a1", token=runner.token("remove")).status == 1


def test_config_rejects_a_configured_runner(runner: Runner) -> None:
    runner.configured("a1")
    done = runner.configure("--name", "a1", "--replace")
    assert (done.status, "it is already configured" in done.err) == (1, True)


def test_config_needs_replace_for_a_taken_name(runner: Runner) -> None:
    first = runner.configured("a1").registered()[0]["id"]
    runner.run("./config.sh", "remove", "--local")
    done = runner.configure("--name", "a1")
    assert (done.status, "A runner exists with the same name a1." in done.err) == (1, True)
    assert not runner.file(".runner").exists()
    done = runner.configure("--name", "a1", "--replace")
    assert (done.status, "√ Successfully replaced the runner" in done.out) == (0, True)
    assert [each["id"] for each in runner.registered()] == [first]


def test_config_rejects_an_unknown_group(runner: Runner) -> None:
    done = runner.configure("--name", "a1", "--runnergroup", "gpu")
    assert (done.status, 'runner group named "gpu"' in done.err) == (1, True)


def test_config_remove_ends_the_registration(runner: Runner) -> None:
    runner.configured("a1")
    done = runner.run("./config.sh", "remove", ACTIONS_RUNNER_INPUT_TOKEN=runner.token("remove"))
    assert done.status == 0
    assert runner.registered() == []
    left = {path.name for path in runner.directory.iterdir()}
    assert not left & {".runner", ".credentials", ".credentials_rsaparams"}
    assert left >= {".env", ".path", "svc.sh", "_diag"}
    again = runner.run("./config.sh", "remove", ACTIONS_RUNNER_INPUT_TOKEN=runner.token("remove"))
    assert (again.status, "config files are missing" in again.out) == (0, True)


def test_config_remove_keeps_the_files_when_the_server_forgot_the_runner(runner: Runner) -> None:
    number = runner.configured("a1").registered()[0]["id"]
    runner.rest("DELETE", f"/repos/{REPOSITORY}/actions/runners/{number}")
    done = runner.run("./config.sh", "remove", ACTIONS_RUNNER_INPUT_TOKEN=runner.token("remove"))
    assert (done.status, runner.file(".runner").exists()) == (1, True)
    assert runner.run("./config.sh", "remove", "--local").status == 0
    assert not runner.file(".runner").exists()


def test_config_remove_refuses_while_a_service_is_installed(runner: Runner) -> None:
    runner.configured("a1").write(".service", "x\n")
    done = runner.run("./config.sh", "remove", ACTIONS_RUNNER_INPUT_TOKEN=runner.token("remove"))
    assert (done.status, "Uninstall service first" in done.err) == (1, True)
    assert len(runner.registered()) == 1


def test_config_names_the_address_that_does_not_answer(runner: Runner) -> None:
    done = runner.run("./config.sh", "--unattended", "--url", "http://127.0.0.1:9/o/r", "--token", "x")
    assert (done.status, "127.0.0.1:9" in done.err) == (1, True)


def test_config_requires_libicu(runner: Runner) -> None:
    stub = runner.directory.parent / "stubs" / "ldconfig"
    stub.write_text("#!/bin/sh\necho libc.so.6\n")
    done = runner.configure("--name", "a1")
    assert (done.status, "Libicu's dependencies is missing" in done.out) == (1, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be refused as root")
@pytest.mark.parametrize("command", [["./config.sh"], ["./config.sh", "remove"]])
def test_config_refuses_root(runner: Runner, command: list[str]) -> None:
    done = subprocess.run(command, cwd=runner.directory, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "Must not run with sudo")
    assert not runner.file(".path").exists()
