"""The packages of the local RPM repository, as spec and comps file.

Their names are Fedora's, from the list in ``names/fedora.tsv``. A role that asks for a name that Fedora lacks
fails here as it does there.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import tomllib

from testbed.errors import TestbedError

CATALOGUE_FILE = Path(__file__).parent / "images" / "nobara-host" / "packages.toml"
NAMES_FILE = Path(__file__).parent / "names" / "fedora.tsv"
HIDDEN_ROOT = "/usr/lib/coldvox-testbed"

SPEC_HEAD = """\
# One source package with a subpackage for each name. Nothing is compiled, so nothing is stripped or searched.
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _binary_payload w1.gzdio
%global source_date_epoch_from_changelog 0
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global _buildhost testbed
Name: coldvox-testbed-packages
Version: {version}
Release: {release}
Summary: Stand-ins for Fedora packages
License: GPL-3.0-or-later
AutoReqProv: no

%description
Stand-ins for Fedora packages in the testbed of coldvox.ci.
"""


@dataclasses.dataclass(frozen=True)
class Package:
    """One RPM package.

    ``paths`` are the hidden paths that it makes visible, ``debian`` the packages that they come from.
    """

    name: str
    paths: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()


def fedora_names(release: str, path: Path = NAMES_FILE) -> dict[str, tuple[str, ...]]:
    """Return what each package of a Fedora release provides, by its name."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    rows = (line.split("\t") for line in lines)
    return {
        name: tuple(provides.split())
        for name, _source, releases, provides in rows
        if release in releases.split()
    }


@dataclasses.dataclass(frozen=True)
class Group:
    """One package group of Fedora's comps file."""

    identifier: str
    name: str
    mandatory: tuple[str, ...]
    default: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All packages and groups of the repository."""

    version: str
    release: str
    packages: tuple[Package, ...]
    groups: tuple[Group, ...]

    def names(self) -> set[str]:
        """Return every name that a package manager accepts.

        These are packages, provided names, and groups with their @.
        """
        provided = {name for package in self.packages for name in package.provides}
        return {p.name for p in self.packages} | provided | {f"@{group.identifier}" for group in self.groups}

    def debian_packages(self) -> list[str]:
        """Return the Debian packages that the RPM packages take their files from."""
        return sorted({name for package in self.packages for name in package.debian})

    def hidden_paths(self) -> list[str]:
        """Return the paths that the image hides until their RPM is installed."""
        return sorted({path for package in self.packages for path in package.paths})

    def digest(self) -> str:
        """Return a digest of the content."""
        return hashlib.sha256((render_spec(self) + render_comps(self)).encode()).hexdigest()


def load_catalogue(path: Path = CATALOGUE_FILE, names: Path = NAMES_FILE) -> Catalogue:
    """Read and check a catalogue; raises TestbedError."""
    with path.open("rb") as handle:
        data = tomllib.load(handle)
    real: Mapping[str, Mapping[str, list[str]]] = data["real"]
    fedora = fedora_names(data["version"], names)
    packages = [
        Package(name, provides=provides, **{key: tuple(value) for key, value in real.get(name, {}).items()})
        for name, provides in sorted(fedora.items())
    ]
    groups = [_group(identifier, fields) for identifier, fields in data["groups"].items()]
    catalogue = Catalogue(data["version"], data["release"], tuple(packages), tuple(groups))
    _check(catalogue, real, path)
    return catalogue


def _group(identifier: str, fields: Mapping[str, Any]) -> Group:
    return Group(identifier, fields["name"], tuple(fields["mandatory"]), tuple(fields["default"]))


def _check(catalogue: Catalogue, real: Iterable[str], path: Path) -> None:
    wanted = {name for package in catalogue.packages for name in package.requires}
    wanted |= {name for group in catalogue.groups for name in (*group.mandatory, *group.default)}
    packages = {package.name for package in catalogue.packages}
    lost = sorted((wanted - catalogue.names()) | (set(real) - packages))
    if lost:
        raise TestbedError(
            f"The catalogue {path} names packages that Fedora {catalogue.version} lacks ({', '.join(lost)}); "
            f"correct it, or add them to {NAMES_FILE.name} with their source."
        )


def render_spec(catalogue: Catalogue) -> str:
    """Return the spec file of all packages."""
    head = SPEC_HEAD.format(version=catalogue.version, release=catalogue.release)
    sections = [_package_section(package) for package in catalogue.packages]
    install = ["%install\n", *(_install_lines(package) for package in catalogue.packages), "\n"]
    files = [f"%files -n {package.name}\n{_file_lines(package)}\n" for package in catalogue.packages]
    return "\n".join([head, *sections]) + "\n" + "".join([*install, *files])


def _marker(package: Package) -> str:
    return f"/usr/share/doc/coldvox-testbed/{package.name}"


def _package_section(package: Package) -> str:
    lines = [
        f"%package -n {package.name}",
        f"Summary: Stand-in for Fedora's {package.name}",
        "AutoReqProv: no",
    ]
    lines += [f"Requires: {name}" for name in package.requires]
    lines += [f"Provides: {name}" for name in package.provides]
    lines += [f"%description -n {package.name}", f"Stands in for Fedora's {package.name}.", ""]
    return "\n".join(lines)


def _install_lines(package: Package) -> str:
    root = "%{buildroot}"
    lines = [f"install -D -m 0644 /dev/null {root}{_marker(package)}"]
    for path in package.paths:
        lines += [f"mkdir -p {root}{Path(path).parent}", f"ln -s {HIDDEN_ROOT}{path} {root}{path}"]
    return "\n".join(lines) + "\n"


def _file_lines(package: Package) -> str:
    return "".join(f"{path}\n" for path in (_marker(package), *package.paths))


def render_comps(catalogue: Catalogue) -> str:
    """Return the comps file, from which DNF reads the groups."""
    content = "".join(map(_comps_group, catalogue.groups))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<comps>\n{content}</comps>\n'


def _comps_group(group: Group) -> str:
    return (
        f"  <group>\n    <id>{escape(group.identifier)}</id>\n    <name>{escape(group.name)}</name>\n"
        f"    <description>{escape(group.name)}, as Fedora groups them.</description>\n"
        f"    <default>false</default>\n    <uservisible>true</uservisible>\n    <packagelist>\n"
        f"{_comps_members('mandatory', group.mandatory)}{_comps_members('default', group.default)}"
        f"    </packagelist>\n  </group>\n"
    )


def _comps_members(kind: str, names: Iterable[str]) -> str:
    return "".join(f'      <packagereq type="{kind}">{escape(name)}</packagereq>\n' for name in names)
