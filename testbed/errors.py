"""The errors of the testbed's commands."""

from __future__ import annotations


class TestbedError(Exception):
    """A failure in one sentence: what, where, why, and what to do."""

    __test__ = False
    exit_status = 1


class UnsupportedMachineError(TestbedError):
    """The machine lacks something that the testbed cannot provide."""

    exit_status = 3
