from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.modules import owned_package

from tests._support.dpkg_root import DpkgRoot

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="this machine has no dpkg")


@pytest.fixture
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DpkgRoot:
    return DpkgRoot(tmp_path, monkeypatch)


@pytest.fixture
def owned(run_module: Any, tmp_path: Path) -> Any:
    def call(*names: str, **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = run_module(
            owned_package.main, name=list(names), manager="apt", state_dir=str(tmp_path / "state"), **options
        )
        return result

    return call


def test_owned_package_never_removes_what_was_there_before(owned: Any, dpkg: DpkgRoot) -> None:
    dpkg.install("git")
    assert owned("git", state="absent") == {"changed": False, "names": [], "needed": {}}
    owned("cmake")
    dpkg.install("cmake")
    assert owned("cmake", "git", state="absent")["names"] == ["cmake"]
    assert dpkg.names() == {"git"}


def test_owned_package_predicts_and_is_idempotent(owned: Any, dpkg: DpkgRoot) -> None:
    dpkg.install("bc")
    assert owned("bc", check_mode=True)["changed"] is True
    assert [owned("bc")["changed"], owned("bc")["changed"]] == [True, False]
    predicted = owned("bc", state="absent", check_mode=True)
    assert dpkg.names() == {"bc"}
    assert owned("bc", state="absent") == predicted == {"changed": True, "names": ["bc"], "needed": {}}
    assert owned("bc", state="absent")["changed"] is False
    assert dpkg.names() == set()


def test_owned_package_names_who_needs_what_stays(owned: Any, dpkg: DpkgRoot) -> None:
    dpkg.install("jq")
    owned("jq")
    dpkg.install("my-report", depends="jq")
    answer = owned("jq", state="absent")
    assert (answer["changed"], answer["needed"]) == (False, {"jq": ["my-report"]})
    assert dpkg.names() == {"jq", "my-report"}


def test_owned_package_says_what_to_do_with_a_damaged_record(owned: Any, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/packages.json").write_text("{")
    assert owned("bc", state="absent")["msg"].endswith("remove the file, then run again.")
