"""The names of the role system_packages are those of Fedora.

``tests/world/test_packages.py`` asks Debian's own mirror.
"""

from __future__ import annotations

import pytest

from testbed.rpm_catalogue import fedora_names
from tests._support.package_names import load, names

#: The release that Rawhide became when the list was made.
RAWHIDE = "46"


@pytest.mark.parametrize("release", ["42", "43", "44", RAWHIDE])
def test_names_are_packages_of_fedora(release: str) -> None:
    offered = fedora_names(release)
    # dnf accepts a provided name too, but rpm does not know it as installed.
    assert names("dnf", release) - set(offered) == set()
    assert "dnf5-plugin-automatic" in offered


@pytest.mark.parametrize("family", ["apt", "dnf"])
def test_releases_add_to_sets_that_exist(family: str) -> None:
    data = load(family)
    for release, sets in data["__system_packages_releases"].items():
        assert set(sets) <= set(data["__system_packages_catalogue"]), release


def test_fedora_45_has_a_libssl_that_dotnet_accepts() -> None:
    assert "openssl3-libs" in names("dnf", RAWHIDE)
    assert "openssl3-libs" not in names("dnf", "44")
