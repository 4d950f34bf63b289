"""The emulator under schemathesis, which knows only GitHub's description.

It sends valid and invalid requests; every answer must be one that GitHub describes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.github.api import OPERATIONS, PREFIX
from testbed.github.rest.call import Router
from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running, emulator
from testbed.github.state import Group, Job, Label, Runner, Scope, Variable

SCOPES = {
    "/repos/{owner}/{repo}": Scope("repos", "Coldaine/ColdVox"),
    "/orgs/{org}": Scope("orgs", "Coldaine"),
    "/enterprises/{enterprise}": Scope("enterprises", "Coldaine-Works"),
}
CONFIG = """
[parameters]
"path.owner" = "Coldaine"
"path.repo" = "ColdVox"
"path.org" = "Coldaine"
"path.enterprise" = "Coldaine-Works"
"path.version" = "2.300.0"
"path.name" = "SEEN"
"""
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"
# GitHub's description lacks most error answers, so status codes are not checked. Apps sign their calls;
# test_github_apps.py tests them.
APPS = "^/app|/installation$"


def configuration() -> str:
    """Return a configuration with names of existing objects.

    Every operation has objects of its own, so that no operation deletes the object of another.
    """
    lines = [CONFIG]
    for number, operation in enumerate(OPERATIONS, start=1000):
        held = [f'"path.{part}" = {number}' for part in ("runner_id", "runner_group_id", "run_id", "job_id")]
        if "/variables/" in operation.path:
            held.append(f'"path.name" = "SEEN_{number}"')
        name = f"{operation.method} {operation.path}"
        lines.append(f'[[operations]]\ninclude-name = "{name}"\nparameters = {{ {", ".join(held)} }}')
    return "\n".join(lines)


def populate(running: Running) -> None:
    """Make an object for every name of the configuration."""
    state, now = running.emulator.state, running.emulator.clock.moment().now
    state.requests_limit = 10**9
    state.support_ends["2.300.0"] = "2026-09-01T00:00:00Z"
    for number, operation in enumerate(OPERATIONS, start=1000):
        scope = next(
            (candidate for base, candidate in SCOPES.items() if operation.path.startswith(base)), None
        )
        if scope is None:
            continue
        labels = [Label(1, "SEEN", read_only=False)]
        state.runners[number] = Runner(number, scope, f"r{number}", 1, labels)
        state.groups_of(scope)[number] = Group(number, f"g{number}")
        state.jobs[number] = Job(number, number, "Coldaine/ColdVox", "build", ["x"], "true", now)
        if "/variables/" in operation.path:
            visibility = "all" if scope.kind == "orgs" else None
            name = f"SEEN_{number}"
            state.variables_of(scope)[name] = Variable(name, "1", now, now, visibility)


@pytest.fixture
def populated(description: Path) -> Iterator[Running]:
    with emulator(description) as running:
        populate(running)
        yield running


def fuzz(running: Running, spec: Path, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis in ``home`` with a fixed random seed."""
    config = home / "schemathesis.toml"
    config.write_text(configuration())
    program = [
        str(Path(sys.executable).parent / "schemathesis"),
        "--config-file",
        str(config),
        "run",
        str(spec),
    ]
    fixed_seed = ["--generation-deterministic", "--no-color"]
    asked = ["--url", running.api_url, "-H", f"Authorization: Bearer {ADMIN_TOKEN}", "--checks", CHECKS]
    return subprocess.run(
        [*program, *fixed_seed, *asked, "--warnings", "off", "--exclude-path-regex", APPS, *options],
        cwd=home,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_emulator_answers_every_schemathesis_request_as_described(
    populated: Running, description: Path, tmp_path: Path
) -> None:
    done = fuzz(populated, description, tmp_path, "-n", "4", "--phases", "examples,fuzzing")
    assert done.returncode == 0, done.stdout + done.stderr
    router, served = Router(OPERATIONS), set()
    for entry in populated.emulator.audit:
        match = router.find(entry["method"], entry["path"].removeprefix(PREFIX))
        if match and entry["status"] < 300:
            served.add((match[0].method, match[0].path))
    wanted = {(each.method, each.path) for each in OPERATIONS if each.access != "app"}
    assert wanted - served == set(), "an operation without a successful answer was not tested"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 200, "body": {"total_count": "many", "runners": []}}, "Response violates schema"),
        ({"status": 500, "body": {}}, "Server error"),
        ({"status": 200, "text": "<html>"}, "Undocumented Content-Type"),
    ],
)
def test_schemathesis_detects_an_answer_that_violates_the_description(
    populated: Running, description: Path, tmp_path: Path, fault: dict[str, Any], message: str
) -> None:
    populated.admin.set_faults({"path_regex": "/actions/runners", "times": None, **fault})
    path = "/repos/{owner}/{repo}/actions/runners"
    done = fuzz(populated, description, tmp_path, "-n", "1", "--phases", "fuzzing", "--include-path", path)
    assert done.returncode == 1, json.dumps(fault) + done.stdout + done.stderr
    assert message.lower() in done.stdout.lower()
