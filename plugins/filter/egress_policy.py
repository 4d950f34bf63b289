# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: egress_policy
short_description: Complete the settings that bound what jobs can reach in the network, or reject wrong ones
version_added: 0.2.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns the settings that C(runnerctl egress load) reads on the host.
  - An unknown policy or instance and a destination without a meaning are errors.
options:
  _input:
    description: The policy of every instance without one of its own, V(open), V(github), V(none) or V(off).
    type: str
    required: true
  instances:
    description: Policies by the name of the instance.
    type: dict
    default: {}
  exceptions:
    description:
      - Destinations that are open to all instances, each with C(name), C(host) (an address, a network or a
        name), C(port) and optionally C(protocol), V(tcp) or V(udp).
    type: list
    elements: dict
    default: []
  urls:
    description: Addresses of servers that the policy V(github) opens too. Empty ones do not count.
    type: list
    elements: str
    default: []
  known:
    description: The names of the host's instances, among which those of O(instances) must be.
    type: list
    elements: str
    default: []
  github_url:
    description: A page at the GitHub that the runners belong to.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the settings of a host
  ansible.builtin.debug:
    msg: "{{ 'open' | coldvox.ci.egress_policy(instances={'laptop-extra-lint': 'github'},
      known=['laptop-extra-lint'], github_url='https://github.com/Coldaine/ColdVox') }}"
"""

RETURN = r"""
_value:
  description: The complete settings.
  type: dict
"""

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from ansible_collections.coldvox.ci.plugins.module_utils.runner.egress import plain_settings, settings_of
from ansible_collections.coldvox.ci.plugins.plugin_utils.filter_errors import template_errors


def egress_policy(
    policy: Any,
    instances: Optional[Mapping[str, Any]] = None,
    exceptions: Sequence[Mapping[str, Any]] = (),
    urls: Sequence[str] = (),
    known: Sequence[str] = (),
    github_url: str = "",
) -> dict[str, Any]:
    """Return the settings; raises AnsibleFilterError for wrong ones."""
    given = {
        "policy": policy,
        "instances": instances,
        "exceptions": exceptions,
        "urls": urls,
        "known": known,
        "github_url": github_url,
    }
    with template_errors():
        return plain_settings(settings_of(given))


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"egress_policy": egress_policy}
