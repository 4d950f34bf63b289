# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: runner_user
short_description: Name the account of a runner instance
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Returns the account that runs the jobs of an instance. It is C(ci-NAME) if that is a valid account name.
  - For a name that is too long or has other characters than lower case letters, digits and C(-), it is a
    shortened form that ends in six digits of the SHA-256 of the name, so no two instances share an account.
options:
  _input:
    description: Name of the instance.
    type: str
    required: true
seealso:
  - plugin: coldvox.ci.runner_pool
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the account of an instance
  ansible.builtin.debug:
    msg: "{{ 'laptop-extra' | coldvox.ci.runner_user }}"
  # => ci-laptop-extra
"""

RETURN = r"""
_value:
  description: The account's name, at most 31 characters.
  type: str
  sample: ci-laptop-extra
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import check_name, instance_user


def runner_user(name: str) -> str:
    """Return the account of the instance ``name``."""
    try:
        return instance_user(check_name(str(name)))
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"runner_user": runner_user}
