"""The host of these tests: one for all of them, because its start takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests._support.workshop import Workshop, workshop


@pytest.fixture(scope="session")
def running_host() -> Iterator[Workshop]:
    """Return the host with the role's files."""
    with workshop(f"coldvox-workshop-{os.getpid()}") as host:
        yield host


@pytest.fixture
def host(running_host: Workshop) -> Iterator[Workshop]:
    """Return the host, and remove afterwards what a job left there."""
    yield running_host
    running_host.forget_job()
