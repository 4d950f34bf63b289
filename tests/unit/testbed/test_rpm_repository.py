"""The catalogue of the local RPM repository and its spec and comps files."""

from __future__ import annotations

import io
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.rpm_catalogue import Catalogue, load_catalogue, render_comps, render_spec
from testbed.rpm_repository import pack_sources, publish

NAMES = """\
# a comment
alsa-lib-devel\talsa-lib\t42 43\t
gcc-c++\tgcc\t42\tg++ libstdc++-compiler
later\tlater\t43\t
"""
SMALL = """
version = "42"
release = "1"
[real."gcc-c++"]
debian = ["g++"]
paths = ["/usr/bin/g++"]
requires = ["alsa-lib-devel"]
[groups.tools]
name = "Tools & more"
mandatory = ["gcc-c++"]
default = []
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return load(tmp_path, SMALL)


def load(tmp_path: Path, text: str) -> Catalogue:
    path, names = tmp_path / "packages.toml", tmp_path / "names.tsv"
    path.write_text(text)
    names.write_text(NAMES)
    return load_catalogue(path, names)


def test_catalogue_offers_the_names_of_its_release_alone(catalogue: Catalogue) -> None:
    assert catalogue.names() == {"alsa-lib-devel", "gcc-c++", "g++", "libstdc++-compiler", "@tools"}


def test_catalogue_lacks_what_fedora_lacks() -> None:
    offered = load_catalogue().names()
    # Retired in Fedora 34; its programs have packages of their own.
    assert {"xorg-x11-utils", "xorg-x11-apps", "xorg-x11-server-utils"}.isdisjoint(offered)
    assert {"xdpyinfo", "xprop", "xwininfo", "xev"} <= offered


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


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        ('requires = ["alsa-lib-devel"]', 'requires = ["nowhere"]', "nowhere"),
        ('[real."gcc-c++"]', '[real.later]\n[real."gcc-c++"]', "later"),
        # A name that it provides is no package.
        ('[real."gcc-c++"]', '[real."g++"]\n[real."gcc-c++"]', r"g\+\+"),
        ("default = []", 'default = ["absent"]', "absent"),
    ],
)
def test_load_catalogue_rejects_a_name_that_fedora_lacks(
    tmp_path: Path, old: str, new: str, lacking: str
) -> None:
    assert old in SMALL
    with pytest.raises(TestbedError, match=rf"that Fedora 42 lacks \({lacking}\)"):
        load(tmp_path, SMALL.replace(old, new))


def test_catalogue_digest_changes_with_the_content(tmp_path: Path, catalogue: Catalogue) -> None:
    other = load(tmp_path, SMALL.replace('release = "1"', 'release = "2"'))
    assert other.digest() != catalogue.digest()


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
