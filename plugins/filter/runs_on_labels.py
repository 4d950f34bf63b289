# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: runs_on_labels
short_description: List the labels that the jobs of a workflow need
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Reads the text of a GitHub Actions workflow and returns the labels in C(runs-on) of each job, for an audit
    with P(coldvox.ci.matching_runners#filter).
  - Labels that differ only in case count as the same label. An expression such as C(${{ matrix.os }}) is not
    evaluated but reported as unknown.
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
      description: The literal labels, in their first spelling.
      type: list
      elements: str
      sample: [self-hosted, Linux]
    group:
      description: The runner group; empty if the job names none.
      type: str
      sample: ""
    unknown:
      description: Expressions that only a run can evaluate.
      type: list
      elements: str
      sample: ["${{ matrix.os }}"]
    uses:
      description: The reusable workflow whose jobs have the labels; empty for a job with C(runs-on).
      type: str
      sample: ""
"""

from typing import Any, Callable, Optional

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.inventory import labels


class _Loader(yaml.BaseLoader):
    """YAML as GitHub reads it: every scalar is text, and an anchor may be defined again (YAML 1.2, 6.9.2)."""

    def compose_node(self, parent: Optional[yaml.Node], index: int) -> Optional[yaml.Node]:
        """Forget an earlier anchor of the same name, which PyYAML rejects."""
        if not self.check_event(yaml.AliasEvent):
            self.anchors.pop(self.peek_event().anchor, None)  # type: ignore[no-untyped-call]  # stubs
        return super().compose_node(parent, index)


def runs_on_labels(workflow: Any) -> list[dict[str, Any]]:
    """Return the labels of each job in the text ``workflow``.

    Raises AnsibleFilterError if the text is not a workflow.
    """
    if not isinstance(workflow, str):
        raise AnsibleFilterError(
            f"The filter coldvox.ci.runs_on_labels takes a text, not {type(workflow).__name__}; pass the "
            "content of a workflow file."
        )
    try:
        return labels.job_labels(yaml.load(workflow, _Loader))  # noqa: S506  # it makes texts only
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: no letter has that number
        where = getattr(error, "problem_mark", None)
        place = f" at line {where.line + 1}" if where else ""
        raise AnsibleFilterError(f"The workflow is not valid YAML{place}; correct the file.") from error


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"runs_on_labels": runs_on_labels}
