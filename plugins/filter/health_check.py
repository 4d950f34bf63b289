# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_check
short_description: Say how a runner host looks to a person
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Turns one sample of M(coldvox.ci.runner_metrics) into a level with an exit code, and what was found.
  - Load above 10, memory or disk above 90 % are critical; load above 6, memory or disk above 80 % and no
    listener are warnings. Each counts one.
  - Comparisons are strict, and only the worst step of a signal counts.
  - A signal that is null or missing finds nothing and is named in RV(_value.unknown).
options:
  _input:
    description: The sample, RV(coldvox.ci.runner_metrics#module:metrics) of the module.
    type: dict
    required: true
  policy:
    description:
      - What differs from the built-in policy, as for P(coldvox.ci.health_policy#filter).
      - The steps of this check are under V(check); each is V(above) or V(below) with a number or V(equals)
        with a truth value, and V(severity), V(warning) or V(critical).
    type: dict
seealso:
  - plugin: coldvox.ci.health_score
    plugin_type: filter
  - plugin: coldvox.ci.health_policy
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Sample the host
  coldvox.ci.runner_metrics:
  register: sampled

- name: Stop before a release when the host looks critical
  ansible.builtin.assert:
    that: (sampled.metrics | coldvox.ci.health_check).exit_code < 2

- name: Warn of pressure as well
  ansible.builtin.debug:
    msg: "{{ sampled.metrics | coldvox.ci.health_check(policy=with_pressure) }}"
  vars:
    with_pressure:
      check:
        psi_memory_some_avg60:
          - above: 20
            severity: warning
"""

RETURN = r"""
_value:
  description: How the host looks.
  type: dict
  contains:
    level:
      description: V(EXCELLENT) without findings, V(CONCERNING) with one or two, V(CRITICAL) with more.
      type: str
      sample: CONCERNING
    exit_code:
      description: V(0), V(1) or V(2), as C(runnerctl health --check) ends with.
      type: int
      sample: 1
    findings:
      description: What was found, in the order of the policy.
      type: list
      elements: dict
      sample: [{signal: load_1m, value: 7.5, threshold: 6.0, severity: warning}]
    unknown:
      description: Signals of the check that the sample does not know.
      type: list
      elements: str
      sample: [listeners]
"""

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible_collections.coldvox.ci.plugins.module_utils import health
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import require_mappings, template_errors


def health_check(metrics: Any, policy: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
    """Return how ``metrics`` look; what cannot be judged is an error of the template."""
    require_mappings("health_check", metrics=metrics, policy={} if policy is None else policy)
    with template_errors():
        return health.health_check(metrics, policy)


class FilterModule:
    """The filter as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"health_check": health_check}
