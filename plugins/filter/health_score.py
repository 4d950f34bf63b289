# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_score
short_description: Judge how fit a runner host is
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Turns one sample of M(coldvox.ci.runner_metrics) into a score from 0 to 100 and a recommendation where
    jobs should go.
  - Every host starts at 100 and loses points for what its policy names. Comparisons are strict, and only the
    worst step of a signal counts.
  - A signal that is null or missing costs nothing and is named in RV(_value.unknown).
options:
  _input:
    description: The sample, RV(coldvox.ci.runner_metrics#module:metrics) of the module.
    type: dict
    required: true
  policy:
    description:
      - What differs from the built-in policy. A signal under V(penalties) replaces the steps of that signal
        only, an empty list switches it off; V(verdicts) and V(fallback_allowed) replace the built-in ones.
      - A step is V(above) or V(below) with a number or V(equals) with a truth value, and V(points) to
        subtract. P(coldvox.ci.health_policy#filter) tells the signals and what else a policy may have.
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

- name: Refuse to go on with an unfit host
  ansible.builtin.assert:
    that: (sampled.metrics | coldvox.ci.health_score).verdict != 'unhealthy'

- name: Judge a builder with twelve threads, where more load is normal
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
      description: What is left of 100 points, never below 0.
      type: int
      sample: 80
    verdict:
      description: V(healthy) from 75, V(degraded) from 50, else V(unhealthy); the policy may have others.
      type: str
      sample: healthy
    recommendation:
      description: V(use-self-hosted), V(use-self-hosted-with-caution) or V(use-fallback).
      type: str
      sample: use-self-hosted
    strategy:
      description:
        - V(self-hosted-primary), V(self-hosted-monitored), V(cloud-fallback), or V(force-self-hosted) where
          the policy allows no fallback.
      type: str
      sample: self-hosted-primary
    penalties:
      description: What cost points, in the order of the policy.
      type: list
      elements: dict
      sample: [{signal: load_1m, value: 5.2, threshold: 4.0, points: 20}]
    unknown:
      description: Signals of the policy that the sample does not know.
      type: list
      elements: str
      sample: [network_reachable]
"""

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible_collections.coldvox.ci.plugins.module_utils import health
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import require_mappings, template_errors


def health_score(metrics: Any, policy: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
    """Return the verdict on ``metrics``; what cannot be judged is an error of the template."""
    require_mappings("health_score", metrics=metrics, policy={} if policy is None else policy)
    with template_errors():
        return health.health_score(metrics, policy)


class FilterModule:
    """The filter as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"health_score": health_score}
