# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of ``coldvox.ci.github_jobs_info``; nothing runs on the host."""

from __future__ import annotations

from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Client
from ansible_collections.coldvox.ci.plugins.module_utils.github.workflow_runs import (
    MOST_RUNS,
    WorkflowRuns,
    check_since,
    run_view,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_action import GithubAction


class ActionModule(GithubAction):
    """The action that lists workflow runs and their jobs.

    It takes one request per hundred runs, and one per run.
    """

    SPEC = {  # noqa: RUF012 - the base class says ClassVar
        "since": {"type": "str"},
        "limit": {"type": "int", "default": 50},
    }

    def perform(self, client: Client, options: dict[str, Any]) -> dict[str, Any]:
        """Return runs and jobs, newest first."""
        limit = options["limit"]
        if not 1 <= limit <= MOST_RUNS:
            raise CiError(
                f"The option limit is {limit}, but GitHub lists 1 to {MOST_RUNS} runs; give a number "
                "in that range."
            )
        since = check_since(options["since"]) if options["since"] else ""
        runs = WorkflowRuns(client)
        latest = runs.latest(since=since, limit=limit)
        return {
            "changed": False,
            "runs": [run_view(run) for run in latest],
            "jobs": [job for run in latest for job in runs.jobs(run)],
        }
