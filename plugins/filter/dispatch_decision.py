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
  - Weighs a sample of M(coldvox.ci.runner_metrics), what is known of the job on both kinds of runner, and the
    hour, into a score from -100 to 100. A positive one speaks for the self-hosted runner.
  - "Success: the difference of the two rates, times 40 / 100. Duration: the time that the faster kind saves,
    as a share of the slower one's, times 30. Both are cut to whole points toward zero."
  - A load below 2.0 gives 20 points, above 6.0 costs 20; used memory below 50 % gives 10, above 80 % costs
    10; more than 2 active jobs cost 15; the hours from 9 to 17 cost 10. All comparisons are strict.
  - A value that is null or missing neither gives nor costs points.
options:
  _input:
    description: The sample, RV(coldvox.ci.runner_metrics#module:metrics) of the module.
    type: dict
    required: true
  history:
    description:
      - What is known of the job, under V(self_hosted) and V(cloud). What is missing counts as 100 % and 300
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
    description: The local hour of the day, from 0 to 23. Without it no hour counts as a busy one.
    type: int
  policy:
    description:
      - What differs from the built-in policy. V(defaults), V(weights), V(signals) and V(peak_hours) are
        replaced by entry, V(recommendations) as a whole.
      - A signal is any key of the sample with a list of steps, each V(above) or V(below) with a number, and
        V(points); the first step that applies counts, an empty list switches the signal off.
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

- name: The same for a machine that nobody else uses by day
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
      description: What was weighed, with the points that each gave or cost.
      type: list
      elements: dict
      sample: [{factor: load_1m, value: 0.7, points: 20}]
"""

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible_collections.coldvox.ci.plugins.module_utils import dispatch
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import require_mappings, template_errors


def dispatch_decision(
    metrics: Any,
    history: Optional[Mapping[str, Any]] = None,
    hour: Optional[int] = None,
    policy: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """Return the decision; what cannot be judged is an error of the template."""
    require_mappings("dispatch_decision", metrics=metrics, history=history or {}, policy=policy or {})
    with template_errors():
        return dispatch.dispatch_decision(metrics, history, hour, policy)


class FilterModule:
    """The filter as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"dispatch_decision": dispatch_decision}
