"""The requests of a ``github_runner`` run: a constant number and paging."""

from __future__ import annotations

import pytest

from testbed.github.server import Running
from testbed.github.state import Label, Runner, Scope
from tests._support.runner_host import RunnerHost


@pytest.mark.parametrize(
    ("instances", "fleet", "requests"), [(1, 90, 1), (40, 90, 1), (1, 450, 2), (40, 450, 5)]
)
def test_github_runner_requests_are_a_constant_and_paging(
    github: Running, instances: int, fleet: int, requests: int
) -> None:
    scope, labels = Scope("repos", "Coldaine/ColdVox"), [Label(1, "self-hosted", read_only=True)]
    for number in range(1000, 1000 + fleet):
        github.emulator.state.runners[number] = Runner(number, scope, f"r{number}", 1, labels)
    host = RunnerHost(f"{github.url}/Coldaine/ColdVox")
    try:
        pool = [{"name": f"r{999 + fleet - number}"} for number in range(instances)]
        answer = host.converge(*pool, check=True)
    finally:
        host.close()
    assert len(answer["runners"]) == instances
    asked = [f"{request['method']} {request['path'].rpartition('/')[2]}" for request in github.admin.audit()]
    assert asked == ["GET runners"] * requests, "and no token was minted"
