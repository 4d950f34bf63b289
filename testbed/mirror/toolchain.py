"""Debian's Rust as a toolchain for rustup.

rustup needs a whole toolchain below one directory, and hosts need not have LLVM. So each program gets the
libraries that it needs and a RUNPATH relative to itself. The libraries are in directories of their own and
not in ``lib``: rustup puts ``lib`` on the LD_LIBRARY_PATH of every program that a job starts, and those must
not load our libssl.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from testbed.errors import TestbedError
from testbed.mirror import debian
from testbed.process import capture

TARGET = "x86_64-unknown-linux-gnu"
PROGRAM_PACKAGES = "rustc cargo rustfmt rust-clippy libstd-rust-dev libstd-rust-1.85"
RUSTC_LIBRARIES = """
    libllvm19 libz3-4 libffi8 libedit2 libbsd0 libmd0 libtinfo6 libxml2 liblzma5 libzstd1 zlib1g
"""
CARGO_LIBRARIES = """
    libgit2-1.9 libssh2-1t64 libssl3t64 libcurl4t64 libsqlite3-0 libnghttp2-14 libnghttp3-9 libidn2-0 librtmp1
    libpsl5t64 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 libldap2
    libsasl2-2 libbrotli1 libunistring5 libgnutls30t64 libhogweed6t64 libnettle8t64 libgmp10 libp11-kit0
    libtasn1-6 libmbedtls21 libmbedx509-7 libmbedcrypto16 libhttp-parser2.9 libpcre2-8-0
"""
PACKAGES = tuple(f"{PROGRAM_PACKAGES} {RUSTC_LIBRARIES} {CARGO_LIBRARIES}".split())
# Every host has these: the C and C++ runtime libraries.
RUN_TIME = (
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libresolv.so.2",
)

_PROGRAMS = {
    "rustc": ("rustc", "rustdoc"),
    "cargo": ("cargo",),
    "rustfmt-preview": ("rustfmt", "cargo-fmt"),
    "clippy-preview": ("clippy-driver", "cargo-clippy"),
}


class Stager:
    """The conversion of an unpacked Debian ``tree`` into rustup's components.

    Each component is a directory below ``target``.
    """

    def __init__(self, tree: Path, target: Path, patchelf: Path) -> None:
        self._usr = tree / "usr"
        self._libraries = self._usr / "lib" / "x86_64-linux-gnu"
        self._target = target
        self._patchelf = patchelf

    def stage(self) -> None:
        """Write the components below ``target``.

        They are ``rustc``, ``cargo``, ``rustfmt-preview``, ``clippy-preview`` and ``rust-std-<target>``.
        """
        for component, programs in _PROGRAMS.items():
            runpath = "$ORIGIN/../lib/cargo-libraries" if component == "cargo" else "$ORIGIN/../lib"
            for program in programs:
                self._place(
                    self._usr / "bin" / program, self._target / component / "bin" / program, runpath, 0o755
                )
        [driver] = self._libraries.glob("librustc_driver-*.so")
        library_dir = self._target / "rustc" / "lib"
        self._place(driver, library_dir / driver.name, "$ORIGIN/rustc-libraries")
        self._place_closure(driver, library_dir / "rustc-libraries")
        self._place_closure(self._usr / "bin" / "cargo", self._target / "cargo" / "lib" / "cargo-libraries")
        rustlib = Path("lib", "rustlib", TARGET)
        shutil.copytree(self._usr / rustlib, self._target / f"rust-std-{TARGET}" / rustlib)

    def _place_closure(self, program: Path, target: Path) -> None:
        """Copy every library that ``program`` needs, directly or not, to ``target``."""
        waiting, seen = self._needed(program), set(RUN_TIME)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            library = self._libraries / name
            if not library.exists():
                raise TestbedError(
                    f"Debian's Rust needs the library {name} (for {program.name}), which no listed package "
                    f"has; add its package to the lists in {Path(__file__).name}."
                )
            self._place(library.resolve(), target / name, "$ORIGIN")
            waiting += self._needed(library)

    def _needed(self, program: Path) -> list[str]:
        return self._run(["--print-needed", str(program)]).split()

    def _place(self, source: Path, target: Path, runpath: str, mode: int = 0o644) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)
        self._run(["--set-rpath", runpath, str(target)])

    def _run(self, arguments: Iterable[str]) -> str:
        outcome = capture([str(self._patchelf), *arguments], timeout_seconds=120)
        if outcome.status != 0:
            raise TestbedError(
                f"The program patchelf failed on Debian's Rust: {outcome.reason}; "
                "check the free space and run this again."
            )
        return outcome.stdout


def write_components(target: Path, patchelf: Path, cache: Path, progress: Callable[[str], None]) -> str:
    """Write the components of Debian's Rust below ``target``.

    Returns its version, such as ``1.85.1``.
    """
    progress("fetching Debian's Rust (110 MB) unless the cache has it")
    packages = debian.fetch_packages(PACKAGES, cache)
    tree = target.with_name("packages")
    progress("unpacking Debian's Rust")
    debian.unpack(packages, tree)
    progress("setting up its libraries")
    Stager(tree, target, patchelf).stage()
    return debian.version(packages, "rustc")
