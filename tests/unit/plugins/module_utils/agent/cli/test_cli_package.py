"""``runnerctl package`` as a process, on the releases of the installed package."""

from __future__ import annotations

import json

from tests._support.installed_agent import Agent


def test_package_settle_compiles_its_release_and_removes_old_ones(agent: Agent) -> None:
    current = (agent.root / "current").resolve()
    for name in ("old", "older"):
        (current.parent / name / "coldvox_ci").mkdir(parents=True)
    removed = json.loads(agent.run("package", "settle", "--json").stdout)["removed"]
    assert len(removed) == 1
    assert {path.name for path in current.parent.iterdir()} == {current.name, "old", "older"} - {*removed}
    assert list((current / "coldvox_ci" / "agent" / "cli" / "__pycache__").glob("heal.*.pyc"))
    assert agent.run("package", "settle").stdout == "removed: nothing\n"
