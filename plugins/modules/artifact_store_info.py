#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_store_info
short_description: List what is in the artifact store
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Lists the names installed in the store on the managed host with their sizes and last use, what no name
    refers to any more, and what is being downloaded.
  - Nothing is read but the store's own books, so it costs the same for small and large artifacts.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
options:
  store:
    description:
      - The directory of the store.
    type: path
    default: /var/cache/coldvox-ci
seealso:
  - module: coldvox.ci.artifact_store
  - module: coldvox.ci.cache_lock_info
"""

EXAMPLES = r"""
- name: Look into the store
  coldvox.ci.artifact_store_info:
  register: store

- name: Show the largest artifacts first
  ansible.builtin.debug:
    msg: "{{ store.artifacts | sort(attribute='bytes', reverse=true) | map(attribute='name') }}"
"""

RETURN = r"""
store:
  description: The directory, with symbolic links resolved.
  returned: success
  type: str
exists:
  description: Whether there is a store.
  returned: success
  type: bool
artifacts:
  description: The installed names, in alphabetical order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the artifact.
      type: str
    sha256:
      description: Its digest.
      type: str
    kind:
      description: What it is for.
      type: str
    bytes:
      description: The size of its files.
      type: int
    files:
      description: How many files it has.
      type: int
    source_url:
      description: Where it came from, without what may be secret.
      type: str
    installed_at:
      description: Since when the name stands for this content.
      type: str
    pinned:
      description: Whether the collector always keeps it.
      type: bool
    link:
      description: The path that is a link to it; null for none.
      type: str
    path:
      description: The directory with its content; null when it is missing.
      type: str
    last_used:
      description: When it was last used, to five minutes; null when it is missing.
      type: str
    in_use:
      description: Who reads or fetches it at this moment; null for nobody.
      type: str
  sample:
    - name: vosk-model-small-en-us-0.15
      sha256: 30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
      kind: model
      bytes: 71234567
      files: 13
      source_url: https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip
      installed_at: "2026-01-15T10:20:00Z"
      pinned: true
      link: null
      path: /var/cache/coldvox-ci/trees/30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
      last_used: "2026-01-16T03:15:00Z"
      in_use: in use by process 4711 (runnerctl)
unreferenced:
  description: Directories that no name refers to; the collector takes them first.
  returned: success
  type: list
  elements: dict
  contains:
    sha256:
      description: The digest that names the directory.
      type: str
    bytes:
      description: The size of its files.
      type: int
    path:
      description: The directory.
      type: str
    last_used:
      description: When it was last used.
      type: str
    in_use:
      description: Who reads it at this moment; null for nobody.
      type: str
downloads:
  description: What is being fetched at this moment, as far as it tells of itself.
  returned: success
  type: list
  elements: dict
  contains:
    sha256:
      description: The digest that is being fetched.
      type: str
    name:
      description: The name that it was asked for by.
      type: str
    url:
      description: Where it is fetched from.
      type: str
    phase:
      description: V(download), V(unpack) or V(sync).
      type: str
    bytes_done:
      description: How much of the phase is done.
      type: int
    bytes_total:
      description: How much there is; null when it is not known.
      type: int
    bytes_per_second:
      description: How fast it goes; null at the beginning.
      type: int
total_bytes:
  description: The size of all directories.
  returned: success
  type: int
disk_total_bytes:
  description: The size of the file system.
  returned: success
  type: int
disk_free_bytes:
  description: What is free on the file system.
  returned: success
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.describe import describe
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import DEFAULT_STORE

ARGUMENTS: dict[str, dict[str, Any]] = {"store": {"type": "path", "default": DEFAULT_STORE}}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        description = describe(module.params["store"])
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(changed=False, **description._asdict())


if __name__ == "__main__":
    main()
