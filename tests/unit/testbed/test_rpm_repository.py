"""The catalogue of the local RPM repository and its spec and comps files."""

from __future__ import annotations

import io
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from testbed.errors import TestbedError
from testbed.rpm_catalogue import Catalogue, load_catalogue, render_comps, render_spec
from testbed.rpm_repository import pack_sources, publish

CHECKOUT = Path(__file__).resolve().parents[3]
SMALL = """
version = "42"
release = "1"
[stubs]
audio = ["alsa-lib-devel"]
[real."gcc-c++"]
debian = ["g++"]
paths = ["/usr/bin/g++"]
requires = ["alsa-lib-devel"]
provides = ["g++"]
[groups.tools]
name = "Tools & more"
mandatory = ["gcc-c++"]
default = []
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    path = tmp_path / "packages.toml"
    path.write_text(SMALL)
    return load_catalogue(path)


def test_catalogue_has_every_fedora_package_of_the_roles() -> None:
    offered = load_catalogue().names()
    files = sorted(CHECKOUT.glob("roles/*/vars/dnf.yml"))
    assert files, "no role has names for dnf; this test looks in the wrong place"
    for path in files:
        sets = yaml.safe_load(path.read_text())["__system_packages_catalogue"]
        wanted = {name for names in sets.values() for name in names}
        assert wanted <= offered, f"{path} names what packages.toml lacks: {sorted(wanted - offered)}"


@pytest.mark.parametrize("family", ["apt", "dnf"])
def test_vital_packages_are_in_the_catalogue_of_the_role(family: str) -> None:
    data = yaml.safe_load((CHECKOUT / f"roles/system_packages/vars/{family}.yml").read_text())
    catalogue = {name for names in data["__system_packages_catalogue"].values() for name in names}
    assert set(data["__system_packages_vital"]) <= catalogue


def test_catalogue_development_tools_have_no_compiler_as_in_fedora() -> None:
    groups = {group.identifier: {*group.mandatory, *group.default} for group in load_catalogue().groups}
    assert "gcc" not in groups["development-tools"]
    assert {"gcc", "gcc-c++", "make"} <= groups["c-development"]


def test_render_spec_links_the_program_of_a_real_package(catalogue: Catalogue) -> None:
    spec = render_spec(catalogue)
    assert "ln -s /usr/lib/coldvox-testbed/usr/bin/g++ %{buildroot}/usr/bin/g++\n" in spec
    section = spec.partition("%package -n gcc-c++\n")[2].partition("%description")[0]
    assert "Requires: alsa-lib-devel\n" in section
    assert "Provides: g++\n" in section
    assert spec.endswith("%files -n gcc-c++\n/usr/share/doc/coldvox-testbed/gcc-c++\n/usr/bin/g++\n\n")
    assert catalogue.hidden_paths() == ["/usr/bin/g++"]
    assert catalogue.debian_packages() == ["g++"]


def test_render_comps_lists_the_groups(catalogue: Catalogue) -> None:
    (group,) = ET.fromstring(render_comps(catalogue)).iter("group")
    assert group.findtext("id") == "tools"
    assert group.findtext("name") == "Tools & more"
    assert [(p.get("type"), p.text) for p in group.iter("packagereq")] == [("mandatory", "gcc-c++")]
    assert catalogue.names() == {"alsa-lib-devel", "gcc-c++", "g++", "@tools"}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('requires = ["alsa-lib-devel"]', 'requires = ["nowhere"]', r"that it lacks \(nowhere\)"),
        ('audio = ["alsa-lib-devel"]', 'audio = ["alsa-lib-devel", "gcc-c++"]', r"twice \(gcc-c\+\+\)"),
        ("default = []", 'default = ["absent"]', r"lacks \(absent\)"),
    ],
)
def test_load_catalogue_rejects_an_inconsistent_file(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "packages.toml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(TestbedError, match=complaint):
        load_catalogue(path)


def test_catalogue_digest_changes_with_the_content(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "other.toml"
    path.write_text(SMALL.replace('release = "1"', 'release = "2"'))
    assert load_catalogue(path).digest() != catalogue.digest()


def test_pack_sources_has_spec_and_comps(catalogue: Catalogue) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack_sources(catalogue))) as archive:
        assert archive.getnames() == ["packages.spec", "comps.xml"]


def test_publish_replaces_the_old_repository(tmp_path: Path, catalogue: Catalogue) -> None:
    target = tmp_path / "www" / "rpm"
    target.mkdir(parents=True)
    (target / "old.rpm").touch()
    publish(pack_sources(catalogue), target)
    assert sorted(path.name for path in target.iterdir()) == ["comps.xml", "packages.spec"]
    assert [path.name for path in target.parent.iterdir()] == ["rpm"]
