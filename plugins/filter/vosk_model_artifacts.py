# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.vosk_model_artifacts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vosk_model_artifacts
short_description: Turn speech models into artifacts of the store
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns the artifacts with which M(coldvox.ci.artifact) keeps all models. An archive is unpacked without
    its top directory and must contain a model. Any other download stays a single file.
positional: _input, link_dir, releases
options:
  _input:
    description: The models, each with C(name), and C(url) and C(sha256) unless it is a known release.
    type: list
    elements: dict
    required: true
  link_dir:
    description: The directory for one link per model. If it is empty, no links are created.
    type: str
    required: true
  releases:
    description: Known models. Each name maps to C(url) and C(sha256).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Artifacts | Keep all models
  coldvox.ci.artifact:
    artifacts: "{{ models | coldvox.ci.vosk_model_artifacts('/usr/local/share/vosk-models', {}) }}"
"""

RETURN = r"""
_value:
  description: The artifacts.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.inventory.vosk import vosk_model_artifacts


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"vosk_model_artifacts": vosk_model_artifacts}
