# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: runner_pool_refusal
short_description: Give the reason why a pool of runner instances cannot work
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Returns the error message of P(coldvox.ci.runner_pool#filter) for the same input, or an empty text.
  - It serves the check of a role's inputs, because Ansible would wrap the message of an exception in more
    text.
positional: _input, settings
options:
  _input:
    description: The instances, as for P(coldvox.ci.runner_pool#filter).
    type: list
    elements: dict
    required: true
  settings:
    description: The other options of P(coldvox.ci.runner_pool#filter).
    type: dict
    required: true
seealso:
  - plugin: coldvox.ci.runner_pool
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Fail if the pool cannot work
  ansible.builtin.assert:
    that: refusal | length == 0
    fail_msg: "{{ refusal }}"
  vars:
    refusal: "{{ instances | coldvox.ci.runner_pool_refusal({'base_dir': '/var/lib/actions-runner'}) }}"
"""

RETURN = r"""
_value:
  description: One sentence, or an empty text.
  type: str
  sample: "Runner instance 'one': Resource class 'huge' is not defined; known are: heavy, light, medium."
"""

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.filter.runner_pool import runner_pool


def runner_pool_refusal(instances: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """Return the error message of ``runner_pool`` for the input, or an empty text."""
    try:
        runner_pool(instances, **settings)
    except AnsibleFilterError as error:
        return str(error)
    return ""


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"runner_pool_refusal": runner_pool_refusal}
