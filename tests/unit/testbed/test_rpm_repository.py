"""The local RPM repository offers what the roles name, and tells rpmbuild and DNF so."""

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


def test_every_fedora_package_that_the_roles_name_is_offered() -> None:
    offered = load_catalogue().names()
    files = sorted(CHECKOUT.glob("roles/*/vars/dnf.yml"))
    assert files, "no role has names for dnf; this test looks in the wrong place"
    for path in files:
        sets = yaml.safe_load(path.read_text())["__system_packages_catalogue"]
        wanted = {name for names in sets.values() for name in names}
        assert wanted <= offered, f"{path} names what packages.toml lacks: {sorted(wanted - offered)}"


@pytest.mark.parametrize("family", ["apt", "dnf"])
def test_the_packages_that_a_removal_spares_are_among_those_that_it_could_take(family: str) -> None:
    data = yaml.safe_load((CHECKOUT / f"roles/system_packages/vars/{family}.yml").read_text())
    catalogue = {name for names in data["__system_packages_catalogue"].values() for name in names}
    assert set(data["__system_packages_vital"]) <= catalogue


def test_development_tools_bring_no_compiler_as_in_fedora() -> None:
    groups = {group.identifier: {*group.mandatory, *group.default} for group in load_catalogue().groups}
    assert "gcc" not in groups["development-tools"]
    assert {"gcc", "gcc-c++", "make"} <= groups["c-development"]


def test_a_package_that_is_real_brings_its_program_and_its_needs(catalogue: Catalogue) -> None:
    spec = render_spec(catalogue)
    assert "ln -s /usr/lib/coldvox-testbed/usr/bin/g++ %{buildroot}/usr/bin/g++\n" in spec
    section = spec.partition("%package -n gcc-c++\n")[2].partition("%description")[0]
    assert "Requires: alsa-lib-devel\n" in section
    assert "Provides: g++\n" in section
    assert spec.endswith("%files -n gcc-c++\n/usr/share/doc/coldvox-testbed/gcc-c++\n/usr/bin/g++\n\n")
    assert catalogue.hidden_paths() == ["/usr/bin/g++"]
    assert catalogue.debian_packages() == ["g++"]


def test_the_groups_are_what_dnf_reads(catalogue: Catalogue) -> None:
    (group,) = ET.fromstring(render_comps(catalogue)).iter("group")
    assert group.findtext("id") == "tools"
    assert group.findtext("name") == "Tools & more"
    assert [(p.get("type"), p.text) for p in group.iter("packagereq")] == [("mandatory", "gcc-c++")]
    assert catalogue.names() == {"alsa-lib-devel", "gcc-c++", "g++", "@tools"}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('requires = ["alsa-lib-devel"]', 'requires = ["nowhere"]', r"needs what it lacks \(nowhere\)"),
        ('audio = ["alsa-lib-devel"]', 'audio = ["alsa-lib-devel", "gcc-c++"]', r"twice \(gcc-c\+\+\)"),
        ("default = []", 'default = ["absent"]', r"lacks \(absent\)"),
    ],
)
def test_a_catalogue_that_cannot_work_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "packages.toml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(TestbedError, match=complaint):
        load_catalogue(path)


def test_the_digest_changes_with_the_content(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "other.toml"
    path.write_text(SMALL.replace('release = "1"', 'release = "2"'))
    assert load_catalogue(path).digest() != catalogue.digest()


def test_what_the_builder_is_given_holds_both_files(catalogue: Catalogue) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack_sources(catalogue))) as archive:
        assert archive.getnames() == ["packages.spec", "comps.xml"]


def test_a_new_repository_takes_the_place_of_the_old_one(tmp_path: Path, catalogue: Catalogue) -> None:
    target = tmp_path / "www" / "rpm"
    target.mkdir(parents=True)
    (target / "old.rpm").touch()
    publish(pack_sources(catalogue), target)
    assert sorted(path.name for path in target.iterdir()) == ["comps.xml", "packages.spec"]
    assert [path.name for path in target.parent.iterdir()] == ["rpm"]
