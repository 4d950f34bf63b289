"""What may be removed: tables, and the real dpkg in a database of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host import owned_packages
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result, run

from tests._support.dpkg_root import DpkgRoot

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="this machine has no dpkg")


@pytest.fixture
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DpkgRoot:
    return DpkgRoot(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("needs", "removed", "kept"),
    [
        ({}, ["a", "b"], {}),
        ({"x": ["a"]}, ["b"], {"a": ["x"]}),
        # b needs a, and x needs b: both stay.
        ({"b": ["a"], "x": ["b"]}, [], {"a": ["b"], "b": ["x"]}),
        ({"b": ["a"]}, ["a", "b"], {}),
        # x needs one of the two: neither alone breaks it.
        ({"x": ["a|b"]}, [], {"a": ["x"], "b": ["x"]}),
    ],
)
def test_choose_keeps_what_others_need(
    needs: Mapping[str, list[str]], removed: list[str], kept: dict[str, list[str]]
) -> None:
    def broken_by(names: Sequence[str]) -> dict[str, str]:
        return {
            f"{package} needs {need}": package
            for package, wanted in needs.items()
            for need in wanted
            if package not in names and set(need.split("|")) <= set(names)
        }

    assert owned_packages.choose(["a", "b"], broken_by) == (removed, kept)


@needs_dpkg
def test_plan_with_dpkg_keeps_what_a_package_of_the_user_needs(dpkg: DpkgRoot) -> None:
    for name in ("bc", "cmake", "jq"):
        dpkg.install(name)
    dpkg.install("cmake-data", depends="cmake (>= 1.0)")
    dpkg.install("my-report", depends="python3 | bc, jq (>= 0.5)", provides="report")
    assert owned_packages.installed("apt", run) == {"bc", "cmake", "cmake-data", "jq", "my-report"}
    plan = owned_packages.plan_removal(["bc", "cmake", "cmake-data", "jq"], "apt", run)
    assert plan == (["cmake", "cmake-data"], {"bc": ["my-report"], "jq": ["my-report"]})
    assert dpkg.names() == {"bc", "cmake", "cmake-data", "jq", "my-report"}, "a rehearsal changed the host"
    owned_packages.remove(plan.remove, "apt", run)
    assert dpkg.names() == {"bc", "jq", "my-report"}


@needs_dpkg
def test_dpkg_refuses_to_remove_what_another_package_needs(dpkg: DpkgRoot) -> None:
    dpkg.install("jq")
    dpkg.install("my-report", depends="jq")
    with pytest.raises(CiError, match="my-report depends on jq"):
        owned_packages.remove(["jq"], "apt", run)
    assert dpkg.names() == {"jq", "my-report"}


def test_plan_reads_the_needs_that_rpm_prints() -> None:
    lines = {
        "gcc": "\tgcc is needed by (installed) akmods-0.6.0-8.fc42.noarch\n",
        "gtk3": "\tlibgtk-3.so.0()(64bit) is needed by (installed) firefox-140.0-1.fc42.x86_64\n",
        "bc": "",
    }

    def rpm(argv: Sequence[str], **_options: object) -> Result:
        assert list(argv[:3]) == ["rpm", "--erase", "--test"]
        said = "".join(lines[name] for name in argv[3:])
        return Result(1, "", f"error: Failed dependencies:\n{said}") if said else Result(0, "", "")

    plan = owned_packages.plan_removal(["bc", "gcc", "gtk3"], "dnf", rpm)
    assert plan.remove == ["bc"]
    assert plan.keep == {"gcc": ["akmods-0.6.0-8.fc42.noarch"], "gtk3": ["firefox-140.0-1.fc42.x86_64"]}


def test_plan_quotes_a_database_that_cannot_answer() -> None:
    def locked(_argv: Sequence[str], **_options: object) -> Result:
        return Result(2, "", "dpkg: error: dpkg frontend lock was locked by another process\n")

    with pytest.raises(CiError, match=r"lock was locked .*; correct that on the host, then run again"):
        owned_packages.plan_removal(["bc"], "apt", locked)


def test_record_remembers_names_and_reports_damage(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    assert owned_packages.read_record(str(state)) == []
    owned_packages.write_record(str(state), ["jq", "bc", "jq"])
    assert owned_packages.read_record(str(state)) == ["bc", "jq"]
    for damage in ("", "{", "[]", '{"installed": "bc"}', '{"installed": [1]}'):
        (state / "packages.json").write_text(damage)
        with pytest.raises(CiError, match=r"packages\.json' is damaged"):
            owned_packages.read_record(str(state))
