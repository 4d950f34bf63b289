# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_policy
short_description: Complete a health policy, or reject a wrong one
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Adds the default values to a policy. A setting without a meaning, for example a signal that no sample has,
    is an error.
  - >-
    Signals of every sample: V(load_1m), V(cpu_percent), V(memory_used_percent), V(swap_used_percent),
    V(disk_used_percent), V(disk_free_bytes), V(active_jobs), V(listeners), V(model_cache_available),
    V(network_reachable), V(psi_cpu_some_avg60), V(psi_memory_some_avg60), V(psi_io_some_avg60).
  - >-
    Signals that C(runnerctl health) reads on the host only if a policy names them: V(clock_synchronized),
    V(clock_skew_seconds), V(runner_age_days), V(listeners_dead), V(listeners_deaf), V(cache_damaged),
    V(on_battery), V(battery_percent), V(temperature_celsius), V(oom_kills).
options:
  _input:
    description:
      - The differences from the built-in policy.
      - V(penalties) holds the steps for the score by signal, each V(above) or V(below) with a number or
        V(equals) with a boolean, and V(points). An empty list switches a signal off.
      - V(check) holds the same for the health check, with V(severity) instead of points.
      - V(also) lists further signals, which are judged by the steps that this collection suggests.
      - V(load_reference_cores) scales the load's thresholds, which then apply to a machine with that number
        of cores. With V(1) they are per core.
      - V(hysteresis) holds V(fall_after) and V(rise_after), the numbers of consecutive checks that must agree
        before the published verdict falls or rises.
      - V(valid_seconds) is the time that a published verdict stays valid. V(probe) holds V(url) and
        V(timeout_seconds) of the reachability test.
      - V(verdicts) and V(fallback_allowed) replace the built-in ones.
    type: dict
    required: true
seealso:
  - plugin: coldvox.ci.health_score
    plugin_type: filter
  - plugin: coldvox.ci.health_check
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the policy of a laptop with penalties on battery and thresholds per core
  ansible.builtin.debug:
    msg: "{{ laptop | coldvox.ci.health_policy }}"
  vars:
    laptop:
      also: [on_battery, temperature_celsius]
      load_reference_cores: 1
      penalties:
        load_1m:
          - above: 1.5
            points: 40
          - above: 1.0
            points: 20
"""

RETURN = r"""
_value:
  description: The complete policy.
  type: dict
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.health.policy import merged_policy


def health_policy(policy: Any) -> dict[str, Any]:
    """Return ``policy`` with the default values.

    Raises AnsibleFilterError for a wrong policy.
    """
    if not isinstance(policy, Mapping):
        raise AnsibleFilterError(
            f"The filter coldvox.ci.health_policy takes a dictionary, not {type(policy).__name__}; pass a "
            "dictionary."
        )
    try:
        return merged_policy(policy)
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"health_policy": health_policy}
