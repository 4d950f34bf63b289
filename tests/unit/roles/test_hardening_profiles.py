"""The sandbox profiles and their exposure, as systemd counts it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml

ROLE = Path(__file__).resolve().parents[3] / "roles" / "hardening"
TEMPLATE = ROLE / "templates/etc/systemd/system/coldvox-runner@.service.d/50-hardening.conf.j2"
#: The directives of the runner role's unit that change the score.
UNIT = "[Service]\nExecStart=/bin/true\nUser=ci\nGroup=ci\n"
#: Ten times the exposure, the unit of systemd-analyze.
THRESHOLDS = {"strict": 11, "build": 16, "desktop": 25, "containers": 35}


def profiles() -> dict[str, dict[str, object]]:
    """Return the directives of every profile, merged as the role's vars do."""
    data = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    umask = {"UMask": data["__hardening_umask"]}
    built = {
        name: {**data["__hardening_base"], **own, **umask}
        for name, own in data["__hardening_departures"].items()
    }
    return {**built, "off": umask}


def render(profile: str) -> str:
    environment = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["comment"] = "# {}".format
    environment.filters["dictsort"] = lambda mapping: sorted(mapping.items())
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(
        ansible_managed="managed", hardening_profile=profile, __hardening_directives=profiles()[profile]
    )


def analyze(tmp_path: Path, profile: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    unit = tmp_path / "coldvox-sandboxed.service"
    unit.write_text(UNIT + render(profile))
    return subprocess.run(
        ["systemd-analyze", *arguments, str(unit)], capture_output=True, text=True, check=False
    )


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


def test_hardening_profiles_equal_the_choices_of_the_inventory() -> None:
    spec = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    assert set(spec["options"]["hardening_profile"]["choices"]) == set(profiles())


@pytest.mark.parametrize("profile", sorted(profiles()))
def test_hardening_profile_keeps_files_of_a_job_private(profile: str) -> None:
    assert "\nUMask=0077\n" in render(profile)


@pytest.mark.parametrize("profile", sorted(set(profiles()) - {"off"}))
def test_hardening_profile_makes_a_blocked_call_an_error(profile: str) -> None:
    assert "\nSystemCallErrorNumber=EPERM\n" in render(profile)


@needs_systemd
@pytest.mark.parametrize(("profile", "threshold"), THRESHOLDS.items())
def test_hardening_profile_exposure_stays_below_its_threshold(
    tmp_path: Path, profile: str, threshold: int
) -> None:
    done = analyze(tmp_path, profile, "security", "--offline=true", f"--threshold={threshold}", "--no-pager")
    assert done.returncode == 0, (done.stdout + done.stderr)[-600:]


@needs_systemd
@pytest.mark.parametrize("profile", sorted(profiles()))
def test_hardening_profile_has_only_directives_of_systemd(tmp_path: Path, profile: str) -> None:
    done = analyze(tmp_path, profile, "verify", "--man=no", "--recursive-errors=no")
    assert "Unknown" not in done.stderr, done.stderr
    assert "Failed to parse" not in done.stderr, done.stderr
    assert "ignoring" not in done.stderr, done.stderr
