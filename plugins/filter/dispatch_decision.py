# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: dispatch_decision
short_description: Decide whether a job should run on this host or on a hosted runner
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Computes a score from -100 to 100 from a sample of M(coldvox.ci.runner_metrics), the history of the job on
    both kinds of runner, and the hour. A positive score favours the self-hosted runner.
  - "Success: the difference of the two success rates, times 40 / 100. Duration: the time that the faster kind
    saves, as a share of the slower kind's time, times 30. Both are rounded toward zero."
  - A load below 2.0 adds 20 points, above 6.0 subtracts 20. Used memory below 50 % adds 10, above 80 %
    subtracts 10. More than 2 active jobs subtract 15. The hours from 9 to 17 subtract 10. All comparisons
    are strict.
  - A value that is null or missing changes nothing.
options:
  _input:
    description: The sample, RV(coldvox.ci.runner_metrics#module:metrics) of the module.
    type: dict
    required: true
  history:
    description:
      - The history of the job, under V(self_hosted) and V(cloud). Missing values count as 100 % and 300
        seconds on the self-hosted runner, and as 95 % and 480 seconds in the cloud.
    type: dict
    suboptions:
      self_hosted:
        description: V(success_rate) in percent and V(avg_duration) in seconds on self-hosted runners.
        type: dict
      cloud:
        description: V(success_rate) in percent and V(avg_duration) in seconds on hosted runners.
        type: dict
  hour:
    description: The local hour of the day, from 0 to 23. By default the hour does not count.
    type: int
  policy:
    description:
      - The differences from the built-in policy. Single entries of V(defaults), V(weights), V(signals) and
        V(peak_hours) replace the built-in ones. V(recommendations) replaces the whole list.
      - A signal is any key of the sample with a list of steps, each V(above) or V(below) with a number, and
        V(points). The first step that applies counts. An empty list switches the signal off.
    type: dict
seealso:
  - plugin: coldvox.ci.health_score
    plugin_type: filter
  - plugin: coldvox.ci.queue_advice
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Sample the host
  coldvox.ci.runner_metrics:
  register: sampled

- name: Decide where the next build should go
  ansible.builtin.debug:
    msg: "{{ sampled.metrics | coldvox.ci.dispatch_decision(history=build, hour=now().hour) }}"
  vars:
    build:
      self_hosted: {success_rate: 98, avg_duration: 412}
      cloud: {success_rate: 96, avg_duration: 1130}

- name: Decide for a machine that no person uses by day
  ansible.builtin.debug:
    msg: "{{ sampled.metrics | coldvox.ci.dispatch_decision(hour=12, policy={'peak_hours': {'points': 0}}) }}"
"""

RETURN = r"""
_value:
  description: The decision.
  type: dict
  contains:
    recommendation:
      description:
        - V(use-self-hosted) above 25, V(use-self-hosted-with-monitoring) above 0, V(use-cloud-fallback) above
          -25, else V(force-cloud-fallback).
      type: str
      sample: use-self-hosted
    confidence:
      description: V(HIGH) for the outer two recommendations, else V(MEDIUM).
      type: str
      sample: HIGH
    score:
      description: The sum of all points, from -100 to 100.
      type: int
      sample: 43
    factors:
      description: The values that counted, with the points of each.
      type: list
      elements: dict
      sample: [{factor: load_1m, value: 0.7, points: 20}]
"""

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible_collections.coldvox.ci.plugins.module_utils.health import dispatch
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import (
    require_mappings,
    template_errors,
)


def dispatch_decision(
    metrics: Any,
    history: Optional[Mapping[str, Any]] = None,
    hour: Optional[int] = None,
    policy: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """Return the decision.

    Raises AnsibleFilterError for input that cannot be judged.
    """
    require_mappings("dispatch_decision", metrics=metrics, history=history or {}, policy=policy or {})
    with template_errors():
        return dispatch.dispatch_decision(metrics, history, hour, policy)


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"dispatch_decision": dispatch_decision}
