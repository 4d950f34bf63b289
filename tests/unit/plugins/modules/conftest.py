"""Runs a module's ``main`` as Ansible would: options in, one JSON document out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunModule:
    """Return a function from ``main``, check mode and the options to what the module answers."""
    # Another test of this process may have imported Ansible's controller, which then takes all warnings.
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
