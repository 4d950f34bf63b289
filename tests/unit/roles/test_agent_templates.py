"""The tmpfiles and mount units of the role agent."""

from __future__ import annotations

import os
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
        loader=FileSystemLoader(ROLE / "templates" / "etc"),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,
    )
    environment.filters.update(comment="# {}".format, basename=os.path.basename)
    text: str = environment.get_template(name).render(ansible_managed="kept by Ansible", **values)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to root")
@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="there is no systemd-tmpfiles")
def test_tmpfiles_removes_the_old_health_state_after_the_services_stop(tmp_path: Path) -> None:
    """Remove it after the services have stopped, and remove nothing else."""
    (task,) = yaml.safe_load((ROLE / "tasks/package.yml").read_text(encoding="utf-8"))
    commands = task["coldvox.ci.file_set"]["on_change"]
    (command,) = (argv for argv in commands if argv[0] == "systemd-tmpfiles")
    (stop,) = (argv for argv in commands if argv[:2] == ["systemctl", "stop"])
    assert commands.index(stop) < commands.index(command)
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", tmp_path / "etc" / name)
    (tmp_path / "run" / "agent").mkdir(parents=True)
    for name in ("health-state.json", "heal.json", "agent/health-state.json"):
        (tmp_path / "run" / name).touch()
    text = render(
        "tmpfiles.d/coldvox-agent.conf.j2",
        agent_run_dir="/run",
        agent_state_dir="/state",
        agent_group="root",
        agent_locks=["one"],
        __agent_user="root",
        __agent_published=["health.json"],
        __agent_published_dir="/run/agent",
        __agent_metrics_dir="/state/metrics",
        __agent_lock_dir="/run/locks",
    )
    (tmp_path / "agent.conf").write_text(text)
    options = [word for word in command[1:] if word.startswith("--")]
    subprocess.run(
        ["systemd-tmpfiles", f"--root={tmp_path}", *options, str(tmp_path / "agent.conf")], check=True
    )
    left = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*")}
    assert left == {
        "agent",
        "agent/health-state.json",
        "heal.json",
        "health.json",
        "locks",
        "locks/one.lock",
    }


def test_mount_unit_unmounts_lazily() -> None:
    values = {"__agent_lock_dir": "/r/locks", "__agent_jobs_dir": "/r/jobs"}
    unit = render("systemd/system/run.mount.j2", where="/r/jobs", limits="size=1M", **values)
    assert "\nLazyUnmount=yes\n" in unit.partition("[Mount]")[2].partition("[Install]")[0]
