# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.vosk_model_artifacts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vosk_model_artifacts
short_description: Speech models as artifacts of the store
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns what M(coldvox.ci.artifact) needs to keep all models. An archive loses its top directory and must
    hold a model; anything else stays the single file that it is.
positional: _input, link_dir, releases
options:
  _input:
    description: The models, each with C(name) and, unless it is a known release, C(url) and C(sha256).
    type: list
    elements: dict
    required: true
  link_dir:
    description: The directory that gets a link per model; none when empty.
    type: str
    required: true
  releases:
    description: Known models; name, then C(url) and C(sha256).
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
    """Gives the filter to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"vosk_model_artifacts": vosk_model_artifacts}
