# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_jobs_info
short_description: List the workflow jobs of a repository with their times
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Lists the latest workflow runs of a repository, and their jobs in all attempts, with the queue time,
    duration, runner and result of each job.
  - C(runnerctl history) can import the result as JSON.
  - Takes one request per hundred runs, and one per run for its jobs.
  - Runs only on the controller and does not contact the host.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
  - coldvox.ci.attributes.actiongroup_github
  - coldvox.ci.github
options:
  since:
    description: List only runs created at or after this UTC date or time, such as V(2026-11-21T12:00:00Z).
    type: str
  limit:
    description: The number of runs to list, newest first; at most 1000.
    type: int
    default: 50
"""

EXAMPLES = r"""
- name: List the jobs of this month
  coldvox.ci.github_jobs_info:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_actions_token }}"
    since: "2026-11-01"
    limit: 200
  register: done

- name: Show the job that waited longest
  ansible.builtin.debug:
    msg: "{{ done.jobs | rejectattr('queued_seconds', 'none') | sort(attribute='queued_seconds') | last }}"
"""

RETURN = r"""
runs:
  description: The runs, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the run.
      type: int
    run_attempt:
      description: Number of its latest attempt.
      type: int
    workflow:
      description: Name of the workflow.
      type: str
    event:
      description: The event that triggered it.
      type: str
    branch:
      description: The branch of the run.
      type: str
    status:
      description: As for a job.
      type: str
    result:
      description: As for a job.
      type: str
    created_at:
      description: When it was created (UTC).
      type: str
    url:
      description: Its page.
      type: str
jobs:
  description: The jobs of these runs.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the job.
      type: int
    run_id:
      description: Id of its run.
      type: int
    run_attempt:
      description: The attempt of the run that it belongs to.
      type: int
    repository:
      description: The repository, as C(owner/name).
      type: str
    workflow:
      description: Name of the workflow.
      type: str
    name:
      description: Name of the job as GitHub shows it.
      type: str
    event:
      description: The event that triggered the run.
      type: str
    branch:
      description: The branch of the run.
      type: str
    status:
      description: V(queued), V(in_progress), V(completed), or another status of GitHub for a waiting job.
      type: str
    result:
      description: V(success), V(failure), V(cancelled), V(skipped), V(timed_out) …; empty before it ends.
      type: str
    labels:
      description: The labels of its C(runs-on).
      type: list
      elements: str
    hosted:
      description:
        - Whether a GitHub-hosted runner has it, judged by the runner's group. Before it starts, whether
          V(self-hosted) is missing in C(labels).
      type: bool
    runner_name:
      description: The runner; empty before it starts.
      type: str
    runner_group:
      description: The runner's group; empty before it starts.
      type: str
    created_at:
      description: When it was queued (UTC).
      type: str
    started_at:
      description: When a runner started it (UTC); empty before that, and for a skipped job.
      type: str
    completed_at:
      description: When it ended (UTC); empty before that.
      type: str
    queued_seconds:
      description: From C(created_at) to C(started_at); null before it starts.
      type: float
    duration_seconds:
      description: From C(started_at) to C(completed_at); null before it ends.
      type: float
    url:
      description: Its page.
      type: str
  sample:
    - id: 4711
      run_id: 4700
      run_attempt: 1
      repository: Coldaine/ColdVox
      workflow: CI
      name: build
      event: push
      branch: main
      status: completed
      result: success
      labels: [self-hosted, fedora]
      hosted: false
      runner_name: laptop-extra
      runner_group: Default
      created_at: "2026-11-21T12:00:00Z"
      started_at: "2026-11-21T12:00:04Z"
      completed_at: "2026-11-21T12:03:10Z"
      queued_seconds: 4.0
      duration_seconds: 186.0
      url: https://github.com/Coldaine/ColdVox/actions/runs/4700/job/4711
"""
