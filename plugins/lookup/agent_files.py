# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: agent_files
short_description: List the collection's library as the files of a package on a host
version_added: 0.1.0
description:
  - Returns the entries that M(coldvox.ci.file_set) needs to install the collection's library as the Python
    package C(coldvox_ci).
  - The files go to C(releases/<digest>/coldvox_ci) below the directory. The digest is computed from their
    content. The last entry is the link C(current), so that a program sees a whole release or none of it.
author: coldvox.ci contributors (@Coldaine)
options:
  _terms:
    description: The directory on the host that gets the releases.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Package | Keep the library
  coldvox.ci.file_set:
    name: agent
    files: "{{ query('coldvox.ci.agent_files', '/opt/coldvox-ci') }}"
"""

RETURN = r"""
_raw:
  description: Entries with C(path) and C(source), and at the end one with C(path) and C(link_to).
  type: list
  elements: dict
"""

import hashlib
from pathlib import Path
from typing import Any, Optional

from ansible.plugins.lookup import LookupBase

LIBRARY = Path(__file__).resolve().parents[1] / "module_utils"
PACKAGE = "coldvox_ci"
_DIGEST_LETTERS = 16


def release_files(library: Path, directory: str) -> list[dict[str, str]]:
    """Return the entries that install the files of ``library`` below ``directory``."""
    sources = {path.relative_to(library).as_posix(): path for path in library.rglob("*.py")}
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        data = source.read_bytes()
        digest.update(f"{len(data)} {name}\0".encode() + data)
    release = f"releases/{digest.hexdigest()[:_DIGEST_LETTERS]}"
    entries = [
        {"path": f"{directory}/{release}/{PACKAGE}/{name}", "source": str(source)}
        for name, source in sorted(sources.items())
    ]
    return [*entries, {"path": f"{directory}/current", "link_to": release}]


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible ships no types
    """The entry point for Ansible."""

    def run(
        self, terms: list[str], variables: Optional[dict[str, Any]] = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        self.set_options(var_options=variables, direct=kwargs)
        return [entry for directory in terms for entry in release_files(LIBRARY, directory.rstrip("/"))]
