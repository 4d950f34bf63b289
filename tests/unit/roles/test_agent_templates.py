"""Files that the role agent renders.

Settings of the programs, tmpfiles and mounts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROLE = Path(__file__).resolve().parents[3] / "roles" / "agent"


def render(name: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader([ROLE / "templates/etc", ROLE / "templates/opt"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,
    )
    environment.filters.update(
        {
            "comment": "# {}".format,
            "basename": os.path.basename,
            "to_nice_json": json.dumps,
            "coldvox.ci.health_policy": dict,
        }
    )
    text: str = environment.get_template(name).render(ansible_managed="kept by Ansible", **values)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to root")
@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="there is no systemd-tmpfiles")
def test_tmpfiles_creates_the_directories_and_removes_nothing(tmp_path: Path) -> None:
    (task,) = yaml.safe_load((ROLE / "tasks/package.yml").read_text(encoding="utf-8"))
    commands = task["coldvox.ci.file_set"]["on_change"]
    (command,) = (argv for argv in commands if argv[0] == "systemd-tmpfiles")
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", tmp_path / "etc" / name)
    (tmp_path / "run" / "agent").mkdir(parents=True)
    for name in ("heal.json", "agent/health-state.json"):
        (tmp_path / "run" / name).touch()
    text = render(
        "tmpfiles.d/coldvox-agent.conf.j2",
        __agent_run_dir="/run",
        __agent_state_dir="/state",
        __agent_group="root",
        __agent_user="root",
        __agent_published=["health.json"],
        __agent_published_dir="/run/agent",
        __agent_metrics_dir="/state/metrics",
        __agent_history_dir="/state/history",
        __agent_lock_dir="/run/locks",
    )
    (tmp_path / "agent.conf").write_text(text)
    options = [word for word in command[1:] if word.startswith("--")]
    subprocess.run(
        ["systemd-tmpfiles", f"--root={tmp_path}", *options, str(tmp_path / "agent.conf")], check=True
    )
    assert {
        str(path.relative_to(tmp_path)) for name in ("run", "state") for path in (tmp_path / name).rglob("*")
    } == {
        "run/agent",
        "run/agent/health-state.json",
        "run/heal.json",
        "run/health.json",
        "run/locks",
        "run/locks/names.lock",
        "state/history",
        "state/metrics",
    }


@pytest.mark.parametrize(("models", "required"), [(["*"], []), (["small", "large"], ["small", "large"])])
def test_agent_json_holds_the_inputs_and_requires_the_models_of_jobs(
    models: list[str], required: list[str]
) -> None:
    given = {
        "agent_github_url": "https://github.example",
        "agent_work_dir": "/srv/work",
        "agent_interval_seconds": 15,
        "agent_runs_on": ["self-hosted", "nobara"],
        "agent_fallback_runs_on": ["ubuntu-24.04"],
    }
    text = render(
        "coldvox-ci/agent.json.j2",
        inventory_hostname="laptop",
        agent_policy={},
        agent_job_models=models,
        __agent_state_dir="/state",
        **given,
    )
    settings = json.loads(text)
    assert {f"agent_{key}": settings[key] for key in settings if f"agent_{key}" in given} == given
    assert settings["models"] == required
    assert settings["rust_dirs"] == ["/state/rustup", "/state/cargo"]


def test_a_mount_goes_also_while_something_there_is_open() -> None:
    values = {"__agent_lock_dir": "/r/locks", "__agent_jobs_dir": "/r/jobs"}
    unit = render("systemd/system/run.mount.j2", where="/r/jobs", limits="size=1M", **values)
    assert "\nLazyUnmount=yes\n" in unit.partition("[Mount]")[2].partition("[Install]")[0]


def test_hook_script_has_an_environment_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "runnerctl").write_text("#!/bin/sh\nexec /usr/bin/env\n")
    (tmp_path / "runnerctl").chmod(0o755)
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__agent_hook_variables"]
    library = ROLE.parents[1] / "plugins/module_utils/agent"
    read = "".join((library / name).read_text() for name in ("hooks/job.py", "cli/job.py"))
    assert set(variables) == set(re.findall(r'"((?:GITHUB|RUNNER)_[A-Z_]+)"', read))
    script = render(
        "coldvox-ci/hooks/job.sh.j2",
        event="started",
        agent_hook_timeout_seconds=5,
        __agent_command=tmp_path / "runnerctl",
        __agent_hook_variables=variables,
    )
    (tmp_path / "job.sh").write_text(script)
    hostile = {
        "LD_PRELOAD": "/nowhere.so",
        "PYTHONPATH": "/tmp",
        "ENV": "/tmp/x",
        "PATH": "/tmp:/usr/bin:/bin",
    }
    given = {"RUNNER_NAME": "one", "GITHUB_WORKFLOW": 'two "words"; $(false)', "GITHUB_RUN_ID": "1"}
    done = subprocess.run(
        ["bash", "-e", tmp_path / "job.sh"],
        env={**hostile, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    for name in ("PWD", "SHLVL", "_"):  # of the stand-in's own shell
        seen.pop(name, None)
    assert seen == {**dict.fromkeys(variables, ""), **given, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
