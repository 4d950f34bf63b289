"""The tarball: only files for users, and playbooks that run by their full name."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from .conftest import Tool

CHECKOUT = Path(__file__).resolve().parents[2]
SHIPPED_DIRECTORIES = {"changelogs", "docs", "meta", "playbooks", "plugins", "roles"}
SHIPPED_FILES = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "tests/config.yml"}
MADE_BY_GALAXY = {"FILES.json", "MANIFEST.json"}


@pytest.fixture(scope="module")
def tarball(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("build")
    tool("ansible-galaxy", "collection", "build", "--output-path", directory, CHECKOUT)
    (built,) = directory.glob("coldvox-ci-*.tar.gz")
    return built


@pytest.fixture(scope="module")
def installed(tool: Tool, tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which only the installed collection is visible."""
    directory = tmp_path_factory.mktemp("collections")
    # The environment of the tests has a link to the checkout, which Ansible must not use here.
    only_here = {"ANSIBLE_COLLECTIONS_PATH": str(directory), "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false"}
    tool("ansible-galaxy", "collection", "install", "--offline", tarball, environment=only_here)
    assert (directory / "ansible_collections/coldvox/ci/MANIFEST.json").is_file()
    return only_here


def test_tarball_holds_only_the_shipped_files(tarball: Path, files: list[Path]) -> None:
    expected = {
        str(path) for path in files if path.parts[0] in SHIPPED_DIRECTORIES or str(path) in SHIPPED_FILES
    }
    with tarfile.open(tarball) as archive:
        members = {member.name: member for member in archive.getmembers()}
    shipped = {name for name, member in members.items() if not member.isdir()}
    assert shipped == expected | MADE_BY_GALAXY
    directories = {name for name, member in members.items() if member.isdir()}
    assert directories == {str(parent) for name in expected for parent in Path(name).parents} - {"."}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a directory with an inventory of this machine with a misspelt input."""
    (tmp_path / "hosts.yml").write_text(
        "runners:\n  hosts:\n    here:\n      ansible_connection: local\n      ansible_become: false\n"
        "      ansible_python_interpreter: '{{ ansible_playbook_python }}'\n"
        "      hardening_profil: strict\n",
        encoding="utf-8",
    )
    return tmp_path


def test_installed_site_playbook_passes_the_syntax_check(
    tool: Tool, installed: dict[str, str], elsewhere: Path
) -> None:
    shown = tool(
        *("ansible-playbook", "coldvox.ci.site", "--inventory", "hosts.yml", "--syntax-check"),
        cwd=elsewhere,
        environment=installed,
    )
    assert "coldvox/ci/playbooks/site.yml" in shown.stdout


def test_installed_site_playbook_refuses_a_misspelt_input(
    tool: Tool, installed: dict[str, str], elsewhere: Path
) -> None:
    shown = tool(
        *("ansible-playbook", "coldvox.ci.site", "--inventory", "hosts.yml", "--check"),
        cwd=elsewhere,
        environment=installed,
        status=2,
    )
    assert "did you mean 'hardening_profile'" in shown.stdout + shown.stderr
    assert "changed=0" in shown.stdout


def test_installed_site_playbook_ignores_other_hosts(
    tool: Tool, installed: dict[str, str], elsewhere: Path
) -> None:
    shown = tool(
        *("ansible-playbook", "coldvox.ci.site", "--inventory", "stranger,"),
        cwd=elsewhere,
        environment=installed,
    )
    assert "no hosts matched" in shown.stdout
