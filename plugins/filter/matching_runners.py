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
  - Returns those runners that have every label a job asks for in C(runs-on), and are of its group where it
    names one. Case does not count. A job for which this is empty waits for a day and is then cancelled.
  - Whether a runner is online or busy does not count either; filter the result where that matters.
options:
  _input:
    description:
      - What stands behind C(runs-on), a label, a list of labels, or a dictionary of C(group) and C(labels).
      - Expressions are refused, since only a run can evaluate them.
    type: raw
    required: true
  runners:
    description:
      - Dictionaries with C(labels), as texts or as GitHub's API gives them, and with C(group) where jobs ask
        for one.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: coldvox.ci.runs_on_labels
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Refuse a label that no runner has
  ansible.builtin.assert:
    that: wanted | coldvox.ci.matching_runners(runners) | length > 0
    fail_msg: No runner has the labels self-hosted and ARM64, so the job would wait for ever.
  vars:
    wanted: [self-hosted, ARM64]
    runners:
      - name: laptop-extra
        labels: [self-hosted, Linux, X64, fedora, nobara]
"""

RETURN = r"""
_value:
  description: The runners that match, as they were given and in their order.
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
    """Return the runners for ``runs_on``; what is no such thing is an error of the template."""
    if not isinstance(runners, (list, tuple)):
        raise AnsibleFilterError(
            f"coldvox.ci.matching_runners takes runners as a list, not as {type(runners).__name__}."
        )
    try:
        return labels.matching_runners(runs_on, runners)
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"matching_runners": matching_runners}
