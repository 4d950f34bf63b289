"""The directories, links and users that the role and the library share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.coldvox.ci.plugins.module_utils.agent.hooks import spool
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths

ROLE = Path(__file__).resolve().parents[3] / "roles" / "agent"
PATHS = Paths(run="/r", state="/s")


def variable(name: str) -> Any:
    """Return the role's variable, rendered with the directories of ``PATHS``."""
    text = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))[name]
    if not isinstance(text, str):
        return text
    return text.replace("{{ __agent_run_dir }}", PATHS.run).replace("{{ __agent_state_dir }}", PATHS.state)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("__agent_lock_dir", PATHS.locks),
        ("__agent_jobs_dir", PATHS.jobs),
        ("__agent_results_dir", PATHS.results),
        ("__agent_published_dir", os.path.dirname(PATHS.sample)),
        ("__agent_published_dir", os.path.dirname(PATHS.health)),
        ("__agent_published_dir", os.path.dirname(PATHS.health_state)),
        ("__agent_metrics_dir", os.path.dirname(PATHS.samples)),
        ("__agent_metrics_dir", os.path.dirname(PATHS.prometheus)),
        ("__agent_history_dir", os.path.dirname(PATHS.history)),
    ],
)
def test_agent_directories_equal_those_of_the_library(name: str, path: str) -> None:
    assert variable(name) == path


def test_agent_links_lead_to_files_that_the_library_publishes() -> None:
    published = [os.path.basename(path) for path in (PATHS.health, PATHS.sample)]
    assert variable("__agent_published") == published


def test_agent_user_equals_that_of_the_library() -> None:
    assert variable("__agent_user") == spool.AGENT
