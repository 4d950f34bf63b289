# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: queue_advice
short_description: Advise whether a host should take one more job
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Turns one sample of M(coldvox.ci.runner_metrics) into one word for the program that starts jobs.
  - V(throttle) means that the load of the last minute is above 8.0 and more than one job runs. Otherwise
    V(ready) means that fewer than O(max_concurrent) jobs run. Otherwise the result is V(busy).
  - A load or a number of jobs that is null counts as 0, as it does for P(coldvox.ci.health_score#filter).
options:
  _input:
    description: The sample, RV(coldvox.ci.runner_metrics#module:metrics) of the module.
    type: dict
    required: true
  max_concurrent:
    description: The number of jobs that the host may run at the same time.
    type: int
    default: 3
seealso:
  - plugin: coldvox.ci.dispatch_decision
    plugin_type: filter
  - plugin: coldvox.ci.runner_metrics
    plugin_type: module
"""

EXAMPLES = r"""
- name: Sample the host
  coldvox.ci.runner_metrics:
  register: sampled

- name: Start the nightly build only if the host has capacity
  ansible.builtin.command: gh workflow run nightly.yml
  changed_when: true
  when: sampled.metrics | coldvox.ci.queue_advice(max_concurrent=4) == 'ready'
"""

RETURN = r"""
_value:
  description: V(throttle), V(ready) or V(busy).
  type: str
  sample: ready
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.health import dispatch
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import (
    require_mappings,
    template_errors,
)


def queue_advice(metrics: Any, max_concurrent: int = dispatch.MOST_CONCURRENT) -> str:
    """Return the advice for ``metrics``.

    Raises AnsibleFilterError for input that cannot be judged.
    """
    require_mappings("queue_advice", metrics=metrics)
    if not isinstance(max_concurrent, int) or isinstance(max_concurrent, bool) or max_concurrent < 1:
        raise AnsibleFilterError(
            f"The filter coldvox.ci.queue_advice cannot use max_concurrent {max_concurrent!r}; pass a whole "
            "number of 1 or more."
        )
    with template_errors():
        return dispatch.queue_advice(metrics, max_concurrent)


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"queue_advice": queue_advice}
