# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: cache_key
short_description: Name a model in a cache by its content
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns a cache key that changes only when the content, the system or the labels change. It also returns
    restore keys for C(actions/cache), the most specific first.
  - Each restore key drops the last part. The last restore key matches the same model with other content,
    which is useful only if the job updates the content afterwards.
options:
  _input:
    description: The model, a dictionary with C(name) and C(sha256) such as an entry of C(vosk_models_models).
    type: dict
    required: true
  os:
    description: The operating system of the content.
    type: str
    required: true
  labels:
    description: Labels of the runners that share the cache. Order and case do not matter.
    type: list
    elements: str
    default: []
seealso:
  - name: Caching in GitHub Actions
    description: How keys and restore keys are matched.
    link: https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching
"""

EXAMPLES = r"""
- name: Show the cache keys of a model
  ansible.builtin.debug:
    msg: "{{ model | coldvox.ci.cache_key(os='linux', labels=['nobara']) }}"
  vars:
    model:
      name: vosk-model-small-en-us-0.15
      sha256: 30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
  # => key: vosk-model-small-en-us-0.15/30f26242c4eb449f/linux/340a1b9ddb84da55
"""

RETURN = r"""
_value:
  description: The keys.
  type: dict
  contains:
    key:
      description: Name, content, system and labels; at most 512 characters.
      type: str
      sample: vosk-model-small-en-us-0.15/30f26242c4eb449f/linux
    restore_keys:
      description: Prefixes to try, in this order, if the cache does not have the key.
      type: list
      elements: str
      sample:
        - vosk-model-small-en-us-0.15/30f26242c4eb449f/
        - vosk-model-small-en-us-0.15/
"""

from collections.abc import Sequence
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.inventory import cache_key as keys


def cache_key(model: Any, os: str, labels: Sequence[str] = ()) -> dict[str, Any]:
    """Return the keys of ``model``.

    Raises AnsibleFilterError for any other value.
    """
    if not isinstance(labels, (list, tuple)):
        raise AnsibleFilterError(
            f"The filter coldvox.ci.cache_key takes labels as a list, not as {type(labels).__name__}; pass a "
            "list of texts."
        )
    if not isinstance(os, str) or not os:
        raise AnsibleFilterError(
            f"The filter coldvox.ci.cache_key takes os as a text, not {os!r}; pass a text such as 'linux'."
        )
    try:
        return keys.cache_key(model, os, labels)
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cache_key": cache_key}
