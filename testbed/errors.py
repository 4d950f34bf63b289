"""What the testbed tells a person when it cannot go on."""

from __future__ import annotations


class TestbedError(Exception):
    """A failure told in one sentence: what, where, why, and what to do."""

    __test__ = False
    exit_status = 1


class UnsupportedMachineError(TestbedError):
    """The machine lacks something that the testbed cannot provide by itself."""

    exit_status = 3
