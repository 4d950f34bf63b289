# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_check
short_description: Rate a runner host for a person
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Turns one sample of M(coldvox.ci.runner_metrics) into a level with an exit code and a list of findings.
  - Load above 10, and memory or disk above 90 %, are critical. Load above 6, memory or disk above 80 %, and
    no listener are warnings. Each of them is one finding.
  - Comparisons are strict, and only the worst step of a signal counts.
  - A signal that is null or missing gives no finding and is named in RV(_value.unknown).
options:
  _input:
    description: The sample, RV(coldvox.ci.runner_metrics#module:metrics) of the module.
    type: dict
    required: true
  policy:
    description:
      - The differences from the built-in policy, as for P(coldvox.ci.health_policy#filter).
      - The steps of this check are under V(check). Each is V(above) or V(below) with a number or V(equals)
        with a boolean, and V(severity), which is V(warning) or V(critical).
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

- name: Fail before a release if the host is critical
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
  description: The rating of the host.
  type: dict
  contains:
    level:
      description: V(EXCELLENT) without findings, V(CONCERNING) with one or two, V(CRITICAL) with more.
      type: str
      sample: CONCERNING
    exit_code:
      description: V(0), V(1) or V(2), the same as the exit code of C(runnerctl health --check).
      type: int
      sample: 1
    findings:
      description: The findings, in the order of the policy.
      type: list
      elements: dict
      sample: [{signal: load_1m, value: 7.5, threshold: 6.0, severity: warning}]
    unknown:
      description: Signals of the check that the sample does not have.
      type: list
      elements: str
      sample: [listeners]
"""

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible_collections.coldvox.ci.plugins.module_utils.health import score
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import (
    require_mappings,
    template_errors,
)


def health_check(metrics: Any, policy: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
    """Return the rating of ``metrics``.

    Raises AnsibleFilterError for input that cannot be judged.
    """
    require_mappings("health_check", metrics=metrics, policy={} if policy is None else policy)
    with template_errors():
        return score.health_check(metrics, policy)


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"health_check": health_check}
