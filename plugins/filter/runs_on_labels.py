# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: runs_on_labels
short_description: List the labels that the jobs of a workflow ask for
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Reads the text of a GitHub Actions workflow and returns what each of its jobs asks for in C(runs-on), for
    an audit with P(coldvox.ci.matching_runners#filter).
  - Labels that differ only in case are one. An expression such as C(${{ matrix.os }}) is not evaluated; it is
    reported as unknown.
options:
  _input:
    description: The text of one workflow file.
    type: str
    required: true
seealso:
  - plugin: coldvox.ci.matching_runners
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Check that every job can find a runner
  ansible.builtin.assert:
    that: item.labels | coldvox.ci.matching_runners(runners) | length > 0
    fail_msg: "No runner has all labels of the job {{ item.job }}: {{ item.labels | join(', ') }}."
  loop: "{{ lookup('ansible.builtin.file', '.github/workflows/ci.yml') | coldvox.ci.runs_on_labels }}"
  loop_control:
    label: "{{ item.job }}"
  when: "'self-hosted' in item.labels"
  vars:
    runners:
      - name: laptop-extra
        labels: [self-hosted, Linux, X64, fedora, nobara]
"""

RETURN = r"""
_value:
  description: One entry for each job, in the order of the workflow.
  type: list
  elements: dict
  contains:
    job:
      description: The job's key in the workflow.
      type: str
      sample: build
    labels:
      description: The labels that are written out, as they are spelled first.
      type: list
      elements: str
      sample: [self-hosted, Linux]
    group:
      description: The group of runners, empty for none.
      type: str
      sample: ""
    unknown:
      description: Expressions that only a run can evaluate.
      type: list
      elements: str
      sample: ["${{ matrix.os }}"]
    uses:
      description: The reusable workflow whose own jobs have the labels, empty for a job with C(runs-on).
      type: str
      sample: ""
"""

from typing import Any, Callable

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.inventory import labels


def runs_on_labels(workflow: Any) -> list[dict[str, Any]]:
    """Return what each job of ``workflow`` asks for; what is no workflow is an error of the template."""
    if not isinstance(workflow, str):
        raise AnsibleFilterError(
            f"coldvox.ci.runs_on_labels takes the text of a workflow, not {type(workflow).__name__}."
        )
    try:
        return labels.job_labels(yaml.safe_load(workflow))
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        place = f" at line {where.line + 1}" if where else ""
        raise AnsibleFilterError(
            f"The workflow is no YAML{place}; mend the file and read it again."
        ) from error


class FilterModule:
    """The filter as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"runs_on_labels": runs_on_labels}
