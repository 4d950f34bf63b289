"""A module's ``main`` with options as input and a JSON document as output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunModule:
    """Return a function that runs ``main`` with options and returns its answer."""
    # After another test has imported Ansible's controller, the controller would receive all warnings.
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)

    def perform(main: Callable[[], None], *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        capsys.readouterr()
        with (
            patch_module_args({**options, "_ansible_check_mode": check_mode}),
            pytest.raises(SystemExit) as end,
        ):
            main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert bool(end.value.code) == bool(answer.get("failed"))
        return answer

    return perform
