# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.libvosk_artifacts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: libvosk_artifacts
short_description: Versions of libvosk as artifacts of the store
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns what M(coldvox.ci.artifact) needs to keep every version side by side below one directory.
positional: _input, default, prefix, releases, architecture
options:
  _input:
    description: The versions, each with C(version) and, unless it is a known release, C(url) and C(sha256).
    type: list
    elements: dict
    required: true
  default:
    description: The version that programs get, which the store keeps.
    type: str
    required: true
  prefix:
    description: The directory that gets one link per version.
    type: str
    required: true
  releases:
    description: Known releases; version, then architecture, then C(url) and C(sha256).
    type: dict
    required: true
  architecture:
    description: The architecture of the host, as C(uname -m) gives it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Artifacts | Keep all versions
  coldvox.ci.artifact:
    artifacts: "{{ versions | coldvox.ci.libvosk_artifacts('0.3.45', '/opt/libvosk', releases, 'x86_64') }}"
"""

RETURN = r"""
_value:
  description: The artifacts.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.inventory.vosk import libvosk_artifacts


class FilterModule:
    """Gives the filter to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"libvosk_artifacts": libvosk_artifacts}
