"""Stub toolchains: shell scripts in rustup's layout that only print their version."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from testbed.mirror.archives import Member

_SCRIPT = """\
#!/bin/sh
# A stand-in from the testbed's mirror: it prints its version and can do nothing else.
case "$*" in
--version | -V | *' --version' | *' -V') echo '{answer}' ;;
'--print sysroot') cd -- "$(dirname -- "$0")/.." && pwd ;;
-vV | '--version --verbose')
    printf '%s\\n' '{answer}' 'binary: {program}' 'host: x86_64-unknown-linux-gnu' 'release: {release}' ;;
*) echo "{program}: this toolchain is a stand-in of the testbed and cannot do: $*" >&2; exit 1 ;;
esac
"""


@dataclasses.dataclass(frozen=True)
class Release:
    """The version strings of one Rust release, as the real programs print them."""

    version: str
    rustc: str
    cargo: str
    rustfmt: str
    clippy: str

    def component(self, name: str) -> dict[str, Member]:
        """Return the files of a component, named as in rustup's tarballs."""
        programs = self._programs().get(name)
        if programs:
            return {f"bin/{program}": self._script(program, answer) for program, answer in programs.items()}
        if name == "rust-src":
            return source_stub()
        return library_stub(name.removeprefix("rust-std-"))

    def _programs(self) -> Mapping[str, Mapping[str, str]]:
        return {
            "rustc": {"rustc": f"rustc {self.rustc}", "rustdoc": f"rustdoc {self.rustc}"},
            "cargo": {"cargo": f"cargo {self.cargo}"},
            "rustfmt-preview": {"rustfmt": f"rustfmt {self.rustfmt}", "cargo-fmt": f"rustfmt {self.rustfmt}"},
            "clippy-preview": {
                "cargo-clippy": f"clippy {self.clippy}",
                "clippy-driver": f"clippy {self.clippy}",
            },
        }

    def _script(self, program: str, answer: str) -> Member:
        text = _SCRIPT.format(answer=answer, program=program, release=self.version)
        return Member(text.encode(), 0o755)


def source_stub() -> dict[str, Member]:
    """Return the path of the standard library's source, without the source."""
    return {
        "lib/rustlib/src/rust/library/std/src/lib.rs": Member(b"// A stand-in of the testbed's mirror.\n")
    }


def library_stub(target: str) -> dict[str, Member]:
    """Return the path of the compiled standard library, without the library."""
    name = Path("lib", "rustlib", target, "lib", "libstd-testbed.rlib")
    return {name.as_posix(): Member(b"A stand-in of the testbed's mirror.\n")}


MSRV = Release(
    version="1.75.0",
    rustc="1.75.0 (82e1608df 2023-12-21)",
    cargo="1.75.0 (1d8b05cdd 2023-11-20)",
    rustfmt="1.7.0-stable (82e1608d 2023-12-21)",
    clippy="0.1.75 (82e1608d 2023-12-21)",
)
BETA = Release(
    version="1.86.0-beta.7",
    rustc="1.86.0-beta.7 (7824ede68 2025-03-22)",
    cargo="1.86.0-beta.7 (adf9b6ad1 2025-02-28)",
    rustfmt="1.8.0-stable (7824ede68f 2025-03-22)",
    clippy="0.1.86 (7824ede68f 2025-03-22)",
)
STABLE = Release(
    version="1.85.1",
    rustc="1.85.1 (4eb161250 2025-03-15)",
    cargo="1.85.1 (d73d2caf9 2024-12-31)",
    rustfmt="1.8.0-stable (4eb161250e 2025-03-15)",
    clippy="0.1.85 (4eb161250e 2025-03-15)",
)
