"""The sandbox profiles and their exposure, as systemd counts it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests._support import hardening_role

#: The directives of the runner role's unit that change the score.
UNIT = "[Service]\nExecStart=/bin/true\nUser=ci\nGroup=ci\n"
#: Ten times the exposure, the unit of systemd-analyze.
THRESHOLDS = {"strict": 11, "build": 15, "desktop": 35, "containers": 35}
README = (hardening_role.ROLE / "README.md").read_text(encoding="utf-8")
PROFILES = hardening_role.profiles()


def analyze(tmp_path: Path, profile: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    unit = tmp_path / "coldvox-sandboxed.service"
    unit.write_text(UNIT + hardening_role.drop_in(profile))
    return subprocess.run(
        ["systemd-analyze", *arguments, str(unit)], capture_output=True, text=True, check=False
    )


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


@pytest.mark.parametrize("profile", PROFILES)
def test_hardening_profile_keeps_files_of_a_job_private(profile: str) -> None:
    assert "\nUMask=0077\n" in hardening_role.drop_in(profile)


@pytest.mark.parametrize("profile", sorted(set(PROFILES) - {"off"}))
def test_hardening_profile_makes_a_blocked_call_an_error(profile: str) -> None:
    assert "\nSystemCallErrorNumber=EPERM\n" in hardening_role.drop_in(profile)


@needs_systemd
@pytest.mark.parametrize(("profile", "threshold"), THRESHOLDS.items())
def test_hardening_profile_exposure_stays_below_its_threshold(
    tmp_path: Path, profile: str, threshold: int
) -> None:
    done = analyze(tmp_path, profile, "security", "--offline=true", f"--threshold={threshold}", "--no-pager")
    assert done.returncode == 0, (done.stdout + done.stderr)[-600:]


@needs_systemd
@pytest.mark.parametrize("profile", PROFILES)
def test_hardening_readme_has_the_exposure_that_systemd_reports(tmp_path: Path, profile: str) -> None:
    done = analyze(tmp_path, profile, "security", "--offline=true", "--no-pager")
    reported = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    written = re.search(rf"^\| `{profile}`[^|]*\| ([0-9.]+) \|", README, re.M)
    assert reported is not None, done.stderr
    assert written is not None, f"README.md has no figure for {profile}"
    assert reported[1] == written[1]


@needs_systemd
@pytest.mark.parametrize("profile", PROFILES)
def test_hardening_profile_has_only_directives_of_systemd(tmp_path: Path, profile: str) -> None:
    done = analyze(tmp_path, profile, "verify", "--man=no", "--recursive-errors=no")
    assert "Unknown" not in done.stderr, done.stderr
    assert "Failed to parse" not in done.stderr, done.stderr
    assert "ignoring" not in done.stderr, done.stderr
