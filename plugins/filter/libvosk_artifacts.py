# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.libvosk_artifacts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: libvosk_artifacts
short_description: Turn versions of libvosk into artifacts of the store
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns the artifacts with which M(coldvox.ci.artifact) keeps every version below one directory.
positional: _input, default, prefix, releases, architecture
options:
  _input:
    description: The versions, each with C(version), and C(url) and C(sha256) unless it is a known release.
    type: list
    elements: dict
    required: true
  default:
    description: The version that programs use. It is pinned in the store.
    type: str
    required: true
  prefix:
    description: The directory for one link per version.
    type: str
    required: true
  releases:
    description: Known releases. Each version maps an architecture to C(url) and C(sha256).
    type: dict
    required: true
  architecture:
    description: The architecture of the host, as C(uname -m) prints it.
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
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"libvosk_artifacts": libvosk_artifacts}
