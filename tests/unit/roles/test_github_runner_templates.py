"""The files of the role for needrestart and SELinux, which no test host has."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parents[3] / "roles" / "github_runner" / "templates" / "etc"
VALUES = {
    "ansible_managed": "kept by Ansible",
    "__github_runner_base_dir": "/var/lib/actions-runner",
    "__github_runner_store_dir": "/var/cache/coldvox-ci",
}
TREE = f"/var/cache/coldvox-ci/trees/{'ab' * 32}"


def render(name: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, autoescape=False
    )
    environment.filters.update(comment="# {}".format, regex_escape=re.escape)
    text: str = environment.get_template(name).render(**VALUES)
    return text


def rules() -> list[Any]:
    lines = [
        shlex.split(line) for line in render("coldvox-ci/selinux/coldvox-runner.semanage.j2").splitlines()
    ]
    assert all(line[:6] == ["fcontext", "-a", "-f", "a", "-t", "bin_t"] for line in lines)
    return [re.compile(line[6]) for line in lines]


@pytest.mark.parametrize("root", ["/var/lib/actions-runner/laptop-extra", TREE])
@pytest.mark.parametrize(
    ("path", "program"),
    [
        ("run.sh", True),
        ("bin/Runner.Listener", True),
        ("bin/standin/loop.py", True),
        ("externals/node20/bin/node", True),
        ("externals/node20/LICENSE", False),
        (".env", False),
        ("_work/repository/run.sh", False),
        ("_work/repository/bin/tool", False),
        ("_home/.cargo/bin/cargo", False),
    ],
)
def test_selinux_rules_cover_programs_of_the_runner_only(root: str, path: str, program: bool) -> None:
    assert any(rule.fullmatch(f"{root}/{path}") for rule in rules()) is program


@pytest.mark.parametrize(
    ("unit", "left"),
    [("coldvox-runner@laptop-extra.service", "0"), ("ssh.service", ""), ("my-coldvox-runner@a.service", "")],
)
def test_needrestart_leaves_runners_alone(unit: str, left: str) -> None:
    """Read the file by Perl, as needrestart does."""
    asks = "for (keys %{$nrconf{override_rc}}) { print $nrconf{override_rc}{$_} if $ARGV[0] =~ /$_/ }"
    program = render("needrestart/conf.d/coldvox-runner.conf.j2") + asks
    done = subprocess.run(["perl", "-e", program, unit], capture_output=True, text=True, check=True)
    assert done.stdout == left
