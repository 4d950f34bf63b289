# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: matching_runners
short_description: Find the runners that could take a job
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns the runners that have every label of a job's C(runs-on), and belong to its group if it names one.
    Case does not matter. A job without a matching runner waits for a day and is then cancelled.
  - The filter ignores whether a runner is online or busy. Filter the result if that matters.
options:
  _input:
    description:
      - The value of C(runs-on), that is, a label, a list of labels, or a dictionary of C(group) and
        C(labels).
      - An expression is an error, because only a run can evaluate it.
    type: raw
    required: true
  runners:
    description:
      - Dictionaries with C(labels), as texts or as GitHub's API returns them, and with C(group) if jobs name
        one.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: coldvox.ci.runs_on_labels
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Fail if no runner has the labels
  ansible.builtin.assert:
    that: wanted | coldvox.ci.matching_runners(runners) | length > 0
    fail_msg: No runner has the labels self-hosted and ARM64, so the job would wait for a day.
  vars:
    wanted: [self-hosted, ARM64]
    runners:
      - name: laptop-extra
        labels: [self-hosted, Linux, X64, fedora, nobara]
"""

RETURN = r"""
_value:
  description: The matching runners, unchanged and in the given order.
  type: list
  elements: dict
  sample: [{name: laptop-extra, labels: [self-hosted, Linux, X64]}]
"""

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.inventory import labels


def matching_runners(runs_on: Any, runners: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the runners that match ``runs_on``.

    Raises AnsibleFilterError if the input is not of these types.
    """
    if not isinstance(runners, (list, tuple)):
        raise AnsibleFilterError(
            f"The filter coldvox.ci.matching_runners takes runners as a list, not as "
            f"{type(runners).__name__}; pass a list of dictionaries."
        )
    try:
        return labels.matching_runners(runs_on, runners)
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"matching_runners": matching_runners}
