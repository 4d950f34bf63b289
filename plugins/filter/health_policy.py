# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: health_policy
short_description: Complete a health policy, or say what is wrong with it
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Fills in what a policy leaves to the defaults. Everything that makes no sense, for example a signal that
    nobody measures, is an error.
  - >-
    Signals of every sample: V(load_1m), V(cpu_percent), V(memory_used_percent), V(swap_used_percent),
    V(disk_used_percent), V(disk_free_bytes), V(active_jobs), V(listeners), V(model_cache_available),
    V(network_reachable), V(psi_cpu_some_avg60), V(psi_memory_some_avg60), V(psi_io_some_avg60).
  - >-
    Signals that C(runnerctl health) reads on the host only where a policy names them: V(clock_synchronized),
    V(clock_skew_seconds), V(runner_age_days), V(listeners_dead), V(listeners_deaf), V(cache_damaged),
    V(on_battery), V(battery_percent), V(temperature_celsius), V(oom_kills).
options:
  _input:
    description:
      - What differs from the built-in policy.
      - Under V(penalties) steps for the score by signal, each V(above) or V(below) with a number or V(equals)
        with a truth value, and V(points). An empty list switches a signal off.
      - Under V(check) the same for the health check, with V(severity) instead of points.
      - V(also) lists signals to judge by the steps that this collection suggests for them.
      - V(load_reference_cores) scales the load's thresholds, which are then meant for a machine with that
        many cores. With V(1) they are per core.
      - Under V(hysteresis), V(fall_after) and V(rise_after) say how many checks in a row must agree before
        the published verdict falls or rises.
      - V(valid_seconds) is how long a published verdict counts; under V(probe), V(url) and
        V(timeout_seconds) say where and how long reachability is tried.
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
- name: A laptop that should rest on battery, with thresholds per core
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
  description: The whole policy.
  type: dict
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.health.policy import merged_policy


def health_policy(policy: Any) -> dict[str, Any]:
    """Return the whole of ``policy``; one that makes no sense is an error of the template."""
    if not isinstance(policy, Mapping):
        raise AnsibleFilterError(f"coldvox.ci.health_policy takes a dictionary, not {type(policy).__name__}.")
    try:
        return merged_policy(policy)
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"health_policy": health_policy}
