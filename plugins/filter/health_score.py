# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_score
short_description: Compute the health score of a runner host
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Turns one sample of M(coldvox.ci.runner_metrics) into a score from 0 to 100 and a recommendation where
    jobs should run.
  - Every host starts at 100 and loses the points that its policy names. Comparisons are strict, and only the
    worst step of a signal counts.
  - A signal that is null or missing costs no points and is named in RV(_value.unknown).
options:
  _input:
    description: The sample, RV(coldvox.ci.runner_metrics#module:metrics) of the module.
    type: dict
    required: true
  policy:
    description:
      - The differences from the built-in policy. A signal under V(penalties) replaces the steps of that
        signal only. An empty list switches the signal off. V(verdicts) and V(fallback_allowed) replace the
        built-in ones.
      - A step is V(above) or V(below) with a number or V(equals) with a boolean, and V(points) to subtract.
        P(coldvox.ci.health_policy#filter) lists the signals and the other settings of a policy.
    type: dict
seealso:
  - plugin: coldvox.ci.health_policy
    plugin_type: filter
  - plugin: coldvox.ci.runner_metrics
    plugin_type: module
"""

EXAMPLES = r"""
- name: Sample the host
  coldvox.ci.runner_metrics:
  register: sampled

- name: Fail if the host is unhealthy
  ansible.builtin.assert:
    that: (sampled.metrics | coldvox.ci.health_score).verdict != 'unhealthy'

- name: Compute the score of a builder with twelve threads, where more load is normal
  ansible.builtin.debug:
    msg: "{{ sampled.metrics | coldvox.ci.health_score(policy=builder_policy) }}"
  vars:
    builder_policy:
      fallback_allowed: false
      penalties:
        load_1m:
          - above: 16
            points: 40
          - above: 12
            points: 20
        psi_io_some_avg60:
          - above: 40
            points: 20
"""

RETURN = r"""
_value:
  description: The verdict.
  type: dict
  contains:
    score:
      description: The remaining points of 100, at least 0.
      type: int
      sample: 80
    verdict:
      description: V(healthy) from 75, V(degraded) from 50, else V(unhealthy); the policy can change them.
      type: str
      sample: healthy
    recommendation:
      description: V(use-self-hosted), V(use-self-hosted-with-caution) or V(use-fallback).
      type: str
      sample: use-self-hosted
    strategy:
      description:
        - V(self-hosted-primary), V(self-hosted-monitored), V(cloud-fallback), or V(force-self-hosted) if the
          policy allows no fallback.
      type: str
      sample: self-hosted-primary
    penalties:
      description: The signals that cost points, in the order of the policy.
      type: list
      elements: dict
      sample: [{signal: load_1m, value: 5.2, threshold: 4.0, points: 20}]
    unknown:
      description: Signals of the policy that the sample does not have.
      type: list
      elements: str
      sample: [network_reachable]
"""

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible_collections.coldvox.ci.plugins.module_utils.health import score
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import (
    require_mappings,
    template_errors,
)


def health_score(metrics: Any, policy: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
    """Return the verdict on ``metrics``.

    Raises AnsibleFilterError for input that cannot be judged.
    """
    require_mappings("health_score", metrics=metrics, policy={} if policy is None else policy)
    with template_errors():
        return score.health_score(metrics, policy)


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"health_score": health_score}
